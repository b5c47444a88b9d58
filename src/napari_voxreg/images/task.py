"""A pair of images as every method gets it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..core.geometry import Array, Image
from ..transforms import Affine, Transform, warp

Landmarks = tuple[Array, Array]
"""Corresponding world points of the fixed and the moving image, (N, d) each."""


@dataclass(frozen=True, eq=False)
class Task:
    """A checked pair and how to run.

    Parameters
    ----------
    fixed, moving : Image
        One channel, float32, finite, 2D or 3D alike, in the same units.
    fixed_mask, moving_mask : Image or None
        Boolean, on the grids of `fixed` and `moving`; True counts.
    landmarks : tuple of ndarray or None
        Corresponding world points of fixed and moving, (N, d) each.
    seed : int
        Same seed, same result.
    device : str
        "auto", "cpu", "cuda" or "mps", for what computes on tensors.
    """

    fixed: Image
    moving: Image
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    landmarks: Landmarks | None = None
    seed: int = 0
    device: str = "auto"

    def placed(self, transform: Transform) -> Task:
        """The pair with the moving image where a transform puts it.

        What is found on it, followed by `transform`, is a result on this pair.

        Parameters
        ----------
        transform : Transform
            From world points of the fixed image to world points of the moving image. An `Affine` moves the
            moving grid, which is exact. Any other resamples the moving image and its mask once on the fixed
            grid; pixels that do not come from inside the moving image are masked out.
        """
        if isinstance(transform, Affine):
            grid = self.moving.grid.moved(transform.inverse().matrix)
            moving = self.moving.with_grid(grid)
            mask = None if self.moving_mask is None else self.moving_mask.with_grid(grid)
        else:
            moving = warp(self.moving, transform, self.fixed.grid)
            mask = self.moving_mask or self.moving.with_data(np.ones(self.moving.grid.shape, bool))
            mask = warp(mask, transform, self.fixed.grid, order=0)
            if self.moving_mask is None and mask.data.all():
                mask = None
        landmarks = self.landmarks
        if landmarks is not None:
            landmarks = (landmarks[0], transform.inverse(self.moving.grid)(landmarks[1]))
        return replace(self, moving=moving, moving_mask=mask, landmarks=landmarks)
