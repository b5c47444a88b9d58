"""A pair of images as every method gets it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..transforms import Affine, Transform, warp

MARGIN = 0.125  # of each side, by which a resampled moving image is kept beyond the fixed image's rim

Landmarks = tuple[Array, Array]
"""Corresponding world points of the fixed and the moving image, (N, d) each."""


@dataclass(frozen=True, eq=False)
class Task:
    """A checked pair and how to run.

    Parameters
    ----------
    fixed, moving : Image
        One channel, float32, finite, both 2D or both 3D, in the same units.
    fixed_mask, moving_mask : Image or None
        Boolean, on the grids of `fixed` and `moving`; True counts.
    landmarks : tuple of ndarray or None
        Corresponding world points of fixed and moving, (N, d) each.
    seed : int
        Same seed, same result.
    device : str
        Where tensors are computed, as `tensor.device.device_named` takes it.
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
            moving grid, which is exact. Any other resamples the moving image and its mask once on the pixels
            of the fixed grid, and of an eighth of its sides around it as far as the moving image reaches,
            for what is still to be found may lead there. Pixels that do not come from inside the moving
            image are masked out.
        """
        if isinstance(transform, Affine):
            grid = self.moving.grid.moved(transform.inverse().matrix)
            moving = self.moving.with_grid(grid)
            mask = None if self.moving_mask is None else self.moving_mask.with_grid(grid)
        else:
            grid = around(self.fixed.grid, MARGIN)
            everywhere = self.moving.with_data(np.ones(self.moving.grid.shape, bool))
            covered = warp(everywhere, transform, grid, order=0).data
            # Where the moving image ends, so does the placed one: what is not of it would change its range.
            box = box_around(covered)
            grid, covered = _cropped(grid, box), covered[box]
            # The border goes on in what is left outside: another value would make an edge.
            moving = warp(self.moving, transform, grid, fill=None)
            mask = None if covered.all() else moving.with_data(covered)
            if self.moving_mask is not None:
                mask = warp(self.moving_mask, transform, grid, order=0)
        landmarks = self.landmarks
        if landmarks is not None:
            landmarks = (landmarks[0], transform.inverse(self.moving.grid)(landmarks[1]))
        return replace(self, moving=moving, moving_mask=mask, landmarks=landmarks)


def around(grid: Grid, fraction: float) -> Grid:
    """A grid and a margin of the same pixels around it, a fraction of its sides."""
    margin = [math.ceil(fraction * n) for n in grid.shape]
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world([[-m for m in margin]])[0]
    shape = tuple(n + 2 * m for n, m in zip(grid.shape, margin, strict=True))
    return Grid(shape, affine, grid.units)


def box_around(inside: Array) -> tuple[slice, ...]:
    """The smallest box that holds all true pixels; everything if there are none."""
    from scipy.ndimage import find_objects

    boxes = find_objects(inside.astype(np.uint8))
    return boxes[0] if boxes else tuple(slice(0, n) for n in inside.shape)


def _cropped(grid: Grid, box: tuple[slice, ...]) -> Grid:
    """The part of a grid inside a box of indices."""
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world([[side.start for side in box]])[0]
    return Grid(tuple(side.stop - side.start for side in box), affine, grid.units)
