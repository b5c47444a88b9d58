"""AFNI's affine matrices (.aff12.1D, .1D), between coordinates in DICOM's order, which is ITK's world."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....transforms import Affine
from ...guards import read_text
from ..base import Found, Grids
from ..rows import checked, flipped, read_matrix, rows_of, shape_of


def recognises(head: bytes) -> bool:
    """Whether it is a matrix of three rows of four numbers, which others write, too, or lines of twelve."""
    shape = shape_of(head)
    return shape == (3, 4) or (shape is not None and shape[1] == 12)


def read(path: Path, grids: Grids) -> Found:
    """The map from the base (fixed) to the source (moving), as 3dAllineate writes it.

    Raises
    ------
    ValueError
        If the file holds a matrix for each of several volumes.
    """
    rows = rows_of(read_text(path)) or []
    if rows and len(rows[0]) == 12:
        if len(rows) > 1:
            raise ValueError(
                f"{path.name} holds {len(rows)} matrices, one for each volume of a series; save the line of "
                "one volume as a file of its own."
            )
        matrix = checked(np.vstack([np.reshape(rows[0], (3, 4)), [0, 0, 0, 1]]), path)
    else:
        matrix = read_matrix(path, ((3, 4),))
    return Found(Affine(flipped(matrix)))
