"""The 2D pose search on images with a known pose, and on pairs that have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image, warp
from napari_voxreg.images.task import Task
from napari_voxreg.pose.models import Poses, freedoms
from napari_voxreg.pose.plane import find_pose_2d
from napari_voxreg.pose.pyramid_image import field_of_view, pyramid_image
from napari_voxreg.transforms import Homography, Transform

SHAPE = (160, 190)


@pytest.fixture(autouse=True)
def one_thread():
    """Many small tensors gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def scene(seed: int, shape: tuple[int, int] = (420, 460)) -> Image:
    """Curved lines and blobs, as vessels and fields are, larger than the images taken of it."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=shape), 12)
    lines = np.exp(-((gaussian_filter(rng.normal(size=shape), 9) / 0.006) ** 2))
    fine = gaussian_filter(rng.normal(size=shape), 2)
    data = smooth / smooth.std() + 2 * lines + 0.5 * fine / fine.std()
    return Image(data.astype(np.float32), Grid.from_spacing(shape, 1.0, -110.0))


def rotated(angle: float, scale: float, translation: tuple[float, float]) -> Affine:
    """A similarity about the middle of the fixed image."""
    a = np.deg2rad(angle)
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    centre = (np.array(SHAPE) - 1) / 2
    matrix[:2, 2] = centre + translation - matrix[:2, :2] @ centre
    return Affine(matrix)


def pair(truth: Transform, seed: int = 1, noise: float = 0.1) -> tuple[Image, Image]:
    """The scene as the fixed image, and moved, with inverted contrast and noise."""
    grid = Grid.from_spacing(SHAPE)
    fixed = warp(scene(seed), None, grid)
    moving = warp(scene(seed), truth.inverse(grid), grid)
    rng = np.random.default_rng(seed)
    data = np.exp(-0.4 * moving.data) + noise * rng.normal(size=SHAPE)
    return fixed, moving.with_data(data.astype(np.float32))


def error(found: Transform, truth: Transform, moving: Grid) -> float:
    """Mean distance in pixels where the moving image shows something."""
    points = Grid.from_spacing(SHAPE).coarsened(9).nodes()
    points = points[moving.contains(truth(points))]
    return float(np.linalg.norm(found(points) - truth(points), axis=1).mean())


@pytest.mark.parametrize(
    ("angle", "scale", "translation"),
    [
        pytest.param(140.0, 1.0, (12.0, -20.0), marks=pytest.mark.slow),
        pytest.param(-35.0, 0.6, (5.0, 9.0), marks=pytest.mark.slow),
        (75.0, 1.6, (0.0, 0.0)),
        (4.0, 1.05, (50.0, -45.0)),
    ],
)
def test_any_rotation_scale_and_translation_is_found(angle, scale, translation):
    truth = rotated(angle, scale, translation)
    fixed, moving = pair(truth)
    pose = find_pose_2d(Task(fixed, moving))
    assert pose.reliable
    assert pose.confidence > 0.8
    assert error(pose.transform, truth, moving.grid) < 0.4


@pytest.mark.slow
def test_unrelated_images_have_no_reliable_pose():
    fixed, _ = pair(Affine.identity(2), seed=1)
    _, moving = pair(Affine.identity(2), seed=2)
    pose = find_pose_2d(Task(fixed, moving))
    assert not pose.reliable
    assert np.array_equal(pose.transform.matrix, np.eye(3))
    assert "No reliable pose" in pose.notes[0]


@pytest.mark.slow
def test_a_mirror_image_is_reported_and_not_flipped():
    fixed, moving = pair(rotated(30.0, 1.0, (8.0, 5.0)))
    pose = find_pose_2d(Task(fixed, moving.with_data(moving.data[:, ::-1].copy())))
    assert not pose.reliable
    assert np.array_equal(pose.transform.matrix, np.eye(3))
    assert any("mirror image" in note for note in pose.notes)


def test_an_aligned_pair_stays_where_it_is():
    fixed, moving = pair(Affine.identity(2), noise=0.3)
    pose = find_pose_2d(Task(fixed, moving))
    assert pose.reliable
    assert np.array_equal(pose.transform.matrix, np.eye(3))


@pytest.mark.parametrize("what", [pytest.param("ramp", marks=pytest.mark.slow), "stripes"])
def test_what_fits_anywhere_is_not_reliable(what):
    row, column = np.indices(SHAPE).astype(float)
    data = row + 2 * column if what == "ramp" else np.sin(row / 3) * np.sin(column / 3)
    fixed = Image(data.astype(np.float32), Grid.from_spacing(SHAPE))
    noise = 0.01 * np.random.default_rng(0).normal(size=SHAPE)
    moving = fixed.with_data((np.roll(data, 3, 0) + noise).astype(np.float32))
    pose = find_pose_2d(Task(fixed, moving))
    assert not pose.reliable or np.array_equal(pose.transform.matrix, np.eye(3))


def test_masked_pixels_do_not_vote():
    # A second scene, glued over half of the moving image, is from elsewhere than the first.
    truth = rotated(15.0, 1.0, (6.0, -4.0))
    fixed, moving = pair(truth)
    _, other = pair(Affine.identity(2))
    data = moving.data.copy()
    data[:, 90:] = other.data[:, 90:]
    keep = np.zeros(SHAPE, dtype=bool)
    keep[:, :90] = True
    mask = Image(keep, moving.grid)
    pose = find_pose_2d(Task(fixed, moving.with_data(data), moving_mask=mask))
    assert pose.reliable
    assert error(pose.transform, truth, Grid.from_spacing((160, 90))) < 0.5


@pytest.mark.slow
def test_the_same_scene_at_an_eighth_of_the_pixels_is_found():
    fixed, moving = pair(rotated(20.0, 1.0, (4.0, 4.0)))
    large = warp(moving, Affine(np.diag([0.2, 0.2, 1.0])), Grid.from_spacing((800, 950)))
    pose = find_pose_2d(Task(large, fixed))
    truth = Affine(rotated(20.0, 1.0, (4.0, 4.0)).inverse().matrix @ np.diag([0.2, 0.2, 1.0]))
    points = np.array([[300.0, 300.0], [500.0, 700.0], [600.0, 500.0]])
    assert pose.reliable
    assert np.linalg.norm(pose.transform(points) - truth(points), axis=1).max() < 0.6


@pytest.mark.slow
def test_perspective_asks_for_a_homography():
    matrix = rotated(10.0, 1.0, (3.0, 2.0)).matrix.copy()
    matrix[2, :2] = 6e-4, -4e-4
    truth = Homography(matrix)
    fixed, moving = pair(truth, noise=0.05)
    affine = find_pose_2d(Task(fixed, moving), model="affine")
    best = find_pose_2d(Task(fixed, moving))
    assert type(best.transform).__name__ == "Homography"
    assert error(best.transform, truth, moving.grid) < 0.5 * error(affine.transform, truth, moving.grid)


def test_a_round_border_is_masked_and_an_outline_is_not():
    row, column = np.indices((160, 160)) - 79.5
    rng = np.random.default_rng(0)
    texture = 0.6 + 0.1 * gaussian_filter(rng.normal(size=row.shape), 2) / 0.14
    disc = np.hypot(row, column) < 70
    head = np.hypot(row / 1.3, column) < 52 + 4 * np.sin(5 * np.arctan2(row, column))
    view = field_of_view(np.where(disc, texture, 0.0))
    assert not view[~disc].any()
    assert view.sum() > 0.8 * disc.sum()
    assert field_of_view(np.where(head, texture, 0.0)).all()


def test_the_pyramid_image_has_the_position_of_the_image():
    # A plane of grey that equals the world's row, on a rotated, anisotropic grid.
    rotation = np.array([[0.8, -0.6], [0.6, 0.8]])
    grid = Grid.from_spacing((90, 60), (0.5, 1.2), (10.0, -3.0), rotation)
    values = grid.nodes()[:, 0].reshape(grid.shape)
    seen = pyramid_image(Image(values.astype(np.float32), grid), None)
    rows = seen.origin[0] + seen.spacing * np.arange(seen.pixels.shape[0])
    inside = seen.mask.numpy() > 0
    expected = np.broadcast_to(rows[:, None], inside.shape)[inside]
    line = np.polyfit(expected, seen.pixels.numpy()[inside], 1)
    low, high = np.percentile(values, (0.1, 99.9))
    assert line[0] == pytest.approx(1 / (high - low), rel=0.03)
    assert -line[1] / line[0] == pytest.approx(low, abs=0.6)


@pytest.mark.parametrize("model", ["similarity", "affine", "homography", "quadratic"])
def test_small_motions_are_undone_by_their_inverse(model):
    poses = Poses.of(np.eye(3)[None], np.array([20.0, 30.0]), 25.0).relaxed(model)
    rng = np.random.default_rng(3)
    motions = np.einsum("k,kdt->dt", 1e-3 * rng.normal(size=len(freedoms(model))), freedoms(model))[None]
    points = np.array([[10.0, 12.0], [40.0, 45.0], [25.0, 33.0]])
    there = poses.after(motions)
    back = there.after(-motions)
    assert np.abs(there(points) - points).max() > 1e-3
    assert np.abs(back(points) - points).max() < 1e-3 * np.abs(there(points) - points).max() + 1e-3
