"""Linear motion between two images, against known motions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from napari_voxreg.cohort.series.motion import KINDS, Kind, Template, copies, generators
from napari_voxreg.core.geometry import Grid


@pytest.mark.parametrize("kind", KINDS)
def test_a_known_motion_is_found(kind: Kind) -> None:
    rng = np.random.default_rng(3)
    shape, margin = (150, 170), 40
    grid = Grid.from_spacing(shape, (2.0, 1.0), (10.0, -5.0), units="micrometer")
    scene = gaussian_filter(rng.standard_normal((230, 250)), 2.0)
    linear = {
        "translation": np.eye(2),
        "rigid": _rotation(5),
        "similarity": 1.06 * _rotation(-4),
        "affine": _rotation(3) @ np.array([[1.05, 0.03], [-0.02, 0.96]]),
    }[kind]
    moved = np.eye(3)
    moved[:2, :2] = linear
    moved[:2, 2] = grid.centre + np.array([14.0, -9.0]) - linear @ grid.centre
    back = np.linalg.inv(grid.affine) @ np.linalg.inv(moved) @ grid.affine
    image = affine_transform(scene, back[:2, :2], back[:2, 2] + margin, output_shape=shape, order=3)
    first = scene[margin:-margin, margin:-margin]
    noise = 0.1 * scene.std()
    pair = [(x + noise * rng.standard_normal(shape)).astype(np.float32) for x in (first, 0.7 * image + 3)]
    kept = [x.copy() for x in pair]

    found = Template(pair[0], grid, kind).align(pair[1])

    corners = np.c_[grid.corners(), np.ones(4)]
    apart = np.linalg.norm((corners @ (found.matrix - moved).T)[:, :2], axis=1)
    assert apart.max() < 0.15  # micrometres, of pixels of 2 x 1
    assert found.correlation > 0.9
    assert 0.7 < found.overlap < 0.95
    assert all(np.array_equal(a, b) for a, b in zip(pair, kept, strict=True))


def test_motion_in_3d_on_an_anisotropic_grid(scene: Callable[..., Any]) -> None:
    known = scene(2, (40, 64, 64), jitter=3.0, degrees=4.0, spacing=(2.0, 1.0, 1.0))
    found = Template(known.data[0], known.grid, "rigid").align(known.data[1])
    assert known.errors([np.eye(4), found.matrix]).max() < 0.1


def test_large_displacements_are_found_on_small_copies() -> None:
    rng = np.random.default_rng(0)
    scene = gaussian_filter(rng.standard_normal((500, 500)), 3).astype(np.float32)
    grid = Grid.from_spacing((256, 256))
    for way in ((90, 70), (-100, 40), (0, -110)):
        first = scene[120:376, 120:376]
        second = scene[120 - way[0] : 376 - way[0], 120 - way[1] : 376 - way[1]]
        found = Template(first, grid, "translation").align(second)
        assert np.abs(found.matrix[:2, 2] - way).max() < 0.02


def test_an_image_of_something_else_fits_badly() -> None:
    rng = np.random.default_rng(1)
    one, other = (gaussian_filter(rng.standard_normal((128, 128)), 2).astype(np.float32) for _ in "ab")
    grid = Grid.from_spacing((128, 128))
    template = Template(one, grid, "rigid")
    assert template.align(other).correlation < 0.5 < template.align(one).correlation


def test_flat_images_stay_where_they_are() -> None:
    grid = Grid.from_spacing((32, 40))
    flat = np.ones((32, 40), np.float32)
    found = Template(flat, grid, "affine").align(flat)
    assert np.allclose(found.matrix, np.eye(3), rtol=0, atol=1e-12)
    assert found.correlation == 0


def test_copies_lie_where_their_pixels_do() -> None:
    grid = Grid.from_spacing((301, 256), (0.5, 0.7), (3.0, 4.0))
    ramp = grid.nodes().sum(axis=1).reshape(grid.shape).astype(np.float32)
    for pixels, on in copies(ramp, grid):
        assert pixels.shape == on.shape
        assert np.allclose(pixels, on.nodes().sum(axis=1).reshape(on.shape), atol=1e-3)


def test_generators_span_the_motions() -> None:
    assert [len(generators(kind, 2)) for kind in KINDS] == [2, 3, 4, 6]
    assert [len(generators(kind, 3)) for kind in KINDS] == [3, 6, 7, 12]


def _rotation(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
