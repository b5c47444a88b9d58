"""AFNI's affine matrices (.aff12.1D, .1D), between coordinates in DICOM's order, which is ITK's world.

AFNI leaves out the rotation of oblique images (3dAllineate works on ``ijk_to_dicom``, not on
``ijk_to_dicom_real``), so it is put back where the images are known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....core.geometry import Array, Grid
from ....transforms import Affine
from ...guards import read_text
from ..base import Found, Grids
from ..rows import checked, flipped, read_matrix, rows_of, shape_of

OBLIQUE = 2e-4  # radians, a hundredth of a degree, from which AFNI calls an image oblique


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
        if any(row != rows[0] for row in rows):  # 3dvolreg repeats the line of a single one
            raise ValueError(
                f"{path.name} holds {len(rows)} matrices, one for each volume of a series; save the line of "
                "one volume as a file of its own."
            )
        matrix = checked(np.vstack([np.reshape(rows[0], (3, 4)), [0, 0, 0, 1]]), path)
    else:
        matrix = read_matrix(path, ((3, 4),))
    base, source = (
        np.eye(4) if grid is None else _without_rotation(grid) for grid in (grids.fixed, grids.moving)
    )
    return Found(Affine(np.linalg.inv(source) @ flipped(matrix) @ base))


def _without_rotation(grid: Grid) -> Array:
    """From the world to the coordinates that AFNI has of an image: about its first voxel, along the axes."""
    if grid.ndim != 3:
        return np.eye(4)
    direction = grid.direction
    largest = np.abs(direction).max(axis=0)
    if np.arccos(np.minimum(largest, 1.0)).max() < OBLIQUE:
        return np.eye(4)
    cardinal = grid.affine.copy()
    cardinal[:3, :3] = np.where(np.abs(direction) < largest, 0.0, np.sign(direction)) * grid.spacing
    turned: Array = cardinal @ np.linalg.inv(grid.affine)
    return turned
