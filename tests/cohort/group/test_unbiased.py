"""The mean of transforms is undone; images are averaged where they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg.cohort.files import folder_names
from napari_voxreg.cohort.group.unbiased import (
    linear_matrix,
    mean_displacement,
    mean_image,
    sharpness,
    without_mean_displacement,
    without_mean_matrix,
)
from napari_voxreg.core.geometry import Grid, Image
from napari_voxreg.transforms import Affine, Displacement, chain

GRID = Grid.from_spacing((40, 50), (1.0, 1.5))


def test_matrices_lose_their_common_motion() -> None:
    rng = np.random.default_rng(0)
    common = np.eye(3)
    common[:2] += 0.05 * rng.standard_normal((2, 3))
    away = [np.eye(3), np.eye(3)]
    away[0][0, 2], away[1][0, 2] = 3.0, -3.0
    found = without_mean_matrix([matrix @ common for matrix in away], GRID)
    assert np.allclose(found[0] @ found[1], np.eye(3), atol=0.02)
    # How the images lie to each other stays.
    assert np.allclose(found[0] @ np.linalg.inv(found[1]), away[0] @ np.linalg.inv(away[1]))


def turned(degrees: float, stretch: float) -> np.ndarray:
    """A rotation about the middle of the grid after a stretch along its first axis."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:2, :2] @= np.diag([stretch, 1.0])
    matrix[:2, 2] = GRID.centre - matrix[:2, :2] @ GRID.centre
    return matrix


def test_images_rotated_anyhow_lose_their_mean_stretch_alone() -> None:
    away = [turned(a, s) for a, s in ((0, 1.1), (90, 1.1), (180, 1.3), (-130, 1.3), (20, 1.2))]
    found = without_mean_matrix(away, GRID)
    stretches = [np.linalg.norm(matrix[:2, 0]) for matrix in found]
    assert np.exp(np.mean(np.log(stretches))) == pytest.approx(1, abs=1e-6)
    assert all(np.linalg.norm(matrix[:2, 1]) == pytest.approx(1, abs=1e-6) for matrix in found)
    after, _ = without_mean_displacement([Affine(matrix) for matrix in found], GRID)
    assert mean_displacement(after, GRID) < 0.05
    # The template still lies as the first image does.
    points = GRID.nodes()
    assert np.linalg.norm(after[0](points) - points, axis=1).max() < 8


def test_displacements_lose_their_mean_and_keep_what_they_say() -> None:
    nodes = GRID.nodes().reshape(*GRID.shape, 2)
    waves = [
        np.stack([a * np.sin(nodes[..., 1] / 9), 2 + a * np.cos(nodes[..., 0] / 8)], -1) for a in (1.0, 0.2)
    ]
    before = [Displacement(wave, GRID) for wave in waves]
    after, moved = without_mean_displacement(before, GRID)
    assert moved > 1.5
    assert mean_displacement(before, GRID) == moved
    inner = Grid.from_spacing((24, 30), (1.0, 1.5), (8.0, 15.0))
    assert mean_displacement(after, inner) < 0.02
    points = inner.nodes()
    first = after[1](after[0].inverse(GRID)(before[0](points)))
    assert np.abs(first - before[1](points)).max() < 0.05


def test_a_mean_image_counts_only_images_that_show_a_place() -> None:
    ones = Image(np.tile(np.linspace(0, 1, 50, dtype=np.float32), (40, 1)), GRID)
    away = Affine.translation([0.0, 30.0])
    mean = mean_image([ones, ones], [Affine.identity(2), away], GRID).data
    assert np.allclose(mean[:, 40], ones.data[:, 40], atol=1e-2)  # the second image ends before it
    assert np.all(mean[:, 10] > ones.data[:, 10] + 0.1)


def test_sharpness_does_not_depend_on_contrast() -> None:
    rng = np.random.default_rng(1)
    sharp = Image(rng.random((40, 50)), GRID)
    assert np.isclose(sharpness(sharp), sharpness(sharp.with_data(5 * sharp.data + 3)))
    assert sharpness(sharp.with_data(gaussian_filter(sharp.data, 2))) < 0.5 * sharpness(sharp)


def test_the_linear_part_of_a_deformation() -> None:
    matrix = np.array([[1.1, 0.02, 3.0], [-0.05, 0.95, -2.0], [0, 0, 1.0]])
    assert np.array_equal(linear_matrix(Affine(matrix), GRID), matrix)
    nodes = GRID.nodes().reshape(*GRID.shape, 2)
    wave = Displacement(0.3 * np.sin(nodes), GRID)
    assert np.allclose(linear_matrix(chain(wave, Affine(matrix)), GRID), matrix, atol=0.1)


def test_folders_of_images() -> None:
    names = ["a.nii.gz", "A.tif", "b/c:d.png", "...", "e"]
    assert folder_names(names) == ["a", "A 2", "b_c_d", "image", "e"]
