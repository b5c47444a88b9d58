"""A fundus photograph at two visits."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import data

from ..core.geometry import Array, Grid, Image
from ..transforms import warp
from .base import Sample, SampleInfo
from .drawing import known_warp, smooth_noise, soft


def make(info: SampleInfo, seed: int = 0) -> Sample:
    """The retina of scikit-image, and the same later: moved, lit otherwise, with a small haemorrhage.

    Shape (705, 705) with three channels, uint8, in pixels.
    """
    rng = np.random.default_rng(seed)
    photograph = _halved(data.retina())  # lies in scikit-image's own package: no download
    grid = Grid.from_spacing(photograph.shape[:2])
    truth = known_warp(
        grid, rng, rotation=-3.0, zoom=1.02, translation=(9.0, -12.0), wobble=3.0, length=110.0
    )
    later = photograph.copy()
    _bleed(later, grid, centre=(430.0, 245.0), radius=15.0, rng=rng)
    moved = warp(Image(later, grid), truth.inverse(grid), grid).data
    return Sample(
        info.name,
        info.title,
        info.description,
        Image(_to_bytes(photograph), grid, "fundus fixed (simulated)"),
        Image(_to_bytes(_relit(moved, rng)), grid, "fundus moving (simulated)"),
        truth,
    )


def _halved(image: Array) -> Array:
    """Means of two by two pixels, float32 in 0 to 1."""
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3)
    return blocks.mean(axis=(1, 3)).astype(np.float32) / 255


def _bleed(
    image: Array, grid: Grid, centre: tuple[float, float], radius: float, rng: np.random.Generator
) -> None:
    """Paint a blot haemorrhage with two satellites into an image (in place)."""
    rows, columns = np.indices(grid.shape, dtype=np.float32)
    ragged = 0.18 * radius * smooth_noise(grid.shape, 0.35 * radius, rng)
    blot = np.zeros(grid.shape, dtype=np.float32)
    for down, right, size in ((0, 0, radius), (24, 9, 0.35 * radius), (-12, 22, 0.28 * radius)):
        distance = np.hypot(rows - centre[0] - down, columns - centre[1] - right) - size
        blot = np.maximum(blot, soft(distance + ragged, 5.0).astype(np.float32))
    colour = np.array([0.45, 0.09, 0.05], dtype=np.float32)
    image += 0.85 * blot[..., None] * (colour - image)


def _relit(image: Array, rng: np.random.Generator) -> Array:
    """Another flash, tilt, gamma and colour balance, slight blur and sensor noise."""
    shape = image.shape[:2]
    rows, columns = (np.indices(shape, dtype=np.float32) - 352) / 352
    light = 0.98 + 0.14 * columns - 0.09 * rows + 0.03 * smooth_noise(shape, 110.0, rng)
    image = ndimage.gaussian_filter(image, (0.5, 0.5, 0))
    lit = np.clip(image * light[..., None], 0, 1) ** np.array([1.06, 0.96, 0.96], dtype=np.float32)
    eye = image.max(axis=-1, keepdims=True) > 0.04
    return lit + eye * 0.008 * rng.standard_normal(image.shape, dtype=np.float32)


def _to_bytes(image: Array) -> Array:
    return np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)
