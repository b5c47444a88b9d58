"""The transform protocol, affine transforms and chains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid, apply_affine

if TYPE_CHECKING:
    import SimpleITK as sitk


@runtime_checkable
class Transform(Protocol):
    """A map from world points of the fixed image to world points of the moving image.

    This is the direction of ITK: a warped image takes its pixel at x from the moving image at T(x).
    Coordinates follow array-axis order, (row, column) or (plane, row, column), in world units; a
    displacement is T(x) - x in the same units.
    """

    @property
    def ndim(self) -> int:
        """Number of world axes."""

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, d) to (N, d)."""

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Derivative of the map at world points (N, d); entry [n, i, j] is dT_i / dx_j, shape (N, d, d)."""

    def inverse(self, grid: Grid, tolerance: float | None = None) -> Transform:
        """The map back, from world points of the moving image to those of the fixed image.

        Parameters
        ----------
        grid : Grid
            Where the inverse is wanted (the moving image's grid); closed inverses do not need it.
        tolerance : float, optional
            World units; a numerical inverse stops when T(inverse(y)) is this close to y. Default: a hundredth
            of the finest spacing.
        """

    def to_itk(self, grid: Grid) -> sitk.Transform:
        """As a SimpleITK transform.

        A kind that ITK has not becomes a dense field, exact at the nodes of `grid`.
        """


@dataclass(frozen=True, eq=False)
class Affine:
    """x -> A x + b.

    Parameters
    ----------
    matrix : ndarray, shape (d + 1, d + 1)
        Homogeneous matrix in array-axis order, world units.
    """

    matrix: Array

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
        return apply_affine(self.matrix, points)

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """The matrix A for each point, shape (N, d, d)."""
        return np.broadcast_to(self.matrix[:-1, :-1], (len(np.asarray(points)), self.ndim, self.ndim)).copy()

    def inverse(self, grid: Grid | None = None, tolerance: float | None = None) -> Affine:
        """The closed inverse; `grid` and `tolerance` are not needed."""
        return Affine(np.linalg.inv(self.matrix))

    def to_itk(self, grid: Grid | None = None) -> sitk.Transform:
        """An ITK affine transform."""
        from .itk import affine_to_itk

        return affine_to_itk(self.matrix)


def is_affine(transform: Transform) -> bool:
    """Whether the transform is one `Affine`."""
    return isinstance(transform, Affine)


def is_native(transform: Transform) -> bool:
    """Whether ITK has the transform's own kind, so that its `to_itk` is exact everywhere."""
    return bool(getattr(transform, "native", isinstance(transform, Affine)))


def is_exact_in_itk(transform: Transform) -> bool:
    """Whether ITK's version of the transform is exact everywhere, be it of another kind."""
    return is_native(transform) or bool(getattr(transform, "exact_in_itk", False))


def has_closed_inverse(transform: Any) -> bool:
    """Whether the inverse needs no iteration."""
    return bool(getattr(transform, "closed_inverse", isinstance(transform, Affine)))
