"""An image rotated about its structure, so that an object lies on another one though nothing corresponds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from ..core.geometry import Array

ANGLES = {2: np.arange(45.0, 316.0, 30.0), 3: np.arange(60.0, 301.0, 60.0)}  # degrees, in each plane of axes
THICK = 8  # pixels along an axis that allow a rotation
AROUND = 0.05  # of the image along each axis: how far from centre on centre the best place is looked for
# Correlation of the fixed image's edges with themselves rotated, from which a rotation changes little: that
# of a disc reaches 0.95, of other objects and brains 0.1 to 0.5.
ALIKE, SMOOTH = 0.8, 2.0  # and pixels of a Gaussian


def rotations(
    fixed: Array, moving: Array, inside: Array, spacing: Array
) -> Iterator[tuple[Array, Array, Array]]:
    """Fixed, the moving image rotated onto it, and where both have data, for several rotations.

    Two objects on a dark ground have outlines that overlap after any rotation, so they look more alike than
    displaced by far. Rotations under which the fixed image resembles itself, as a disc does, destroy nothing
    and are left out.

    Parameters
    ----------
    fixed, moving : ndarray
        On one grid.
    inside : ndarray of bool
        Where both have data.
    spacing : ndarray, shape (d,)
        Of the grid, world units.
    """
    from scipy.ndimage import gaussian_gradient_magnitude

    edges, others = (gaussian_gradient_magnitude(image, SMOOTH) for image in (fixed, moving))
    own, other = (_centre(image, inside) for image in (edges, others))
    for linear in _linear(fixed.shape, spacing):
        itself, both = _placed(edges, inside, linear, own, own)
        both &= inside
        if both.sum() < 2 or np.corrcoef(edges[both], itself[both])[0, 1] > ALIKE:
            continue
        turned, both = _placed(moving, inside, linear, own, other)
        way = _best(fixed, turned, inside, both)
        axes = tuple(range(fixed.ndim))
        yield fixed, np.roll(turned, way, axes), inside & np.roll(both, way, axes)


def _linear(shape: tuple[int, ...], spacing: Array) -> Iterator[Array]:
    """Rotations of pixels in each plane of two thick axes."""
    thick = [k for k, n in enumerate(shape) if n >= THICK]
    for i, j in combinations(thick, 2):
        for angle in np.deg2rad(ANGLES[2 if len(thick) == 2 else 3]):
            rotation = np.eye(len(shape))
            rotation[[i, j], [i, j]] = np.cos(angle)
            rotation[i, j], rotation[j, i] = -np.sin(angle), np.sin(angle)
            yield rotation * spacing / spacing[:, None]


def _centre(edges: Array, inside: Array) -> Array:
    """The mean place of what varies, whatever its brightness; in pixels."""
    weight = edges**2 * inside  # so that noise hardly counts
    total = max(float(weight.sum()), 1e-12)
    places: tuple[Array, ...] = np.indices(edges.shape, sparse=True)
    return np.array([(weight * index).sum() / total for index in places])


def _placed(image: Array, inside: Array, linear: Array, own: Array, other: Array) -> tuple[Array, Array]:
    """An image rotated, its centre on another one, and where it has data."""
    from scipy.ndimage import affine_transform

    offset = other - linear @ own
    turned = affine_transform(image, linear, offset, order=1, mode="nearest")
    return turned, affine_transform(inside.astype(np.float32), linear, offset, order=1) > 0.99


def _best(fixed: Array, moving: Array, inside: Array, both: Array) -> tuple[int, ...]:
    """The small displacement at which two images correlate most."""
    from scipy.fft import irfftn, rfftn

    a, b = ((image - image[where].mean()) * where for image, where in ((fixed, inside), (moving, both)))
    score = irfftn(rfftn(a) * np.conj(rfftn(b)), fixed.shape)
    reach = [int(AROUND * n) for n in fixed.shape]
    near = score[np.ix_(*[np.arange(-r, r + 1) for r in reach])]
    found = np.unravel_index(int(np.abs(near).argmax()), near.shape)
    return tuple(int(k) - r for k, r in zip(found, reach, strict=True))
