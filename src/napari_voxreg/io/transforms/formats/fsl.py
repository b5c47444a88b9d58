"""FSL's FLIRT: a matrix between positions in millimetres that are counted from a corner of each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....core.geometry import Array, Grid
from ....transforms import Affine
from ..base import Found, Grids
from ..rows import comments_of, flipped, read_matrix, shape_of


def recognises(head: bytes) -> bool:
    """Whether it is a bare matrix of 4 x 4, which others write, too."""
    return shape_of(head) == (4, 4) and not comments_of(head)


def read(path: Path, grids: Grids) -> Found:
    """The map from FLIRT's reference (fixed) to its input (moving), against the file's direction."""
    matrix = read_matrix(path, ((4, 4),))
    fixed, moving = grids.both(path.name, "counts positions from the corners of FLIRT's reference and input")
    for grid in (fixed, moving):
        if grid.ndim != 3:
            raise ValueError(
                f"{path.name} is a FLIRT matrix of volumes, but an image is {grid.ndim}D; give volumes."
            )
    back = np.linalg.inv(matrix)
    return Found(Affine(_world(moving) @ flipped(back) @ np.linalg.inv(_world(fixed))))


def _world(grid: Grid) -> Array:
    """From FSL's coordinates to the world, both in array-axis order, (4, 4)."""
    size = np.diag([*grid.spacing, 1.0])
    if np.linalg.det(grid.affine) > 0:  # then FSL counts the first axis of the file from its end
        size[2, 2] *= -1
        size[2, 3] = (grid.shape[2] - 1) * grid.spacing[2]
    world: Array = grid.affine @ np.linalg.inv(size)
    return world
