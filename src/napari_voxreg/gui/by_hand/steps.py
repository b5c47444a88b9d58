"""Steps of a pose, as maps of the world in homogeneous form, and what a pose is in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.geometry import Array, Grid, apply_affine, unit_factor


def translation(axis: int, distance: float, ndim: int) -> Array:
    """A translation along one axis, in world units, (d + 1, d + 1)."""
    matrix = np.eye(ndim + 1)
    matrix[axis, -1] = distance
    return matrix


def rotation(axes: tuple[int, int], degrees: float, units: Sequence[str]) -> Array:
    """A rotation about the origin by which the first axis goes towards the second, (d + 1, d + 1).

    Parameters
    ----------
    axes : tuple of int
        Of the plane.
    degrees : float
    units : sequence of str
        Of all d axes; where they differ, it is lengths that are kept, not numbers.
    """
    first, second = axes
    angle = np.deg2rad(degrees)
    matrix = np.eye(len(units) + 1)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first], matrix[first, second] = np.sin(angle), -np.sin(angle)
    lengths = _lengths(units)
    result: Array = np.linalg.inv(lengths) @ matrix @ lengths
    return result


def scaling(factor: float, ndim: int) -> Array:
    """The same scale along all axes, about the origin, (d + 1, d + 1)."""
    return np.diag([*[factor] * ndim, 1.0])


def mirror(axis: int, ndim: int) -> Array:
    """A reflection that reverses one axis, about the origin, (d + 1, d + 1)."""
    matrix = np.eye(ndim + 1)
    matrix[axis, axis] = -1.0
    return matrix


def about(centre: Array, matrix: Array) -> Array:
    """A map (d + 1, d + 1) carried from the origin to a centre (d,)."""
    there = np.eye(len(matrix))
    there[:-1, -1] = centre
    result: Array = there @ matrix @ np.linalg.inv(there)
    return result


def pixel_along(grid: Grid, axis: int) -> float:
    """The size of a pixel along an axis of the world: that of the array's axis nearest to it."""
    return float(grid.spacing[int(np.argmax(np.abs(grid.direction[axis])))])


def in_words(motion: Array, fixed: Grid, moving: Grid) -> str:
    """How a map (d + 1, d + 1) of the world moves an image.

    Parameters
    ----------
    motion : ndarray
        From where the image lies to where it is seen.
    fixed : Grid
        In whose pixels the translation of the centre is told.
    moving : Grid
        Of the image, in the units of the fixed one.
    """
    lengths = _lengths(fixed.units)
    linear = (lengths @ motion @ np.linalg.inv(lengths))[:-1, :-1]
    d = len(linear)
    scale = abs(np.linalg.det(linear)) ** (1 / d)
    left, stretch, right = np.linalg.svd(linear)
    direction = left @ right
    flipped = np.linalg.det(direction) < 0
    if flipped:  # as a rotation after a reversal of the last axis
        direction = direction @ np.diag([*[1.0] * (d - 1), -1.0])
    cosine = (np.trace(direction) - (d - 2)) / 2
    angle = float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))
    offset = apply_affine(motion, moving.centre[None])[0] - moving.centre
    pixels = [offset[axis] / pixel_along(fixed, axis) for axis in range(d)]
    parts = [f"moved by {', '.join(f'{value:.1f}' for value in pixels)} px".replace("-0.0", "0.0")]
    if angle > 0.005:
        parts.append(f"rotated by {angle:.2f}°")
    if abs(scale - 1) > 5e-5:
        parts.append(f"scaled by {scale:.4g}")
    if stretch[0] / stretch[-1] > 1 + 1e-4:
        parts.append("stretched")
    if flipped:
        parts.append("flipped")
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _lengths(units: Sequence[str]) -> Array:
    """From numbers to lengths in the last axis' unit, (d + 1, d + 1)."""
    return np.diag([*(unit_factor(unit, units[-1]) for unit in units), 1.0])
