"""Affine transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid, apply_affine
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
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
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
