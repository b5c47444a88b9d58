"""Affine transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid, apply_affine, unit_columns
from .base import Record, world_points

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class Affine:
    """x -> A x + b.

    Parameters
    ----------
    matrix : ndarray, shape (d + 1, d + 1)
        Homogeneous matrix in array-axis order, world units.
    """

    matrix: Array
    linear: ClassVar[bool] = True
    native: ClassVar[bool] = True
    exact_in_itk: ClassVar[bool] = True
    closed_inverse: ClassVar[bool] = True

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=float)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] not in (3, 4):
            raise ValueError(f"An affine matrix must be 3 x 3 or 4 x 4, not {matrix.shape}.")
        if not np.isfinite(matrix).all() or _is_singular(matrix):
            raise ValueError("An affine matrix must be finite and invertible.")
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def identity(cls, ndim: int) -> Affine:
        """The map that moves nothing."""
        return cls(np.eye(ndim + 1))

    @classmethod
    def translation(cls, offset: npt.ArrayLike) -> Affine:
        """x -> x + offset."""
        offset = np.asarray(offset, dtype=float)
        matrix = np.eye(len(offset) + 1)
        matrix[:-1, -1] = offset
        return cls(matrix)

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return len(self.matrix) - 1

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, d) to (N, d)."""
        return apply_affine(self.matrix, world_points(points, self.ndim))

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """The matrix A for each point, shape (N, d, d)."""
        return np.repeat(self.matrix[None, :-1, :-1], len(world_points(points, self.ndim)), axis=0)

    def inverse(self, grid: Grid | None = None, tolerance: float | None = None) -> Affine:
        """The closed inverse; `grid` and `tolerance` are not needed."""
        return Affine(np.linalg.inv(self.matrix))

    def moved(self, matrix: npt.ArrayLike) -> Affine:
        """The same map in another world; see `Transform.moved`."""
        matrix = np.asarray(matrix, dtype=float)
        return Affine(matrix @ self.matrix @ np.linalg.inv(matrix))

    def to_itk(self, grid: Grid | None = None) -> sitk.Transform:
        """An ITK affine transform."""
        from .itk import affine_to_itk

        return affine_to_itk(self.matrix)

    def to_records(self, inline: bool) -> list[dict[str, Any]]:
        """The matrix."""
        return [{"kind": "affine", "matrix": self.matrix.tolist()}]

    @classmethod
    def from_record(cls, record: Record, array: Array | None) -> Affine:
        """The transform of a record."""
        return cls(np.array(record["matrix"]))


def _is_singular(matrix: Array) -> bool:
    """Whether a homogeneous matrix has no inverse, at whatever scale: nanometres may become metres."""
    alike = matrix.copy()
    alike[:-1, :-1] = unit_columns(matrix[:-1, :-1])
    return bool(abs(np.linalg.det(alike)) < 1e-12)


def fit_points(fixed: Array, moving: Array) -> Affine:
    """The affine map of fixed onto moving points (N, d), or the simpler one that they determine.

    Points on one line or plane, and up to d of them, determine a rigid motion; a single one a translation.
    """
    fixed, moving = np.asarray(fixed, dtype=float), np.asarray(moving, dtype=float)
    d = fixed.shape[1]
    a, b = fixed - fixed.mean(axis=0), moving - moving.mean(axis=0)
    if len(fixed) > d and np.linalg.matrix_rank(a) == d and np.linalg.matrix_rank(b) == d:
        return around_means(best_linear(fixed, moving), fixed, moving)
    if len(fixed) > 1:
        return around_means(best_rotation(fixed, moving), fixed, moving)
    return Affine.translation((moving - fixed).mean(axis=0))


def around_means(linear: Array, fixed: Array, moving: Array) -> Affine:
    """The affine map with this linear part that maps the mean of the points onto the mean."""
    d = len(linear)
    matrix = np.eye(d + 1)
    matrix[:d, :d] = linear
    matrix[:d, d] = moving.mean(axis=0) - linear @ fixed.mean(axis=0)
    return Affine(matrix)


def best_linear(fixed: Array, moving: Array) -> Array:
    """The best linear part of an affine map."""
    a, b = fixed - fixed.mean(axis=0), moving - moving.mean(axis=0)
    found: Array = np.linalg.lstsq(a, b, rcond=None)[0].T
    return found


def best_rotation(fixed: Array, moving: Array, scaled: bool = False, mirrored: bool = False) -> Array:
    """The best rotation (Kabsch), with the best scale (Umeyama), or the best of those with a reflection."""
    a, b = fixed - fixed.mean(axis=0), moving - moving.mean(axis=0)
    u, values, vt = np.linalg.svd(a.T @ b)
    flip = np.ones(len(values))
    flip[-1] = np.sign(np.linalg.det(u @ vt)) * (-1 if mirrored else 1)
    scale = (values @ flip) / (a**2).sum() if scaled else 1.0
    found: Array = scale * ((u * flip) @ vt).T
    return found
