"""Linear transforms of the MNI (.xfm).

MINC's programs write maps from the source (moving) to the target (fixed), in a world towards right, anterior
and superior. ITK writes its own map and its own world into such files, and says so in a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ....transforms import Affine, chain
from ...guards import read_text
from ..base import Found, Grids
from ..entries import FLOATS, Entry, members_of
from ..rows import flipped, ras_to_ours

BY_ITK = "%ITK-XFM writer"


def recognises(head: bytes) -> bool:
    """Whether it says so in its first line."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"MNI Transform File")


def read(path: Path, grids: Grids) -> Found:
    """The map from the fixed to the moving image; that of MINC's programs is inverted."""
    found = chain(*members_of(path, _entries))
    if BY_ITK in read_text(path):
        return Found(found)
    matrix = np.linalg.inv(ras_to_ours(flipped(np.asarray(found.matrix))))
    return Found(
        Affine(matrix), (f"{path.name} is taken to lead from the moving to the fixed image, as MINC's do.",)
    )


def _entries(path: Path) -> Iterator[Entry]:
    """The 3 x 4 matrix of a linear MNI transform; grids, which lie in other files, are refused."""
    text = "".join(line for line in read_text(path).splitlines(True) if not line.lstrip().startswith("%"))
    found = re.fullmatch(
        r"\s*MNI Transform File\s+Transform_Type\s*=\s*Linear\s*;\s*Linear_Transform\s*=([^;]*);\s*", text
    )
    if found is None:
        raise ValueError("more than one linear transform")
    matrix = np.array(found[1].split(), dtype=FLOATS).reshape(3, 4)
    yield Entry("AffineTransform_double_3_3", np.append(matrix[:, :3], matrix[:, 3]), np.zeros(3))
