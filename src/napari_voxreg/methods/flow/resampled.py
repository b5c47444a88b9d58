"""The moving image on the fixed grid, for methods that need both images on one."""

from __future__ import annotations

import numpy as np

from ...core.geometry import Array, Image
from ...transforms import warp
from ..base import Task


def on_fixed_grid(task: Task) -> tuple[Array, Array]:
    """The moving pixels on the fixed grid, and where both images have data inside their masks.

    Returns
    -------
    pixels : ndarray, shape fixed.grid.shape
    trusted : ndarray of bool, same shape

    Raises
    ------
    ValueError
        If nothing is left to compare.
    """
    grid, moving = task.fixed.grid, task.moving
    counted = task.moving_mask or Image(np.ones(moving.grid.shape, dtype=bool), moving.grid)
    trusted = warp(counted, None, grid, order=0).data
    if task.fixed_mask is not None:
        trusted = trusted & task.fixed_mask.data
    if not trusted.any():
        raise ValueError(
            "The images (inside their masks) do not overlap; "
            "use the initial transform 'centres' or choose other masks."
        )
    return warp(moving, None, grid).data, trusted
