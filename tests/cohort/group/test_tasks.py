"""What runs for one image of a cohort."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import Grid, Image
from napari_voxreg.cohort.group.tasks import registration, unreliable
from napari_voxreg.core.geometry import Array

SMOOTH, NOISE, MARGIN = 5, 0.5, 8


def scene(seed: int, side: int = 64) -> Array:
    """A smooth one of unit contrast, wider than what images show of it."""
    found = gaussian_filter(np.random.default_rng(seed).standard_normal((side + 2 * MARGIN,) * 2), SMOOTH)
    return found / found.std()


def photograph(pixels: Array, seed: int, way: tuple[int, int] = (0, 0)) -> Image:
    """A noisy image of a scene, from elsewhere."""
    box = tuple(slice(MARGIN + w, n - MARGIN + w) for n, w in zip(pixels.shape, way, strict=True))
    shown = pixels[box]
    shown = shown + NOISE * np.random.default_rng(seed).standard_normal(shown.shape)
    return Image(shown.astype(np.float32), Grid.from_spacing(shown.shape))


@pytest.mark.parametrize("seed", range(2))
def test_small_smooth_images_are_aligned_from_where_they_lie(seed: int) -> None:
    way = (2, -3)
    template, image = photograph(scene(seed), 10), photograph(scene(seed), 11, way)
    found = registration(template, image, "pose", None, 0, "cpu", 1)
    assert not unreliable(found.notes)
    assert found.transform is not None
    centre = template.grid.centre[None]
    assert np.allclose(found.transform(centre) - centre, np.negative(way), atol=1.0)
    other = registration(template, photograph(scene(seed + 20), 12), "pose", None, 0, "cpu", 1)
    assert unreliable(other.notes)
