"""Stationary velocity fields."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid
from .base import Record
from .composite import Displacement
from .fields import checked_vectors
from .records import array_from_record, array_to_record, grid_from_record, grid_to_record

if TYPE_CHECKING:
    import SimpleITK as sitk

MOST_STEPS = 30  # each squaring takes as long as the first, and beyond 2^30 steps none changes a digit


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
        Number of squarings, up to 30.

    Raises
    ------
    ValueError
        If the velocity does not fit the grid or is not finite, or for too many squarings.
    """

    velocity: Array
    grid: Grid
    steps: int = 7
    linear: ClassVar[bool] = False
    matrix: ClassVar[None] = None
    native: ClassVar[bool] = False
    exact_in_itk: ClassVar[bool] = True  # as a displacement field
    closed_inverse: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int | np.integer) or not 0 <= self.steps <= MOST_STEPS:
            raise ValueError(
                f"A velocity field is integrated in 0 to {MOST_STEPS} squarings, not {self.steps!r:.40}."
            )
        object.__setattr__(self, "velocity", checked_vectors(self.velocity, self.grid, "velocity"))

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

    def moved(self, matrix: npt.ArrayLike) -> StationaryVelocity:
        """The same map in another world; see `Transform.moved`."""
        matrix = np.asarray(matrix, dtype=float)
        return StationaryVelocity(self.velocity @ matrix[:-1, :-1].T, self.grid.moved(matrix), self.steps)

    def to_itk(self, grid: Grid | None = None) -> sitk.Transform:
        """The integrated field as an ITK displacement field transform."""
        return self.displacement.to_itk()

    def to_records(self, inline: bool) -> list[dict[str, Any]]:
        """The velocity, which no ITK file holds, its grid and the number of squarings."""
        return [
            {
                "kind": "stationary velocity",
                "grid": grid_to_record(self.grid),
                "steps": self.steps,
                "velocity": array_to_record(self.velocity),
            }
        ]

    @classmethod
    def from_record(cls, record: Record, array: Array | None) -> StationaryVelocity:
        """The transform of a record."""
        return cls(array_from_record(record["velocity"]), grid_from_record(record["grid"]), record["steps"])
