"""The moving image on the fixed grid, for methods that need both images on one."""

from __future__ import annotations

import numpy as np

from ...core.geometry import Array, Image
from ...transforms import Transform, warp


def on_fixed_grid(
    fixed: Image,
    moving: Image,
    initial: Transform | None,
    fixed_mask: Image | None,
    moving_mask: Image | None,
) -> tuple[Array, Array]:
    """The moving pixels resampled once through the start, and where both images (and their masks) have a say.

    Returns
    -------
    picture : ndarray, shape fixed.grid.shape
    trusted : ndarray of bool, same shape

    Raises
    ------
    ValueError
        If nothing is left to compare.
    """
    counted = moving_mask or Image(np.ones(moving.grid.shape, dtype=bool), moving.grid)
    trusted = warp(counted, initial, fixed.grid, order=0).data
    if fixed_mask is not None:
        trusted = trusted & fixed_mask.data
    if not trusted.any():
        raise ValueError(
            "The images (inside their masks) do not overlap; start from centres or choose other masks."
        )
    return warp(moving, initial, fixed.grid).data, trusted
