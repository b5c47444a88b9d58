"""Thin-plate splines through landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid
from .base import Record, Transform, world_points
from .composite import conjugated, dense_to_itk, invert

if TYPE_CHECKING:
    import SimpleITK as sitk

SAME = 1e-6  # of the extent of all points: two closer than this are taken as one
MOST_POINTS = 5000  # a matrix of their number squared is solved: 200 MB, some seconds


def coincident(points: Array, within: float = 0.0) -> str:
    """Where two points lie at one place, as text; empty where none do.

    Parameters
    ----------
    points : ndarray, shape (N, d)
    within : float
        Distance of two that still coincide, as a fraction of the extent of all.
    """
    from scipy.spatial import cKDTree

    twice = cKDTree(points).query_pairs(within * float(np.ptp(points, axis=0).max()))
    return f"({', '.join(f'{x:.6g}' for x in points[min(twice)[0]])})" if twice else ""


@dataclass(frozen=True, eq=False)
class ThinPlate:
    """The map of least bending energy through corresponding points (Bookstein, IEEE PAMI 11, 1989).

    Parameters
    ----------
    fixed_points, moving_points : ndarray, shape (N, d)
        Corresponding world points; more than d of them, not all on one line or plane.
    smoothing : float
        0 passes through every point; larger values approach the least-squares affine.
    """

    fixed_points: Array
    moving_points: Array
    smoothing: float = 0.0
    linear: ClassVar[bool] = False
    matrix: ClassVar[None] = None
    native: ClassVar[bool] = False
    exact_in_itk: ClassVar[bool] = False
    closed_inverse: ClassVar[bool] = False

    def __post_init__(self) -> None:
        fixed = np.array(self.fixed_points, dtype=float)
        moving = np.array(self.moving_points, dtype=float)
        if fixed.ndim != 2 or fixed.shape != moving.shape or fixed.shape[1] not in (2, 3):
            raise ValueError(
                "A thin-plate spline needs equally many fixed and moving points, "
                f"not {fixed.shape} and {moving.shape}."
            )
        if len(fixed) > MOST_POINTS:
            raise ValueError(
                f"A thin-plate spline takes up to {MOST_POINTS} points, not {len(fixed)}; leave some out."
            )
        numbers = np.append(np.append(fixed, moving), self.smoothing)
        if numbers.dtype.kind != "f" or not np.isfinite(numbers).all() or self.smoothing < 0:
            raise ValueError("The points and the smoothing of a thin-plate spline must be finite numbers.")
        centred = fixed - fixed.mean(axis=0) if len(fixed) else fixed
        if np.linalg.matrix_rank(centred) < fixed.shape[1]:
            raise ValueError(
                f"{len(fixed)} points on one line or plane do not fix a {fixed.shape[1]}D spline; add others."
            )
        if not self.smoothing and (place := coincident(fixed)):
            raise ValueError(
                f"Two fixed points coincide at {place}, which a thin plate cannot map; move or delete one."
            )
        for name, points in (("fixed_points", fixed), ("moving_points", moving)):
            points.setflags(write=False)
            object.__setattr__(self, name, points)

    @property
    def ndim(self) -> int:
        """Number of world axes."""
        return int(self.fixed_points.shape[1])

    @cached_property
    def _spline(self) -> Any:
        from scipy.interpolate import RBFInterpolator

        # The kernel of least bending energy is r^2 log r in the plane and r in space.
        kernel = "thin_plate_spline" if self.ndim == 2 else "linear"
        return RBFInterpolator(
            self.fixed_points, self.moving_points, smoothing=self.smoothing, kernel=kernel, degree=1
        )

    def __call__(self, points: npt.ArrayLike) -> Array:
        """Map world points, (N, d) to (N, d)."""
        return np.asarray(self._spline(world_points(points, self.ndim)))

    def jacobian(self, points: npt.ArrayLike) -> Array:
        """Derivative by central differences of the smooth map, shape (N, d, d)."""
        points = world_points(points, self.ndim)
        step = 1e-5 * float(np.ptp(self.fixed_points, axis=0).max())
        columns = [
            (self(points + step * axis) - self(points - step * axis)) / (2 * step)
            for axis in np.eye(self.ndim)
        ]
        return np.stack(columns, axis=-1)

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
        """The points and the smoothing."""
        return [
            {
                "kind": "thin plate",
                "smoothing": self.smoothing,
                "fixed points": self.fixed_points.tolist(),
                "moving points": self.moving_points.tolist(),
            }
        ]

    @classmethod
    def from_record(cls, record: Record, array: Array | None) -> ThinPlate:
        """The transform of a record."""
        return cls(np.array(record["fixed points"]), np.array(record["moving points"]), record["smoothing"])
