"""Smooth maps of the plane with few numbers: homographies and quadratics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid, apply_affine
from .base import Record, Transform, world_points
from .composite import conjugated, dense_to_itk, invert

if TYPE_CHECKING:
    import SimpleITK as sitk

HORIZON = 1e-3  # of the denominator at which area is kept: lengths are magnified a thousandfold there


@dataclass(frozen=True, eq=False)
class Homography:
    """x -> (A x + b) / (c . x + w): the map between two images of one plane.

    Two matrices that differ by a positive factor are the same map. The denominator is positive on the side of
    the horizon that the images show. Points at or behind the horizon are not mapped: they get the value of
    the nearest point just in front of it, which lies far away, and count as folded.

    Parameters
    ----------
    matrix : ndarray, shape (3, 3)
        [[A, b], [c, w]], homogeneous in array-axis order, world units.

    Raises
    ------
    ValueError
        If the matrix is not 3 x 3, not finite or not invertible, or if no denominator is positive.
    """

    matrix: Array
    ndim: ClassVar[int] = 2
    linear: ClassVar[bool] = False
    native: ClassVar[bool] = False
    exact_in_itk: ClassVar[bool] = False
    closed_inverse: ClassVar[bool] = True

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=float)
        if matrix.shape != (3, 3):
            raise ValueError(f"The matrix of a homography must be 3 x 3, not {matrix.shape}.")
        if not np.isfinite(matrix).all() or abs(np.linalg.det(_balanced(matrix))) < 1e-12:
            raise ValueError("The matrix of a homography must be finite and invertible.")
        if not matrix[2, :2].any() and matrix[2, 2] < 0:
            raise ValueError("No point has a positive denominator in this homography; change all signs.")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, 2) to (N, 2)."""
        points, denominator, _ = self._in_front(points)
        mapped = apply_affine(self.matrix, points)
        mapped /= denominator[:, None]
        return mapped

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Analytic derivative at world points, shape (N, 2, 2); singular at and behind the horizon."""
        points, denominator, behind = self._in_front(points)
        c = self.matrix[2, :2]
        slope = self.matrix[:2, :2] - self(points)[:, :, None] * c
        slope /= denominator[:, None, None]
        if behind.any():
            slope[behind] = slope[behind] @ (np.eye(2) - np.outer(c, c) / (c @ c))
        return slope

    def inverse(self, grid: Grid | None = None, tolerance: float | None = None) -> Homography:
        """The closed inverse; `grid` and `tolerance` are not needed."""
        return Homography(np.linalg.inv(self.matrix))

    def moved(self, matrix: npt.ArrayLike) -> Homography:
        """The same map in another world; see `Transform.moved`."""
        matrix = np.asarray(matrix, dtype=float)
        return Homography(matrix @ self.matrix @ np.linalg.inv(matrix))

    def to_itk(self, grid: Grid) -> sitk.Transform:
        """A dense field, exact at the nodes of `grid` and linear between them."""
        return dense_to_itk(self, grid)

    def to_records(self, inline: bool) -> list[dict[str, Any]]:
        """The matrix."""
        return [{"kind": "homography", "matrix": self.matrix.tolist()}]

    @classmethod
    def from_record(cls, record: Record, array: Array | None) -> Homography:
        """The transform of a record."""
        return cls(np.array(record["matrix"]))

    def _in_front(self, points: npt.ArrayLike) -> tuple[Array, Array, Array]:
        """Points moved to the visible side of the horizon, their denominators, and which were moved."""
        points = world_points(points, self.ndim)
        c, w = self.matrix[2, :2], self.matrix[2, 2]
        least = HORIZON * np.cbrt(abs(np.linalg.det(self.matrix)))
        denominator = np.einsum("ni,i->n", points, c) + w
        behind = denominator < least
        if not behind.any():
            return points, denominator, behind
        step = np.where(behind, least - denominator, 0.0)
        return points + step[:, None] * (c / (c @ c)), np.maximum(denominator, least), behind


@dataclass(frozen=True, eq=False)
class Quadratic:
    """x -> C [1, u0, u1, u0^2, u0 u1, u1^2] with u = (x - centre) / scale.

    The map between two images of a slightly curved surface, such as the retina
    (Can et al., IEEE PAMI 24, 2002).

    Parameters
    ----------
    coefficients : ndarray, shape (2, 6)
        C; world units of the moving image.
    centre : ndarray, shape (2,)
        World point of the fixed image.
    scale : float
        World units; half the image's side makes the coefficients comparable.

    Raises
    ------
    ValueError
        If a shape is wrong, a number is not finite, the scale is not positive or the map is singular at its
        centre.
    """

    coefficients: Array
    centre: Array
    scale: float
    ndim: ClassVar[int] = 2
    linear: ClassVar[bool] = False
    matrix: ClassVar[None] = None
    native: ClassVar[bool] = False
    exact_in_itk: ClassVar[bool] = False
    closed_inverse: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, shape in (("coefficients", (2, 6)), ("centre", (2,))):
            value = np.array(getattr(self, name), dtype=float)
            if value.shape != shape or not np.isfinite(value).all():
                raise ValueError(f"The {name} of a quadratic must be finite, of shape {shape}.")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"The scale of a quadratic must be positive, not {self.scale}.")
        object.__setattr__(self, "scale", float(self.scale))
        if np.linalg.matrix_rank(self.coefficients[:, 1:3]) < 2:
            raise ValueError("A quadratic must be invertible at its centre; its linear part is singular.")

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, 2) to (N, 2)."""
        a, b = self._units(points)
        powers = np.stack([np.ones_like(a), a, b, a * a, a * b, b * b])
        mapped: Array = (self.coefficients @ powers).T
        return mapped

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Analytic derivative at world points, shape (N, 2, 2)."""
        a, b = self._units(points)
        zero, one = np.zeros_like(a), np.ones_like(a)
        along = [[zero, one, zero, 2 * a, b, zero], [zero, zero, one, zero, a, 2 * b]]
        slope: Array = np.einsum("ik,jkn->nij", self.coefficients, np.array(along)) / self.scale
        return slope

    def inverse(self, grid: Grid, tolerance: float | None = None) -> Transform:
        """Inverted numerically at the nodes of `grid`."""
        return invert(self, grid, tolerance)

    def moved(self, matrix: npt.ArrayLike) -> Transform:
        """The same map in another world; see `Transform.moved`."""
        return conjugated(self, matrix)

    def to_itk(self, grid: Grid) -> sitk.Transform:
        """A dense field, exact at the nodes of `grid` and linear between them."""
        return dense_to_itk(self, grid)

    def to_records(self, inline: bool) -> list[dict[str, Any]]:
        """The coefficients, the centre and the scale."""
        return [
            {
                "kind": "quadratic",
                "coefficients": self.coefficients.tolist(),
                "centre": self.centre.tolist(),
                "scale": self.scale,
            }
        ]

    @classmethod
    def from_record(cls, record: Record, array: Array | None) -> Quadratic:
        """The transform of a record."""
        return cls(np.array(record["coefficients"]), np.array(record["centre"]), record["scale"])

    def _units(self, points: npt.ArrayLike) -> Array:
        """World points (N, 2) as u, its components first, (2, N)."""
        u: Array = (world_points(points, self.ndim) - self.centre) / self.scale
        return u.T


def _balanced(matrix: Array) -> Array:
    """Columns and then rows of length 1, so that the determinant does not depend on the units."""
    columns = matrix / np.maximum(np.linalg.norm(matrix, axis=0), 1e-300)
    balanced: Array = columns / np.maximum(np.linalg.norm(columns, axis=1, keepdims=True), 1e-300)
    return balanced
