"""What the simulated scenes share: smooth noise, known warps, soft edges."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from ..core.geometry import Array, Grid
from ..transforms import Affine, StationaryVelocity, Transform, chain


def smooth_noise(shape: tuple[int, ...], length: float, rng: np.random.Generator) -> Array:
    """Gaussian noise of zero mean and unit variance, smoothed over `length` pixels, float32."""
    # Long lengths are drawn coarsely and enlarged: similar noise for a fraction of the time.
    step = max(1.0, length / 3)
    coarse = tuple(math.ceil(n / step) + 4 for n in shape)
    noise = ndimage.gaussian_filter(
        rng.standard_normal(coarse).astype(np.float32), length / step, mode="wrap"
    )
    if step > 1:
        index = [np.arange(n, dtype=np.float32) / step + 1.5 for n in shape]
        for axis, positions in enumerate(index):
            noise = _interpolate_along(noise, positions, axis)
    else:
        noise = noise[tuple(slice(n) for n in shape)]
    noise = noise - noise.mean()
    return noise / noise.std()


def soft(distance: Array, width: float) -> Array:
    """1 where a signed distance is well below zero, 0 well above, with an edge about `width` wide."""
    return 1 / (1 + np.exp(np.clip(distance * (4 / width), -30, 30)))


def known_warp(
    grid: Grid,
    rng: np.random.Generator,
    *,
    rotation: float,
    zoom: float,
    translation: tuple[float, ...],
    wobble: float,
    length: float,
) -> Transform:
    """A small similarity followed by a smooth diffeomorphism, that can be inverted exactly.

    Parameters
    ----------
    grid : Grid
        What the warp must cover (it covers somewhat more).
    rng : numpy.random.Generator
        Draws the diffeomorphism.
    rotation, zoom, translation
        Degrees about the grid's centre (in the plane of the last two axes), factor, and world units.
    wobble : float
        Root mean square of the diffeomorphism's displacement, world units.
    length : float
        Over which the diffeomorphism varies, world units.
    """
    field = velocity_grid(grid, length / 8)
    noise = [smooth_noise(field.shape, length / float(field.spacing[0]), rng) for _ in translation]
    # The velocity fades to zero at the rim, so that nothing jumps there.
    velocity = wobble * np.stack(noise, axis=-1) * rim(field.shape)[..., None]
    return chain(similarity(grid, rotation, zoom, translation), StationaryVelocity(velocity, field))


def similarity(grid: Grid, rotation: float, zoom: float, translation: tuple[float, ...]) -> Affine:
    """Rotation (degrees, last two axes) and zoom about the grid's centre, then a translation, world units."""
    d = grid.ndim
    linear = np.eye(d)
    c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    linear[-2:, -2:] = [[c, -s], [s, c]]
    matrix = np.eye(d + 1)
    matrix[:d, :d] = zoom * linear
    matrix[:d, d] = grid.centre + np.asarray(translation) - matrix[:d, :d] @ grid.centre
    return Affine(matrix)


def velocity_grid(grid: Grid, step: float) -> Grid:
    """A coarse axis-aligned grid that covers a grid and an eighth of its size more on every side."""
    low, high = grid.corners().min(axis=0), grid.corners().max(axis=0)
    margin = (high - low) / 8
    shape = np.ceil((high - low + 2 * margin) / step).astype(int) + 1
    return Grid.from_spacing(tuple(shape), step, low - margin, units=grid.units)


def rim(shape: tuple[int, ...]) -> Array:
    """1 inside, falling smoothly to 0 at the border, over a tenth of each axis."""
    mask = np.ones(shape)
    for axis, n in enumerate(shape):
        along = np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.1 * n)
        profile = np.sin(np.pi / 2 * np.clip(along, 0, 1)) ** 2
        mask *= profile.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return mask


def _interpolate_along(values: Array, positions: Array, axis: int) -> Array:
    """Smooth (Catmull-Rom) interpolation along one axis at positions that lie at least one pixel inside."""
    base = np.floor(positions).astype(int)
    t = (positions - base).astype(np.float32)
    weights = (
        0.5 * (-t + 2 * t**2 - t**3),
        0.5 * (2 - 5 * t**2 + 3 * t**3),
        0.5 * (t + 4 * t**2 - 3 * t**3),
        0.5 * (-(t**2) + t**3),
    )
    along = [-1 if k == axis else 1 for k in range(values.ndim)]
    total = np.zeros([len(base) if k == axis else n for k, n in enumerate(values.shape)], dtype=np.float32)
    for offset, weight in enumerate(weights):
        total += weight.reshape(along) * np.take(values, base + offset - 1, axis=axis)
    return total
