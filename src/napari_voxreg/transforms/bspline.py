"""Free-form deformation on a grid of cubic B-splines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid
from .base import Record, Transform, world_points
from .composite import invert
from .records import array_from_record, array_to_record, grid_from_record, grid_to_record

if TYPE_CHECKING:
    import SimpleITK as sitk

CHUNK = 100_000  # points at once: 4^d weights each, which bounds the memory to some hundred megabytes


@dataclass(frozen=True, eq=False)
class BSpline:
    """x -> x + sum of cubic B-splines at control points (Rueckert et al., IEEE TMI 18, 1999).

    Parameters
    ----------
    coefficients : ndarray, shape (d, *grid.shape)
        World displacement of each control point, components in array-axis order.
    grid : Grid
        The control points, in the world of the fixed image. As in ITK the spline is defined one control
        point inside the outermost ones, and the displacement is zero beyond.
    """

    coefficients: Array
    grid: Grid
    linear: ClassVar[bool] = False
    matrix: ClassVar[None] = None
    native: ClassVar[bool] = True
    exact_in_itk: ClassVar[bool] = True
    closed_inverse: ClassVar[bool] = False

    def __post_init__(self) -> None:
        coefficients = np.array(self.coefficients, dtype=np.float64)
        if coefficients.shape != (self.grid.ndim, *self.grid.shape):
            raise ValueError(
                f"Coefficients of shape {coefficients.shape} do not fit their control grid; "
                f"they must be {(self.grid.ndim, *self.grid.shape)}."
            )
        if min(self.grid.shape) < 4:
            raise ValueError(f"A cubic B-spline needs four control points an axis, not {self.grid.shape}.")
        coefficients.setflags(write=False)
        object.__setattr__(self, "coefficients", coefficients)

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return self.grid.ndim

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, d) to (N, d)."""
        points = world_points(points, self.ndim).copy()
        for start in range(0, len(points), CHUNK):
            part = points[start : start + CHUNK]
            weights, values = self._support(part)
            part += np.einsum("nc,nci->ni", _product(weights), values)
        return points

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Analytic derivative at world points, shape (N, d, d)."""
        points = world_points(points, self.ndim)
        d = self.ndim
        to_index = np.linalg.inv(self.grid.affine[:d, :d])
        result = np.empty((len(points), d, d))
        for start in range(0, len(points), CHUNK):
            part = points[start : start + CHUNK]
            weights, values = self._support(part)
            slopes = self._slopes(part)
            for k in range(d):
                mixed = [slopes[j] if j == k else weights[j] for j in range(d)]
                result[start : start + CHUNK, :, k] = np.einsum("nc,nci->ni", _product(mixed), values)
        return result @ to_index + np.eye(d)

    def inverse(self, grid: Grid, tolerance: float | None = None) -> Transform:
        """Inverted numerically at the nodes of `grid`."""
        return invert(self, grid, tolerance)

    def moved(self, matrix: npt.ArrayLike) -> BSpline:
        """The same map in another world; see `Transform.moved`."""
        matrix = np.asarray(matrix, dtype=float)
        return BSpline(np.tensordot(matrix[:-1, :-1], self.coefficients, axes=1), self.grid.moved(matrix))

    def to_itk(self, grid: Grid | None = None) -> sitk.Transform:
        """An ITK B-spline transform with the same control points."""
        from .itk import bspline_to_itk

        return bspline_to_itk(self.coefficients, self.grid)

    def to_records(self, inline: bool) -> list[dict[str, Any]]:
        """The control grid; the coefficients only where no ITK file holds them."""
        arrays = {"coefficients": array_to_record(self.coefficients)} if inline else {}
        return [{"kind": "bspline", "grid": grid_to_record(self.grid), **arrays}]

    @classmethod
    def from_record(cls, record: Record, array: Array | None) -> BSpline:
        """The transform of a record; `array` is the coefficients where the record does not hold them."""
        coefficients = array_from_record(record["coefficients"]) if array is None else array
        return cls(coefficients, grid_from_record(record["grid"]))

    def _index(self, points: Array) -> tuple[Array, Array, Array]:
        """Fractions (N, d), first control points (N, d), and which points are in the spline's domain."""
        index = self.grid.to_index(points)
        last = np.array(self.grid.shape) - 2.0
        index = np.where(np.isclose(index, last, rtol=0, atol=1e-9), last - 1e-6, index)  # as ITK does
        inside = np.all((index >= 1) & (index < last), axis=1)
        index = np.where(inside[:, None], index, 1.0)
        first = np.floor(index).astype(int) - 1
        return index - np.floor(index), first, inside

    def _support(self, points: Array) -> tuple[list[Array], Array]:
        """Weights along each axis, d x (N, 4), and the coefficients under them, (N, 4^d, d)."""
        fraction, first, inside = self._index(points)
        d = self.ndim
        weights = [_cubic(fraction[:, k]) for k in range(d)]
        offsets = np.indices((4,) * d).reshape(d, -1)
        at = tuple(first[:, k, None] + offsets[k] for k in range(d))
        values = np.moveaxis(self.coefficients[(slice(None), *at)], 0, -1)
        return weights, values * inside[:, None, None]

    def _slopes(self, points: Array) -> list[Array]:
        """Derivatives of the weights along each axis, d x (N, 4), per control-point spacing."""
        fraction, _, _ = self._index(points)
        return [_cubic_slope(fraction[:, k]) for k in range(self.ndim)]


def _cubic(t: Array) -> Array:
    """The four cubic B-spline weights at fraction t, shape (N, 4)."""
    return (
        np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    )


def _cubic_slope(t: Array) -> Array:
    """Their derivatives with respect to t, shape (N, 4)."""
    return np.stack([-((1 - t) ** 2), 3 * t**2 - 4 * t, -3 * t**2 + 2 * t + 1, t**2], axis=1) / 2


def _product(weights: list[Array]) -> Array:
    """Tensor product of weights along the axes, (N, 4^d)."""
    total = weights[0]
    for w in weights[1:]:
        total = (total[:, :, None] * w[:, None, :]).reshape(len(w), -1)
    return total
