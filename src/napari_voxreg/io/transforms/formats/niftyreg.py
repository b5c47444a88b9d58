"""NiftyReg's affine matrices (reg_aladin): from the reference to the floating image, in NIfTI's world."""

from __future__ import annotations

from pathlib import Path

from ....transforms import Affine
from ..base import Found, Grids
from ..rows import comments_of, ras_to_ours, read_matrix, shape_of


def recognises(head: bytes) -> bool:
    """Whether it is a bare matrix of 4 x 4, which others write, too."""
    return shape_of(head) == (4, 4) and not comments_of(head)


def read(path: Path, grids: Grids) -> Found:
    """The map from the reference (fixed) to the floating (moving) image."""
    return Found(Affine(ras_to_ours(read_matrix(path, ((4, 4),)))))
