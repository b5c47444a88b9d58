"""Numerical inverses of transforms that have no closed one, on grids and at single points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..core.geometry import Array, Grid, unit_columns
from .affine import Affine
from .base import Transform

ITERATIONS = 30
SECANTS = 12  # steps without a derivative; where they do not get there, others with it follow
NEAREST = {2: 8, 3: 3}  # known points from which a node is tried again; volumes have many nodes


def _nothing() -> None:
    """What is called where nobody waits."""


def solve(transform: Transform, grid: Grid, tolerance: float | None = None) -> tuple[Affine, Array, float]:
    """Invert by Newton steps at every node of a grid.

    Parameters
    ----------
    transform : Transform
        The map to invert.
    grid : Grid
        Nodes y, in the transform's target world (the moving image's grid), at which x with T(x) = y is found.
    tolerance : float, optional
        World units; default a hundredth of the grid's finest spacing.

    Returns
    -------
    linear : Affine
        The inverse of the best affine approximation.
    displacement : ndarray, shape (*grid.shape, d)
        World displacement from linear(y) to x, for each node y.
    error : float
        The largest distance between T(x) and y over the nodes and, as interpolated, midway between them; in
        world units. Large where the transform folds or jumps and has no inverse.
    """
    tolerance = 0.01 * float(grid.spacing.min()) if tolerance is None else tolerance
    y = grid.nodes()
    linear = _best_affine(transform, grid).inverse()
    first = linear(y)
    x, missed = _newton(transform, first.copy(), y, tolerance)
    _try_again(transform, x, y, missed, first, float(grid.spacing.max()), tolerance)
    between = [_midway(points.reshape(*grid.shape, -1)) for points in (x, y)]
    error = max(float(missed.max()), float(np.linalg.norm(transform(between[0]) - between[1], axis=1).max()))
    return linear, (x - first).reshape(*grid.shape, -1), error


class PointInverse:
    """Inverts a transform at single points.

    Parameters
    ----------
    transform : Transform
        The map to invert.
    known : ndarray, shape (M, d)
        Points of its source world that cover evenly where preimages are expected (nodes of the fixed image's
        grid).
    tolerance : float
        World units; the search for a point ends when its image is as close as this.
    tick : callable
        Called from time to time; what it raises ends the search.
    """

    def __init__(
        self, transform: Transform, known: Array, tolerance: float, tick: Callable[[], object] = _nothing
    ) -> None:
        self.transform, self.known, self.tolerance, self._tick = transform, known, tolerance, tick
        images = transform(known)
        self._fit = np.linalg.lstsq(np.column_stack([images, np.ones(len(images))]), known, rcond=None)[0]
        self._apart = float(np.ptp(images, axis=0).max() / len(images) ** (1 / images.shape[1]))

    def __call__(self, y: Array) -> tuple[Array, Array]:
        """Find x with T(x) = y.

        Parameters
        ----------
        y : ndarray, shape (N, d)
            Points of the target world.

        Returns
        -------
        x : ndarray, shape (N, d)
            The closest that was found where there is no solution.
        missed : ndarray, shape (N,)
            The distance between T(x) and y, world units.
        """
        first = y @ self._fit[:-1] + self._fit[-1]
        x, missed = _secants(self.transform, first, y, self._fit[:-1].T, self.tolerance, self._tick)
        left = np.flatnonzero(missed > self.tolerance)
        if len(left):
            found, gap = _newton(
                self.transform, x[left], y[left], self.tolerance, exact=True, tick=self._tick
            )
            better = gap < missed[left]
            x[left[better]], missed[left[better]] = found[better], gap[better]
            _try_again(self.transform, x, y, missed, self.known, self._apart, self.tolerance, self._tick)
        return x, missed


def _secants(
    transform: Transform,
    x: Array,
    y: Array,
    slope: Array,
    tolerance: float,
    tick: Callable[[], object] = _nothing,
) -> tuple[Array, Array]:
    """Broyden's steps from x (N, d), with the same first guess (d, d) of the inverse slope for all points.

    Each step takes one evaluation of the transform.
    """
    residual = transform(x) - y
    missed = np.linalg.norm(residual, axis=1)
    inverse = np.repeat(slope[None], len(x), axis=0)
    todo = np.flatnonzero(missed > tolerance)
    for _ in range(SECANTS):
        if not len(todo):
            break
        tick()
        step = -np.einsum("nij,nj->ni", inverse[todo], residual[todo])
        there = transform(x[todo] + step) - y[todo]
        distance = np.linalg.norm(there, axis=1)
        better = distance < missed[todo]
        seen = np.einsum("nij,nj->ni", inverse[todo], there - residual[todo])
        along = np.einsum("ni,ni->n", step, seen)
        along[np.abs(along) < 1e-12 * np.einsum("ni,ni->n", step, step)] = np.inf
        rows = np.einsum("ni,nij->nj", step, inverse[todo])
        inverse[todo] += np.einsum("ni,nj->nij", (step - seen) / along[:, None], rows)
        at = todo[better]
        x[at] += step[better]
        residual[at], missed[at] = there[better], distance[better]
        todo = at[missed[at] > tolerance]
    return x, missed


def _midway(points: Array) -> Array:
    """The means of neighbouring points (*shape, d), as rows."""
    for axis, n in enumerate(points.shape[:-1]):
        if n > 1:
            points = (points.take(range(n - 1), axis) + points.take(range(1, n), axis)) / 2
    return points.reshape(-1, points.shape[-1])


def _best_affine(transform: Transform, grid: Grid) -> Affine:
    """Least-squares affine through the transform, over a coarse lattice mapped back from the grid."""
    d = grid.ndim
    coarse = grid.coarsened([max(1, n // 9) for n in grid.shape]).nodes()
    spread = np.concatenate([coarse, grid.corners()])
    # The lattice lies in the target world; one rough fit brings it into the source world for the second.
    for _ in range(2):
        targets = transform(spread)
        design = np.column_stack([spread, np.ones(len(spread))])
        solution = np.linalg.lstsq(design, targets, rcond=None)[0]
        matrix = np.eye(d + 1)
        matrix[:d] = solution.T
        if abs(np.linalg.det(unit_columns(matrix[:d, :d]))) < 1e-9:
            return Affine.identity(d)
        spread = Affine(matrix).inverse()(np.concatenate([coarse, grid.corners()]))
    return Affine(matrix)


def _try_again(
    transform: Transform,
    x: Array,
    y: Array,
    missed: Array,
    known: Array,
    spacing: float,
    tolerance: float,
    tick: Callable[[], object] = _nothing,
) -> None:
    """Solve the nodes that Newton's steps missed from points whose images are close; x and missed change.

    From the affine approximation the steps may get caught where the transform folds on the way, or where it
    is rougher than its Jacobian, which averages over neighbouring nodes.
    """
    from scipy.spatial import cKDTree

    todo = np.flatnonzero(missed > tolerance)
    if not len(todo):
        return
    # Farther than this from all images there is no solution: the node lies beyond what the transform reaches.
    reach = 2 * spacing
    count = NEAREST[x.shape[1]]
    far, near = cKDTree(transform(known)).query(y[todo], k=range(1, count + 1), distance_upper_bound=reach)
    for k in range(count):
        left = (missed[todo] > tolerance) & np.isfinite(far[:, k])
        if not left.any():
            break
        at = todo[left]
        found, gap = _newton(transform, known[near[left, k]], y[at], tolerance, exact=True, tick=tick)
        better = gap < missed[at]
        x[at[better]], missed[at[better]] = found[better], gap[better]


def _newton(
    transform: Transform,
    x: Array,
    y: Array,
    tolerance: float,
    exact: bool = False,
    tick: Callable[[], object] = _nothing,
) -> tuple[Array, Array]:
    """Solve T(x) = y point by point; returns x (N, d) and the distance still missed (N,).

    With `exact` the slopes are those of the transform itself, over a step of the tolerance. `tick` is called
    before each step.
    """
    missed = np.linalg.norm(transform(x) - y, axis=1)
    damping = np.ones(len(x))
    for _ in range(ITERATIONS):
        todo = np.flatnonzero((missed > tolerance) & (damping > 1e-3))
        if not len(todo):
            break
        tick()
        residual = transform(x[todo]) - y[todo]
        jacobian = slopes(transform, x[todo], tolerance) if exact else transform.jacobian(x[todo])
        scale = np.linalg.norm(jacobian, axis=(1, 2)) / np.sqrt(x.shape[1])
        singular = np.abs(np.linalg.det(jacobian)) <= 1e-6 * scale ** x.shape[1]
        jacobian[singular] = np.eye(x.shape[1])
        step = np.linalg.solve(jacobian, residual[..., None])[..., 0]
        trial = x[todo] - damping[todo, None] * step
        distance = np.linalg.norm(transform(trial) - y[todo], axis=1)
        better = distance < missed[todo]
        x[todo[better]] = trial[better]
        missed[todo[better]] = distance[better]
        damping[todo[better]] = np.minimum(1.0, 2 * damping[todo[better]])
        damping[todo[~better]] *= 0.5  # a shorter step from the same place next time
    return x, missed


def slopes(transform: Transform, x: Array, step: float) -> Array:
    """Derivative of a map at points (N, d) by differences over a step in world units, (N, d, d)."""
    columns = [
        (transform(x + step * axis) - transform(x - step * axis)) / (2 * step) for axis in np.eye(x.shape[1])
    ]
    return np.stack(columns, axis=-1)
