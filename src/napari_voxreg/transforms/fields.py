"""Dense fields: displacement and stationary velocity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid
from .base import Transform
from .composite import field_on

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class Displacement:
    """x -> x + u(x), u interpolated linearly between the nodes of a grid and zero outside it, as in ITK.

    Parameters
    ----------
    field : ndarray, shape (*grid.shape, d)
        World displacements in array-axis order.
    grid : Grid
        Where the vectors stand, in the world of the fixed image.
    inverse_error : float, optional
        For a field that was made by inverting another transform: the largest distance, in world units, by
        which mapping there and back misses a node.
    """

    field: Array
    grid: Grid
    inverse_error: float | None = None
    native: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", _vectors(self.field, self.grid, "displacement"))

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return self.grid.ndim

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, d) to (N, d); points outside the grid stay where they are."""
        points = np.asarray(points, dtype=float)
        return points + _sample(self.field, self.grid, points)

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Identity plus the field's central differences, interpolated linearly, shape (N, d, d)."""
        points = np.asarray(points, dtype=float)
        d = self.ndim
        slopes = _sample(self._slopes, self.grid, points).reshape(-1, d, d)
        return np.eye(d) + slopes

    def inverse(self, grid: Grid, tolerance: float | None = None) -> Transform:
        """Inverted numerically at the nodes of `grid`."""
        from .invert import invert

        return invert(self, grid, tolerance)

    def to_itk(self, grid: Grid | None = None) -> sitk.Transform:
        """An ITK displacement field transform on the field's own grid."""
        from .itk import displacement_to_itk

        return displacement_to_itk(self.field, self.grid)

    @cached_property
    def _slopes(self) -> Array:
        """Derivative along the world axes at the nodes, (*shape, d * d), entry i * d + j is du_i / dx_j."""
        d = self.ndim
        along_axes = np.stack([_gradient(self.field, k) for k in range(d)], axis=-1)
        world = along_axes @ np.linalg.inv(self.grid.affine[:d, :d])
        return world.reshape(*self.grid.shape, d * d)


@dataclass(frozen=True, eq=False)
class StationaryVelocity:
    """The flow of a velocity field that does not change in time, at time 1: a diffeomorphism.

    Integrated by scaling and squaring on the field's own grid (Arsigny et al., MICCAI 2006); on the way
    beyond the grid's rim the velocity there goes on, so that nothing jumps.

    Parameters
    ----------
    velocity : ndarray, shape (*grid.shape, d)
        World units per unit time, array-axis order.
    grid : Grid
        Where the vectors stand, in the world of the fixed image.
    steps : int
        Number of squarings.
    """

    velocity: Array
    grid: Grid
    steps: int = 7
    closed_inverse: ClassVar[bool] = True
    exact_in_itk: ClassVar[bool] = True  # as a displacement field

    def __post_init__(self) -> None:
        object.__setattr__(self, "velocity", _vectors(self.velocity, self.grid, "velocity"))

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return self.grid.ndim

    @cached_property
    def displacement(self) -> Displacement:
        """The integrated field."""
        from scipy.ndimage import map_coordinates

        linear = self.grid.affine[:-1, :-1]
        # In index coordinates the grid's geometry drops out of the compositions.
        field = np.moveaxis(self.velocity @ np.linalg.inv(linear).T, -1, 0) / 2**self.steps
        here = np.indices(self.grid.shape, dtype=float)
        for _ in range(self.steps):
            there = here + field
            field = field + np.stack([map_coordinates(u, there, order=1, mode="nearest") for u in field])
        return Displacement(np.moveaxis(field, 0, -1) @ linear.T, self.grid)

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, d) to (N, d)."""
        return self.displacement(points)

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Derivative of the integrated field, shape (N, d, d)."""
        return self.displacement.jacobian(points)

    def inverse(self, grid: Grid | None = None, tolerance: float | None = None) -> StationaryVelocity:
        """The flow backwards in time; exact but for the integration."""
        return StationaryVelocity(-self.velocity, self.grid, self.steps)

    def to_itk(self, grid: Grid | None = None) -> sitk.Transform:
        """The integrated field as an ITK displacement field transform."""
        return self.displacement.to_itk()


def displacement_on(transform: Transform, grid: Grid) -> Array:
    """World displacement T(x) - x at every node of a grid, shape (*grid.shape, d), float64."""
    if isinstance(transform, StationaryVelocity):
        transform = transform.displacement
    if isinstance(transform, Displacement) and transform.grid.same_as(grid):
        return transform.field
    return field_on(transform, grid)


def jacobian_determinant(displacement: Array, grid: Grid) -> Array:
    """Determinant of the Jacobian of x + u(x) by central differences.

    Parameters
    ----------
    displacement : ndarray, shape (*grid.shape, d)
        World units.
    grid : Grid
        Where the vectors stand.

    Returns
    -------
    ndarray, shape grid.shape, float32
        1 where volume is kept, negative where space folds.
    """
    # d(x + u)/dx = (A + du/di) A^-1 with the grid's linear part A: one determinant, no product of matrices.
    linear = grid.affine[:-1, :-1]
    scale = np.float32(1 / np.linalg.det(linear))
    result = np.empty(grid.shape, dtype=np.float32)
    # Slabs bound the memory: d * d derivatives of a whole volume would take gigabytes.
    thick = max(1, 500_000 // max(1, int(np.prod(grid.shape[1:]))))
    for start in range(0, grid.shape[0], thick):
        stop = min(start + thick, grid.shape[0])
        low, high = max(start - 1, 0), min(stop + 1, grid.shape[0])
        slab = np.moveaxis(displacement[low:high], -1, 0)
        rows = [
            [
                _gradient(u, k)[start - low : stop - low].astype(np.float32) + np.float32(a[k])
                for k in range(grid.ndim)
            ]
            for u, a in zip(slab, linear, strict=True)
        ]
        result[start:stop] = _determinant(rows) * scale
    return result


def _determinant(m: list[list[Array]]) -> Array:
    """Determinants of 2 x 2 or 3 x 3 matrices given as rows of arrays."""
    if len(m) == 2:
        return m[0][0] * m[1][1] - m[0][1] * m[1][0]
    minors = [m[1][j] * m[2][k] - m[1][k] * m[2][j] for j, k in ((1, 2), (2, 0), (0, 1))]
    return m[0][0] * minors[0] + m[0][1] * minors[1] + m[0][2] * minors[2]


def _vectors(field: npt.ArrayLike, grid: Grid, what: str) -> Array:
    """The field as read-only float64, checked against its grid."""
    vectors = np.array(field, dtype=np.float64)
    if vectors.shape != (*grid.shape, grid.ndim):
        raise ValueError(
            f"A {what} field of shape {vectors.shape} does not fit its grid; "
            f"it must be {(*grid.shape, grid.ndim)}."
        )
    if not np.isfinite(vectors).all():
        raise ValueError(f"A {what} field must be finite everywhere.")
    vectors.setflags(write=False)
    return vectors


def _gradient(field: Array, axis: int) -> Array:
    """Central differences per pixel along one axis; zero along an axis of one pixel."""
    return np.zeros_like(field) if field.shape[axis] < 2 else np.gradient(field, axis=axis)


def _sample(field: Array, grid: Grid, points: Array) -> Array:
    """Linear interpolation of (*shape, c) at world points (N, d), zero outside the grid's pixels, (N, c)."""
    from scipy.ndimage import map_coordinates

    index = grid.to_index(points)
    inside = np.all((index >= -0.5) & (index < np.array(grid.shape) - 0.5), axis=1)
    values = np.zeros((len(points), field.shape[-1]))
    coordinates = index[inside].T
    for c in range(field.shape[-1]):
        values[inside, c] = map_coordinates(field[..., c], coordinates, order=1, mode="nearest")
    return values
