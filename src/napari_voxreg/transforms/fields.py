"""Vector fields on grids, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid
from .affine import Affine, fit_points
from .base import Transform

NODES = 16  # along each axis, to which an affine map is fitted


def checked_vectors(field: npt.ArrayLike, grid: Grid, what: str) -> Array:
    """A field as read-only float64 (*grid.shape, d), checked against its grid; `what` names it in errors."""
    vectors = np.array(field, dtype=np.float64)
    if vectors.shape != (*grid.shape, grid.ndim):
        raise ValueError(
            f"A {what} field of shape {vectors.shape} does not fit its grid; "
            f"it must be {(*grid.shape, grid.ndim)}."
        )
    if not np.isfinite(vectors).all():
        raise ValueError(f"A {what} field must be finite everywhere.")
    vectors.setflags(write=False)
    return vectors


def sample(field: Array, grid: Grid, points: Array) -> Array:
    """Linear interpolation of (*shape, c) at world points (N, d), zero outside the grid's pixels, (N, c)."""
    from scipy.ndimage import map_coordinates

    index = grid.to_index(points)
    inside = np.all((index >= -0.5) & (index < np.array(grid.shape) - 0.5), axis=1)
    values = np.zeros((len(points), field.shape[-1]))
    coordinates = index[inside].T
    for c in range(field.shape[-1]):
        values[inside, c] = map_coordinates(field[..., c], coordinates, order=1, mode="nearest")
    return values


def gradient(field: Array, axis: int) -> Array:
    """Central differences per pixel along one axis; zero along an axis of one pixel."""
    return np.zeros_like(field) if field.shape[axis] < 2 else np.gradient(field, axis=axis)


def _steps(grid: Grid) -> list[int]:
    """From node to node, in pixels, along each axis."""
    return [max(1, n // NODES) for n in grid.shape]


def affine_part(transform: Transform, grid: Grid) -> Affine:
    """The affine map that fits a transform best over a grid, which `without_affine` undoes.

    Parameters
    ----------
    transform : Transform
    grid : Grid
        A part of its nodes is enough.
    """
    points = grid.coarsened(_steps(grid)).nodes()
    return fit_points(points, transform(points))


def without_affine(displacement: Array, grid: Grid) -> Array:
    """What is left of a map when its affine part has been undone.

    Parameters
    ----------
    displacement : ndarray, shape (*grid.shape, d)
        u(x) of the map x + u(x), world units.
    grid : Grid
        Where the vectors stand.

    Returns
    -------
    ndarray, shape (*grid.shape, d)
        The displacement A^-1(x + u(x)) - x, where A is the affine map that fits best.
    """
    steps = _steps(grid)
    points = grid.coarsened(steps).nodes()
    moved = points + displacement[tuple(slice(None, None, s) for s in steps)].reshape(-1, grid.ndim)
    inverse = np.linalg.inv(fit_points(points, moved).matrix)
    left = displacement @ inverse[:-1, :-1].T
    # What the inverse adds to a point is affine in its index: one summand for each axis.
    change = (inverse - np.eye(grid.ndim + 1)) @ grid.affine
    left += change[:-1, -1]
    for axis, column in enumerate(change[:-1, :-1].T):
        along = np.arange(grid.shape[axis]).reshape([-1 if k == axis else 1 for k in range(grid.ndim)])
        left += along[..., None] * column
    return left


def jacobian_determinant(displacement: Array, grid: Grid) -> Array:
    """Determinant of the Jacobian of x + u(x) by central differences.

    Parameters
    ----------
    displacement : ndarray, shape (*grid.shape, d)
        World units.
    grid : Grid
        Where the vectors stand.

    Returns
    -------
    ndarray, shape grid.shape, float32
        1 where volume is kept, negative where space folds.
    """
    # d(x + u)/dx = (A + du/di) A^-1 with the grid's linear part A: one determinant, no product of matrices.
    linear = grid.affine[:-1, :-1]
    scale = np.float32(1 / np.linalg.det(linear))
    result = np.empty(grid.shape, dtype=np.float32)
    for slab, change in _derivatives(displacement, grid):
        rows = [
            [du + np.float32(one) for du, one in zip(row, a, strict=True)]
            for row, a in zip(change, linear, strict=True)
        ]
        result[slab] = _determinant(rows) * scale
    return result


def principal_strain(displacement: Array, grid: Grid) -> Array:
    """Largest principal Green-Lagrange strain of x + u(x) by central differences.

    With H = du/dx, in world units, the strain tensor is E = (H + H^T + H^T H) / 2 = (F^T F - I) / 2 for the
    derivative F = I + H of the map. A line whose length changes by the factor s has the strain (s^2 - 1) / 2.

    Parameters
    ----------
    displacement : ndarray, shape (*grid.shape, d)
        World units.
    grid : Grid
        Where the vectors stand.

    Returns
    -------
    ndarray, shape grid.shape, float32
        The largest eigenvalue of E, without a unit: 0 for a rotation, negative where all lines shorten.
    """
    result = np.empty(grid.shape, dtype=np.float32)
    d = grid.ndim
    for slab, change in _derivatives(displacement, grid):
        h = _per_world(change, grid)
        strain = [
            [(h[i][j] + h[j][i] + sum(h[k][i] * h[k][j] for k in range(d))) / 2 for j in range(d)]
            for i in range(d)
        ]
        result[slab] = _largest_eigenvalue(strain)
    return result


def curl(displacement: Array, grid: Grid) -> Array:
    """Curl of a displacement by central differences: in 2D the scalar, in 3D the length of the vector.

    Parameters
    ----------
    displacement : ndarray, shape (*grid.shape, d)
        World units.
    grid : Grid
        Where the vectors stand.

    Returns
    -------
    ndarray, shape grid.shape, float32
        Without a unit; a rotation by t has 2 sin t. In 2D it is du_1/dx_0 - du_0/dx_1 with axis 0 down and
        axis 1 to the right, so positive where the map rotates counter-clockwise on the screen.
    """
    result = np.empty(grid.shape, dtype=np.float32)
    for slab, change in _derivatives(displacement, grid):
        h = _per_world(change, grid)
        if grid.ndim == 2:
            result[slab] = h[1][0] - h[0][1]
        else:
            result[slab] = np.sqrt(sum((h[j][k] - h[k][j]) ** 2 for j, k in ((0, 1), (1, 2), (2, 0))))
    return result


def _derivatives(displacement: Array, grid: Grid) -> Iterator[tuple[slice, list[list[Array]]]]:
    """Central differences [i][k] of component i per pixel along axis k, slab by slab along the first axis."""
    # Slabs bound the memory: d * d derivatives of a whole volume would take gigabytes.
    thick = max(1, 500_000 // max(1, int(np.prod(grid.shape[1:]))))
    for start in range(0, grid.shape[0], thick):
        stop = min(start + thick, grid.shape[0])
        low, high = max(start - 1, 0), min(stop + 1, grid.shape[0])
        slab = np.moveaxis(displacement[low:high], -1, 0)
        yield (
            slice(start, stop),
            [
                [gradient(u, k)[start - low : stop - low].astype(np.float32) for k in range(grid.ndim)]
                for u in slab
            ],
        )


def _per_world(change: list[list[Array]], grid: Grid) -> list[list[Array]]:
    """Derivatives [i][j] with respect to world coordinate j, from those per pixel."""
    inverse = np.linalg.inv(grid.affine[:-1, :-1]).astype(np.float32)
    return [[sum(du * inverse[k, j] for k, du in enumerate(row)) for j in range(grid.ndim)] for row in change]


def _largest_eigenvalue(m: list[list[Array]]) -> Array:
    """Largest eigenvalues of symmetric 2 x 2 or 3 x 3 matrices given as rows of arrays."""
    mean = sum(m[i][i] for i in range(len(m))) / np.float32(len(m))
    if len(m) == 2:
        return mean + np.hypot((m[0][0] - m[1][1]) / 2, m[0][1])
    # By the trigonometric solution of the characteristic polynomial; many times quicker than LAPACK.
    b = [[m[i][j] - mean if i == j else m[i][j] for j in range(3)] for i in range(3)]
    size = np.sqrt(sum(b[i][j] ** 2 for i in range(3) for j in range(3)) / 6)
    cubed = np.maximum(size**3, np.finfo(np.float32).tiny)
    angle = np.arccos(np.clip(_determinant(b) / (2 * cubed), -1, 1)) / 3
    return mean + 2 * size * np.cos(angle)


def _determinant(m: list[list[Array]]) -> Array:
    """Determinants of 2 x 2 or 3 x 3 matrices given as rows of arrays."""
    if len(m) == 2:
        return m[0][0] * m[1][1] - m[0][1] * m[1][0]
    minors = [m[1][j] * m[2][k] - m[1][k] * m[2][j] for j, k in ((1, 2), (2, 0), (0, 1))]
    return m[0][0] * minors[0] + m[0][1] * minors[1] + m[0][2] * minors[2]
