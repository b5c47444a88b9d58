"""Chains of transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid
from .base import Affine, Transform, has_closed_inverse, is_exact_in_itk

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class Composite:
    """A chain of transforms; the first member is applied first (ITK's composite is the other way round).

    Nested composites are flattened; neighbouring affines and homographies are multiplied.

    Parameters
    ----------
    members : tuple of Transform
        At least one, all with the same number of axes.
    """

    members: tuple[Transform, ...]

    def __post_init__(self) -> None:
        flat: list[Transform] = []
        for member in self.members:
            flat.extend(member.members if isinstance(member, Composite) else [member])
        if not flat:
            raise ValueError("A composite needs at least one transform.")
        if len({member.ndim for member in flat}) != 1:
            raise ValueError("The members of a composite must have the same number of axes.")
        merged: list[Transform] = [flat[0]]
        for member in flat[1:]:
            last = merged[-1]
            product = _product(last, member)
            merged[-1:] = [last, member] if product is None else [product]
        object.__setattr__(self, "members", tuple(merged))

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return self.members[0].ndim

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points through all members, (N, d) to (N, d)."""
        points = np.asarray(points, dtype=float)
        for member in self.members:
            points = member(points)
        return points

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Product of the members' Jacobians along the way, shape (N, d, d)."""
        points = np.asarray(points, dtype=float)
        total: Array | None = None
        for member in self.members:
            step = member.jacobian(points)
            total = step if total is None else step @ total
            points = member(points)
        assert total is not None  # a composite has members
        return total

    def inverse(self, grid: Grid, tolerance: float | None = None) -> Transform:
        """Members inverted in reverse order where all are closed, else inverted as a whole, numerically."""
        if all(has_closed_inverse(member) for member in self.members):
            return chain(*(member.inverse(grid, tolerance) for member in reversed(self.members)))
        from .invert import invert

        return invert(self, grid, tolerance)

    def to_itk(self, grid: Grid) -> sitk.Transform:
        """An ITK composite of the members, or one dense field where ITK cannot hold a member."""
        if not all(is_exact_in_itk(member) for member in self.members):
            return dense_to_itk(self, grid)
        import SimpleITK as sitk

        composite = sitk.CompositeTransform(self.ndim)
        for member in reversed(self.members):  # ITK applies the last added first
            composite.AddTransform(member.to_itk(grid))
        return composite


def chain(*members: Transform) -> Transform:
    """The members applied in order, simplified to a single transform where one is left."""
    composite = Composite(members)
    return composite.members[0] if len(composite.members) == 1 else composite


def _product(first: Transform, second: Transform) -> Transform | None:
    """One transform for two neighbours that are both given by homogeneous matrices, None for others."""
    from .projective import Homography

    if not (isinstance(first, Affine | Homography) and isinstance(second, Affine | Homography)):
        return None
    kind = Affine if isinstance(first, Affine) and isinstance(second, Affine) else Homography
    return kind(second.matrix @ first.matrix)


def dense_to_itk(transform: Transform, grid: Grid) -> sitk.Transform:
    """An ITK displacement field transform that is exact at the nodes of `grid` and linear between them."""
    from .itk import displacement_to_itk

    return displacement_to_itk(field_on(transform, grid), grid)


def field_on(transform: Transform, grid: Grid) -> Array:
    """World displacement T(x) - x at every node of a grid, shape (*grid.shape, d), float64."""
    from .itk import sample_displacement

    members = transform.members if isinstance(transform, Composite) else (transform,)
    # ITK samples what it can hold on all cores; the rest of a chain goes on from there point by point.
    count = next((k for k, member in enumerate(members) if not is_exact_in_itk(member)), len(members))
    if count:
        field = sample_displacement(chain(*members[:count]).to_itk(grid), grid)
        if count == len(members):
            return field
    else:
        field = np.zeros((*grid.shape, grid.ndim))
    result = np.empty_like(field)
    thick = max(1, 300_000 // max(1, int(np.prod(grid.shape[1:]))))
    for start in range(0, grid.shape[0], thick):
        slab = slice(start, start + thick)
        index = np.indices(field[slab].shape[:-1], dtype=float).reshape(grid.ndim, -1).T
        index[:, 0] += start
        nodes = grid.to_world(index)
        points = nodes + field[slab].reshape(nodes.shape)
        for member in members[count:]:
            points = member(points)
        result[slab] = (points - nodes).reshape(result[slab].shape)
    return result
