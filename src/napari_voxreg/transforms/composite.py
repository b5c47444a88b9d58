"""Chains and displacement fields, and what makes them of any transform.

They stand in one module as each needs the other: the numerical inverse of either is an affine followed by a
displacement field.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid
from .affine import Affine
from .base import Record, Transform, world_points
from .fields import checked_vectors, gradient, sample
from .invert import solve
from .records import array_from_record, array_to_record, grid_from_record, grid_to_record

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True, eq=False)
class Composite:
    """A chain of transforms; the first member is applied first (ITK's composite is the other way round).

    Nested composites are flattened; neighbours given by a matrix are multiplied.

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

    @property
    def linear(self) -> bool:
        """Whether all members are, which leaves one."""
        return all(member.linear for member in self.members)

    @property
    def matrix(self) -> Array | None:
        """The matrix of a single member that has one."""
        return self.members[0].matrix if len(self.members) == 1 else None

    @property
    def native(self) -> bool:
        """Whether all members are."""
        return all(member.native for member in self.members)

    @property
    def exact_in_itk(self) -> bool:
        """Whether all members are."""
        return all(member.exact_in_itk for member in self.members)

    @property
    def closed_inverse(self) -> bool:
        """Whether all members have one."""
        return all(member.closed_inverse for member in self.members)

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points through all members, (N, d) to (N, d)."""
        points = world_points(points, self.ndim)
        for member in self.members:
            points = member(points)
        return points

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Product of the members' Jacobians along the way, shape (N, d, d)."""
        points = world_points(points, self.ndim)
        total: Array | None = None
        for member in self.members:
            step = member.jacobian(points)
            total = step if total is None else step @ total
            points = member(points)
        assert total is not None  # a composite has members
        return total

    def inverse(self, grid: Grid, tolerance: float | None = None) -> Transform:
        """Members inverted in reverse order where all are closed, else inverted as a whole, numerically."""
        if self.closed_inverse:
            return chain(*(member.inverse(grid, tolerance) for member in reversed(self.members)))
        return invert(self, grid, tolerance)

    def moved(self, matrix: npt.ArrayLike) -> Transform:
        """The same map in another world; see `Transform.moved`."""
        return chain(*(member.moved(matrix) for member in self.members))

    def to_itk(self, grid: Grid) -> sitk.Transform:
        """An ITK composite of the members, or one dense field where ITK cannot hold a member."""
        if not self.exact_in_itk:
            count = next(k for k, member in enumerate(self.members) if not member.exact_in_itk)
            # ITK samples what it can hold on all cores; the rest goes on from there point by point.
            before = displacement_on(chain(*self.members[:count]), grid) if count else None
            return dense_to_itk(Composite(self.members[count:]), grid, before)
        import SimpleITK as sitk

        composite = sitk.CompositeTransform(self.ndim)
        for member in reversed(self.members):  # ITK applies the last added first
            composite.AddTransform(member.to_itk(grid))
        return composite

    def to_records(self, inline: bool) -> list[dict[str, Any]]:
        """The records of all members."""
        return [record for member in self.members for record in member.to_records(inline)]


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
    linear: ClassVar[bool] = False
    matrix: ClassVar[None] = None
    native: ClassVar[bool] = True
    exact_in_itk: ClassVar[bool] = True
    closed_inverse: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", checked_vectors(self.field, self.grid, "displacement"))

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return self.grid.ndim

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, d) to (N, d); points outside the grid stay where they are."""
        points = world_points(points, self.ndim)
        return points + sample(self.field, self.grid, points)

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Identity plus the field's central differences, interpolated linearly, shape (N, d, d)."""
        points = world_points(points, self.ndim)
        d = self.ndim
        slopes = sample(self._slopes, self.grid, points).reshape(-1, d, d)
        return np.eye(d) + slopes

    def inverse(self, grid: Grid, tolerance: float | None = None) -> Transform:
        """Inverted numerically at the nodes of `grid`."""
        return invert(self, grid, tolerance)

    def moved(self, matrix: npt.ArrayLike) -> Displacement:
        """The same map in another world; see `Transform.moved`."""
        matrix = np.asarray(matrix, dtype=float)
        linear = matrix[:-1, :-1]
        error = self.inverse_error
        error = None if error is None else error * float(np.linalg.norm(linear, 2))
        return Displacement(self.field @ linear.T, self.grid.moved(matrix), error)

    def to_itk(self, grid: Grid | None = None) -> sitk.Transform:
        """An ITK displacement field transform on the field's own grid."""
        from .itk import displacement_to_itk

        return displacement_to_itk(self.field, self.grid)

    def to_records(self, inline: bool) -> list[dict[str, Any]]:
        """The grid and the error of an inverse; the field only where no ITK file holds it."""
        arrays = {"field": array_to_record(self.field)} if inline else {}
        return [
            {
                "kind": "displacement",
                "grid": grid_to_record(self.grid),
                "inverse error": self.inverse_error,
                **arrays,
            }
        ]

    @classmethod
    def from_record(cls, record: Record, array: Array | None) -> Displacement:
        """The transform of a record; `array` is the field where the record does not hold it."""
        field = array_from_record(record["field"]) if array is None else array
        return cls(field, grid_from_record(record["grid"]), record["inverse error"])

    @cached_property
    def _slopes(self) -> Array:
        """Derivative along the world axes at the nodes, (*shape, d * d), entry i * d + j is du_i / dx_j."""
        d = self.ndim
        along_axes = np.stack([gradient(self.field, k) for k in range(d)], axis=-1)
        world = along_axes @ np.linalg.inv(self.grid.affine[:d, :d])
        return world.reshape(*self.grid.shape, d * d)


def chain(*members: Transform) -> Transform:
    """The members applied in order, simplified to a single transform where one is left."""
    composite = Composite(members)
    return composite.members[0] if len(composite.members) == 1 else composite


def _product(first: Transform, second: Transform) -> Transform | None:
    """One transform for two neighbours that are both given by a matrix, None for others."""
    if first.matrix is None or second.matrix is None:
        return None
    # An affine is a homography too, not the other way round: the product is of the more general kind.
    general: Any = first if second.linear else second
    product: Transform = replace(general, matrix=second.matrix @ first.matrix)
    return product


def conjugated(transform: Transform, matrix: npt.ArrayLike) -> Transform:
    """Any transform in another world, as a chain there, back and there; see `Transform.moved`."""
    there = Affine(np.asarray(matrix, dtype=float))
    return chain(there.inverse(), transform, there)


def invert(transform: Transform, grid: Grid, tolerance: float | None = None) -> Transform:
    """Any transform's inverse, solved numerically at the nodes of a grid.

    Parameters
    ----------
    transform : Transform
        The map to invert.
    grid : Grid
        In the transform's target world (the moving image's grid).
    tolerance : float, optional
        World units; default a hundredth of the grid's finest spacing.

    Returns
    -------
    Transform
        The inverse of the best affine approximation followed by a `Displacement`, so that the affine part
        also holds outside the grid. The field's ``inverse_error`` is the largest distance between T(x) and y
        over the nodes and the points midway between them, in world units: large where the transform folds or
        jumps and has no inverse, or where it is rougher than the grid.
    """
    linear, displacement, error = solve(transform, grid, tolerance)
    # After the inverse affine the nodes stand on a grid that is the given one moved by it.
    moved = grid.moved(linear.matrix)
    inverse = chain(linear, Displacement(displacement, moved))
    inner = [max(1, n - 1) for n in grid.shape]
    middle = np.indices(inner, dtype=float).reshape(grid.ndim, -1).T + 0.5 * (np.array(grid.shape) > 1)
    y = grid.to_world(middle)
    error = max(error, float(np.linalg.norm(transform(inverse(y)) - y, axis=1).max()))
    return chain(linear, Displacement(displacement, moved, error))


def displacement_on(transform: Transform, grid: Grid) -> Array:
    """World displacement T(x) - x at every node of a grid, shape (*grid.shape, d), float64."""
    if isinstance(transform, Displacement) and transform.grid.same_as(grid):
        return transform.field
    from .itk import sample_displacement

    return sample_displacement(transform.to_itk(grid), grid)


def dense_to_itk(transform: Transform, grid: Grid, before: Array | None = None) -> sitk.Transform:
    """An ITK displacement field transform that is exact at the nodes of `grid` and linear between them.

    Parameters
    ----------
    transform : Transform
        Evaluated point by point.
    grid : Grid
        Of the field.
    before : ndarray, shape (*grid.shape, d), optional
        World displacements at the nodes that come before the transform.
    """
    from .itk import displacement_to_itk

    field = np.empty((*grid.shape, grid.ndim))
    thick = max(1, 300_000 // max(1, int(np.prod(grid.shape[1:]))))  # slabs bound the memory
    for start in range(0, grid.shape[0], thick):
        slab = slice(start, start + thick)
        index = np.indices(field[slab].shape[:-1], dtype=float).reshape(grid.ndim, -1).T
        index[:, 0] += start
        nodes = grid.to_world(index)
        points = nodes if before is None else nodes + before[slab].reshape(nodes.shape)
        field[slab] = (transform(points) - nodes).reshape(field[slab].shape)
    return displacement_to_itk(field, grid)
