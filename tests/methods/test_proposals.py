"""What the affine network proposes, and what the pose search makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image, warp
from napari_voxreg.core.progress import silent
from napari_voxreg.images.task import Task
from napari_voxreg.methods import METHODS
from napari_voxreg.methods.proposals import network_all_around, network_from_here, sources
from napari_voxreg.pose import plane
from napari_voxreg.pose.search import repetition
from napari_voxreg.weights import shipped

SHAPE = (150, 170)


def scene(seed: int) -> Image:
    """Curved lines and blobs, larger than the images taken of it."""
    rng = np.random.default_rng(seed)
    shape = (360, 360)
    smooth = gaussian_filter(rng.normal(size=shape), 10)
    lines = np.exp(-((gaussian_filter(rng.normal(size=shape), 8) / 0.007) ** 2))
    return Image((smooth / smooth.std() + 2 * lines).astype(np.float32), Grid.from_spacing(shape, 1.0, -95.0))


def pair(angle: float, translation: tuple[float, float], other: int = 1) -> tuple[Task, Affine]:
    """A scene seen twice, the second time of inverted contrast, and the truth."""
    a = np.deg2rad(angle)
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    centre = (np.array(SHAPE) - 1) / 2
    matrix[:2, 2] = centre + translation - matrix[:2, :2] @ centre
    truth, grid = Affine(matrix), Grid.from_spacing(SHAPE)
    moving = warp(scene(other), truth.inverse(), grid)
    return Task(warp(scene(1), None, grid), moving.with_data(np.exp(-0.5 * moving.data)), device="cpu"), truth


def error(matrix, truth: Affine) -> float:
    """Mean distance in pixels from the truth."""
    points = Grid.from_spacing(SHAPE).coarsened(20).nodes()
    return float(np.linalg.norm(Affine(matrix)(points) - truth(points), axis=1).mean())


@pytest.mark.parametrize(
    ("source", "angle"), [(network_from_here, 12.0), (network_all_around, 160.0), (network_all_around, -75.0)]
)
def test_the_network_proposes_the_pose_and_vouches_for_it(source, angle):
    task, truth = pair(angle, (14.0, -9.0))
    proposed = source(task, silent)
    assert error(proposed.matrices[0], truth) < 4
    assert proposed.support[0] > 0.1
    assert np.all(np.diff(proposed.support) <= 0)


def test_the_network_vouches_for_nothing_in_unrelated_images():
    task, _ = pair(20.0, (5.0, 5.0), other=2)
    for source in sources(2):
        assert source(task, silent).support.max() < 0.07


def test_a_clear_proposal_spares_the_search(monkeypatch):
    monkeypatch.setattr(plane, "search", None)  # whoever calls it fails
    task, truth = pair(12.0, (14.0, -9.0))
    pose = plane.find_pose_2d(task, sources=sources(2))
    assert pose.reliable
    assert error(pose.transform.matrix, truth) < 0.5


def test_masked_pixels_are_not_shown_to_the_network():
    task, truth = pair(12.0, (14.0, -9.0))
    keep = np.zeros(SHAPE, bool)
    keep[:, :110] = True
    data = np.where(keep, task.moving.data, 50.0 * np.random.default_rng(0).normal(size=SHAPE))
    moving = task.moving.with_data(data.astype(np.float32))
    proposed = network_from_here(Task(task.fixed, moving, moving_mask=Image(keep, moving.grid)), silent)
    assert error(proposed.matrices[0], truth) < 4


def test_repeated_texture_fits_at_other_translations():
    row, column = np.indices((120, 120)).astype(float)
    stripes = torch.tensor(np.stack([np.sin(row / 3), np.sin(column / 3)]), dtype=torch.float32)[None]
    random = torch.tensor(np.random.default_rng(0).normal(size=(1, 2, 120, 120)), dtype=torch.float32)
    everywhere = torch.ones(1, 1, 120, 120)
    assert repetition((stripes, everywhere), (stripes, everywhere)) > 0.85
    assert repetition((random, everywhere), (random, everywhere)) < 0.3


@pytest.mark.parametrize("method", ["pose", "auto"])
def test_the_record_names_the_weights_that_propose(method):
    task, _ = pair(10.0, (3.0, 4.0))
    outcome = METHODS[method].run(task, METHODS[method].parameters(), silent)
    stems = ["affine", "voxelmorph"] if method == "auto" else ["affine"]
    assert [name for name, _ in outcome.weights] == [shipped(stem, 2).name for stem in stems]
    assert all(len(digest) == 64 for _, digest in outcome.weights)
