"""Transforms of large images on a coarse grid of control points, small in memory, and without folding."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..core.geometry import Array, Grid
from ..transforms import Affine, BSpline, Composite, Displacement, Transform, chain
from ..transforms.affine import fit_points
from ..transforms.fields import jacobian_determinant

PIXELS = 4  # of the level that was registered, between the control points
MOST = 2_000_000  # control points
INNER = 32  # points along each axis to which the affine part is fitted
LEAST = 0.05  # of its volume that a cell of control points must keep


def control_grid(grid: Grid, level: Grid) -> Grid:
    """Control points for the image of a grid that is registered on a level: one beyond its edges.

    Parameters
    ----------
    grid : Grid
        Of the finest level.
    level : Grid
        Of the level that is registered.
    """
    step = PIXELS
    while math.prod(n / step + 3 for n in level.shape) > MOST:
        step *= 2
    affine = level.affine @ np.diag([*(step if n > 1 else 1 for n in level.shape), 1.0])
    affine[:-1, -1] = level.to_world([[-step if n > 1 else 0 for n in level.shape]])[0]
    shape = tuple(math.ceil(n / step) + 2 if n > 1 else 1 for n in level.shape)
    return replace(grid, shape=shape, affine=affine)


@dataclass(frozen=True, eq=False)
class Control:
    """A map as the displacement of control points, followed by an affine map.

    Parameters
    ----------
    grid : Grid
        Of the control points.
    field : ndarray, shape (*grid.shape, d)
        World displacements.
    affine : Affine
        What follows them, and goes on beyond the control points.
    """

    grid: Grid
    field: Array
    affine: Affine

    @classmethod
    def of(cls, transform: Transform, grid: Grid, inner: Grid) -> Control:
        """Sample a transform at control points.

        Parameters
        ----------
        transform : Transform
        grid : Grid
            Of the control points.
        inner : Grid
            Inside of which the transform is known; beyond, the displacement goes on as it nears the edge.
        """
        steps = [max(1, n // INNER) for n in inner.shape]
        points = inner.coarsened(steps).nodes()
        affine = transform if isinstance(transform, Affine) else fit_points(points, transform(points))
        back, nodes = affine.inverse(), grid.nodes()
        last = np.array(inner.shape) - 1.0

        def displacement(points: Array) -> Array:
            return back(transform(points)) - points

        index = inner.to_index(nodes)
        edge = inner.to_world(np.clip(index, 0.0, last))
        field = displacement(edge)
        beyond = np.any((index < 0) | (index > last), axis=1)
        mirrored = np.clip(inner.to_index(2 * edge[beyond] - nodes[beyond]), 0.0, last)
        field[beyond] = 2 * field[beyond] - displacement(inner.to_world(mirrored))
        return cls(grid, field.reshape(*grid.shape, grid.ndim), affine)

    @property
    def transform(self) -> Transform:
        """The same as a transform of the package."""
        if not self.field.any():
            return self.affine
        return chain(Displacement(self.field, self.grid), self.affine)

    def after(self, first: Array) -> Control:
        """The map after displacements of its points, shape (*grid.shape, d), world units."""
        moved = Displacement(first, self.grid)(self.grid.nodes())
        own = Displacement(self.field, self.grid)(moved) if self.field.any() else moved
        return replace(self, field=(own - self.grid.nodes()).reshape(self.field.shape))

    def unfolded_after(self, first: Array) -> tuple[Control, bool]:
        """`after`, with the displacements smoothed where the map would fold; and whether any were.

        The smoothing becomes wider until nothing folds. If that does not help, which a map that folds itself
        can bring about, all displacements are given up.
        """
        from scipy.ndimage import gaussian_filter

        first, width = first.copy(), 1.0
        while width < max(self.grid.shape):
            found = self.after(first)
            folded = _folded(found.field, self.grid)
            if not folded.any():
                return found, width > 1
            width *= 2
            space = [width if n > 1 else 0.0 for n in self.grid.shape]
            near = gaussian_filter(folded.astype(float), [2 * s for s in space])
            share = np.clip(2 * near / near.max(), 0, 1)[..., None]
            first += share * (gaussian_filter(first, [*space, 0.0]) - first)
        return self, True


def _folded(field: Array, grid: Grid) -> Array:
    """Control points at which a corner of a cell nearly folds."""
    nearly: Array = jacobian_determinant(field, grid) < LEAST
    # Between control points the map is linear along each axis: its corners hold the extremes.
    d = grid.ndim
    linear = np.linalg.inv(grid.affine[:-1, :-1])
    for corner in np.ndindex(*(2,) * d):
        slopes = []
        for axis, side in enumerate(corner):
            ahead = np.diff(field, axis=axis)
            edge = [(0, 0)] * field.ndim
            edge[axis] = (1, 0) if side else (0, 1)
            slopes.append(np.pad(ahead, edge, mode="edge") if field.shape[axis] > 1 else np.zeros_like(field))
        matrices = np.stack(slopes, axis=-1) @ linear + np.eye(d)
        nearly |= np.linalg.det(matrices) < LEAST
    return nearly


def is_small(transform: Transform) -> bool:
    """Whether a transform is small in memory and in a file whatever the images' size, and kept as it is."""
    members = transform.members if isinstance(transform, Composite) else (transform,)
    return all(isinstance(member, Affine | BSpline) for member in members)
