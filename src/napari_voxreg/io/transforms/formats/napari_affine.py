"""The affine of a napari layer as text or NumPy array; it moves the moving layer onto the fixed one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....core.geometry import Array
from ....transforms import Affine
from ...guards import check_regular, reading
from ..base import Found, Grids
from ..rows import checked, comments_of, read_matrix, shape_of
from .matrix import MARK

NUMPY = b"\x93NUMPY"
SQUARE = ((3, 3), (4, 4))


def recognises(head: bytes) -> bool:
    """Whether it is an array of NumPy's, or a matrix whose comment says nothing else."""
    bare = shape_of(head) in SQUARE and MARK not in comments_of(head)
    return head.startswith(NUMPY) or bare


def read(path: Path, grids: Grids) -> Found:
    """The map back, for napari's takes the world of the moving image to that of the fixed one."""
    with path.open("rb") as file:
        numpy = file.read(len(NUMPY)) == NUMPY
    return Found(Affine(np.linalg.inv(_array(path) if numpy else read_matrix(path, SQUARE))))


def _array(path: Path) -> Array:
    check_regular(path)
    with reading(path):
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if found.shape not in SQUARE or found.dtype.kind not in "fiu":
            raise ValueError(
                f"{path.name} does not hold a matrix of 3 x 3 or 4 x 4 numbers; choose another file."
            )
        return checked(np.array(found, dtype=float), path)
