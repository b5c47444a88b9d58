"""The transform protocol, affine transforms and chains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..geometry import Array, Grid, apply_affine

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
        from ..itk import affine_to_itk

        return affine_to_itk(self.matrix)


@dataclass(frozen=True, eq=False)
class Sequence:
    """A chain of transforms; the first member is applied first (ITK's composite is the other way round).

    Nested sequences are flattened; neighbouring affines and homographies are multiplied.

    Parameters
    ----------
    members : tuple of Transform
        At least one, all with the same number of axes.
    """

    members: tuple[Transform, ...]

    def __post_init__(self) -> None:
        flat: list[Transform] = []
        for member in self.members:
            flat.extend(member.members if isinstance(member, Sequence) else [member])
        if not flat:
            raise ValueError("A sequence needs at least one transform.")
        if len({member.ndim for member in flat}) != 1:
            raise ValueError("The members of a sequence must have the same number of axes.")
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
        assert total is not None  # a sequence has members
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
    sequence = Sequence(members)
    return sequence.members[0] if len(sequence.members) == 1 else sequence


def _product(first: Transform, second: Transform) -> Transform | None:
    """One transform for two neighbours that are both given by homogeneous matrices, None for others."""
    from .projective import Homography

    if not (isinstance(first, Affine | Homography) and isinstance(second, Affine | Homography)):
        return None
    kind = Affine if isinstance(first, Affine) and isinstance(second, Affine) else Homography
    return kind(second.matrix @ first.matrix)


def dense_to_itk(transform: Transform, grid: Grid) -> sitk.Transform:
    """An ITK displacement field transform that is exact at the nodes of `grid` and linear between them."""
    from ..itk import displacement_to_itk

    return displacement_to_itk(field_on(transform, grid), grid)


def field_on(transform: Transform, grid: Grid) -> Array:
    """World displacement T(x) - x at every node of a grid, shape (*grid.shape, d), float64."""
    from ..itk import sample_displacement

    members = transform.members if isinstance(transform, Sequence) else (transform,)
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
