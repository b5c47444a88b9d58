"""Inverses of transforms at points and on the grids of images, exact where they are closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..core.geometry import Array, Grid
from ..core.progress import Progress
from ..transforms import (
    Affine,
    BSpline,
    Composite,
    Displacement,
    StationaryVelocity,
    Transform,
    displacement_on,
)
from ..transforms.affine import fit_points
from ..transforms.invert import PointInverse, slopes

LATTICE = {2: 48, 3: 16}  # nodes along each axis of the fixed grid, from which preimages are looked for
# Of the finest spacing: how close T(x) must come to y, and how far an inverse may miss it between its nodes.
TOLERANCE, BETWEEN = 0.005, 0.02
LOST = 0.1  # of the finest spacing, from which a point counts as one without a preimage
ENOUGH = 0.99  # of the places between nodes that must not miss by more
STEPS = (8, 4, 2, 1)  # pixels between the nodes of an inverse, refined until it is exact enough
SLAB = 10_000  # nodes at once, after which progress is reported
LAYER = 300_000  # points that are mapped there and back at once


@dataclass(frozen=True)
class Exactness:
    """How far a numerical inverse can be relied on.

    Parameters
    ----------
    error : float
        By how much mapping there and back misses at most, world units.
    lost : float
        Fraction of the points or nodes for which no preimage was found.
    folded : float
        About how much of the fixed image the transform folds, percent.
    """

    error: float
    lost: float
    folded: float


def inverse_on(
    transform: Transform, fixed: Grid | None, grid: Grid, progress: Progress
) -> tuple[Transform, Exactness | None]:
    """The inverse of a transform on the nodes of a grid.

    Parameters
    ----------
    transform : Transform
        From the fixed to the moving world.
    fixed : Grid or None
        Where it was found; only a guess without it.
    grid : Grid
        In the moving world.
    progress : Progress
        Called on the way; may raise `Cancelled`.

    Returns
    -------
    Transform
        From the moving to the fixed world.
    Exactness or None
        None where the inverse is exact.
    """
    if transform.closed_inverse:
        return transform.inverse(grid), None
    finest, known = float(grid.spacing.min()), _lattice(transform, fixed, grid)
    solve = PointInverse(transform, known, TOLERANCE * finest, _ticking(progress))
    for step in STEPS:
        nodes = _spread(grid, step)
        x, missed = _solved(solve, nodes.nodes())
        inverse = Displacement((x - nodes.nodes()).reshape(*nodes.shape, -1), nodes)
        # At the last step every pixel is a node.
        gaps = _between(transform, inverse, nodes, progress) if step > 1 else missed
        if step == STEPS[-1] or np.mean(gaps <= BETWEEN * finest) >= ENOUGH:
            break
    error = max(float(missed.max()), float(gaps.max()))
    lost = float(np.mean(missed > LOST * finest))
    return replace(inverse, inverse_error=error), Exactness(error, lost, _folded(transform, known))


def inverse_at(
    transform: Transform, fixed: Grid | None, points: Array, progress: Progress
) -> tuple[Array, Exactness | None]:
    """The points (N, d) of the fixed world that a transform maps to given ones.

    Parameters
    ----------
    transform, fixed, progress
        As in `inverse_on`.
    points : ndarray, shape (N, d)
        In the moving world; at least one.
    """
    around = _box(points)
    if transform.closed_inverse:
        return transform.inverse(around)(points), None
    finest = float((around if fixed is None else fixed).spacing.min())
    known = _lattice(transform, fixed, around)
    x, missed = _solved(PointInverse(transform, known, TOLERANCE * finest, _ticking(progress)), points)
    lost = float(np.mean(missed > LOST * finest))
    return x, Exactness(float(missed.max()), lost, _folded(transform, known))


def inverse_consistency(transform: Transform, fixed: Grid, moving: Grid, progress: Progress) -> Array:
    """By how much mapping there and back misses: the distance between S(T(x)) and x.

    Parameters
    ----------
    transform : Transform
        T, from the fixed to the moving world.
    fixed, moving : Grid
        Of the images, in the same units; S is the inverse on the moving grid, as `apply` uses it.
    progress : Progress
        Called on the way; may raise `Cancelled`.

    Returns
    -------
    ndarray, shape fixed.shape, float32
        World units; NaN where T(x) lies outside the moving grid.
    """
    inverse, _ = inverse_on(transform, fixed, moving, progress)
    there = displacement_on(transform, fixed)
    error = np.empty(fixed.shape, dtype=np.float32)
    thick = max(1, LAYER // max(1, int(np.prod(fixed.shape[1:]))))
    for start in range(0, fixed.shape[0], thick):
        progress(None, "mapping there and back")
        index = np.indices(error[start : start + thick].shape, dtype=float).reshape(fixed.ndim, -1).T
        index[:, 0] += start
        nodes = fixed.to_world(index)
        moved = nodes + there[start : start + thick].reshape(nodes.shape)
        missed = np.linalg.norm(inverse(moved) - nodes, axis=1)
        missed[~moving.contains(moved)] = np.nan
        error[start : start + thick] = missed.reshape(-1, *fixed.shape[1:])
    return error


def _lattice(transform: Transform, fixed: Grid | None, grid: Grid) -> Array:
    """Points (M, d) of the fixed world that cover what a transform maps onto a grid of the moving world."""
    if fixed is None:
        fixed = _first_field(transform)
    if fixed is not None:
        return _coarse(fixed)
    goal = _coarse(grid)
    # The first fit is made where the points lie in the wrong world, the second near where they came from.
    known = goal
    for _ in range(2):
        back = np.linalg.pinv(fit_points(known, transform(known)).matrix)
        known = goal @ back[:-1, :-1].T + back[:-1, -1]
    return known


def _first_field(transform: Transform) -> Grid | None:
    """The grid of a field that is not preceded by anything but affine maps, in the fixed world."""
    before = np.eye(transform.ndim + 1)
    for member in transform.members if isinstance(transform, Composite) else (transform,):
        if isinstance(member, Displacement | StationaryVelocity | BSpline):
            return member.grid.moved(np.linalg.inv(before))
        if not isinstance(member, Affine):
            return None
        before = member.matrix @ before
    return None


def _folded(transform: Transform, known: Array) -> float:
    """Percentage of points (M, d) around which a transform folds; a mirror image does not count."""
    step = 1e-4 * float(np.ptp(known, axis=0).max())
    determinant = np.linalg.det(slopes(transform, known, step))
    return 100 * float(np.mean(determinant * np.sign(np.median(determinant)) <= 0))


def outside(transform: Transform, points: Array) -> Array:
    """Which points (N, d) of the fixed world a transform takes to where one of its fields is not defined."""
    beyond = np.zeros(len(points), dtype=bool)
    for member in transform.members if isinstance(transform, Composite) else (transform,):
        if isinstance(member, Displacement | StationaryVelocity):
            beyond |= ~member.grid.contains(points)
        elif isinstance(member, BSpline):
            index = member.grid.to_index(points)
            beyond |= ~np.all((index >= 1) & (index <= np.array(member.grid.shape) - 2), axis=1)
        points = member(points)
    return beyond


def _coarse(grid: Grid) -> Array:
    """Some nodes of a grid that cover it, with its corners."""
    count = LATTICE[grid.ndim]
    nodes = grid.coarsened([max(1, -(-n // count)) for n in grid.shape]).nodes()
    return np.concatenate([nodes, grid.corners()])


def _box(points: Array) -> Grid:
    """A grid around points, as wide as they are along every axis."""
    d = points.shape[1]
    low, wide = points.min(axis=0), float(np.ptp(points, axis=0).max()) or 1.0
    return Grid.from_spacing((LATTICE[d],) * d, wide / (LATTICE[d] - 1), low)


def _spread(grid: Grid, step: int) -> Grid:
    """A grid with the same corners, and so many pixels between its nodes at most."""
    shape = tuple(-(-(n - 1) // step) + 1 for n in grid.shape)
    scale = [(n - 1) / max(1, m - 1) if n > 1 else 1.0 for n, m in zip(grid.shape, shape, strict=True)]
    return Grid(shape, grid.affine @ np.diag([*scale, 1.0]), grid.units, grid.crs)


def _ticking(progress: Progress) -> Callable[[], None]:
    """What reports from inside the search for preimages."""
    return partial(progress, None, "inverting the transform")


def _solved(solve: PointInverse, y: Array) -> tuple[Array, Array]:
    """Preimages of points (N, d), and by how much each misses."""
    x, missed = np.empty_like(y), np.empty(len(y))
    for start in range(0, len(y), SLAB):
        part = slice(start, start + SLAB)
        x[part], missed[part] = solve(y[part])
    return x, missed


def _between(transform: Transform, inverse: Transform, nodes: Grid, progress: Progress) -> Array:
    """By how much an inverse misses midway between its nodes, world units."""
    inner = [max(1, n - 1) for n in nodes.shape]
    middle = np.indices(inner, dtype=float).reshape(nodes.ndim, -1).T + 0.5 * (np.array(nodes.shape) > 1)
    y = nodes.to_world(middle)
    gaps = np.empty(len(y))
    for start in range(0, len(y), SLAB):
        progress(None, "checking the inverse")
        part = y[start : start + SLAB]
        gaps[start : start + SLAB] = np.linalg.norm(transform(inverse(part)) - part, axis=1)
    return gaps
