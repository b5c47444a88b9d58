"""How `auto` deforms: what is known of the images, and trials where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image, register, warp
from napari_voxreg.core.progress import silent
from napari_voxreg.images.task import Task
from napari_voxreg.methods.deformations import FREE, WAYS, choose, way_of
from napari_voxreg.metrics.similarity import dice
from napari_voxreg.samples.mri import T1, scan
from napari_voxreg.samples.phantom import Head, tissue_labels

GRID = Grid.from_spacing((228, 192), 1.0, (-113.5, -95.5), units="millimeter")


@pytest.fixture(scope="module")
def people():
    """The same slice of two generated heads, and their tissues."""
    rng = np.random.default_rng(3)
    points = np.column_stack([np.full(len(GRID.nodes()), 20.0), GRID.nodes()])
    fractions = [Head(seed).fractions(points, 1.0).reshape(*GRID.shape, -1) for seed in (1, 2)]
    scans = [scan(f, GRID, T1, rng, bias=0.05, noise=0.02, name="head") for f in fractions]
    return scans, [Image(tissue_labels(f), GRID) for f in fractions]


def textures(amount: float) -> tuple[Image, Image]:
    """One scene at rest, each image with noise of its own."""
    rng = np.random.default_rng(0)
    scene = gaussian_filter(rng.normal(size=(160, 176)), 3.0)
    scene /= scene.std()
    grid = Grid.from_spacing(scene.shape)
    fixed, moving = (
        Image((scene + amount * rng.normal(size=scene.shape)).astype(np.float32), grid) for _ in range(2)
    )
    return fixed, moving


def overlap(people, preset: str) -> tuple[float, str]:
    (fixed, moving), (ours, theirs) = people
    result = register(fixed, moving, method="auto", preset=preset)
    return dice(ours.data, warp(theirs, result.transform, GRID, order=0).data), result.notes[1]


@pytest.mark.slow
def test_different_people_are_deformed_more_than_one_object(people):
    soft, why = overlap(people, "different people")
    assert "soft, as the images show different people" in why
    assert soft > overlap(people, "pose only")[0] + 0.04
    assert soft > overlap(people, "one object, two times")[0] + 0.02


@pytest.mark.parametrize("amount", [0.3, 1.0])
@pytest.mark.parametrize("images", ["any", "one object", "two sensors"])
def test_noise_alone_speaks_for_no_deformation(amount, images):
    choice = choose(Task(*textures(amount)), None, images, torch.device("cpu"), silent)
    assert not choice.accepted


def test_two_sensors_are_not_compared_by_local_correlation():
    fixed, moving = textures(0.3)
    field = Affine(np.array([[1.02, 0.02, -2.0], [-0.02, 0.98, 2.0], [0, 0, 1]]))
    moved = warp(moving, field, moving.grid)
    choice = choose(Task(fixed, moved), None, "two sensors", torch.device("cpu"), silent)
    assert not choice.name.startswith("local correlation")


def test_movie_frames_are_followed_by_optical_flow():
    fixed, moving = textures(0.05)
    shifted = moving.with_data(np.roll(moving.data, 2, axis=1))
    result = register(fixed, shifted, method="auto", preset="movie frames")
    assert "optical flow" in result.notes[0]
    inner = np.array([[80.0, 80.0]])
    assert np.abs(result.transform(inner) - inner - [0, 2]).max() < 0.3


@pytest.mark.parametrize("d", [2, 3])
def test_every_way_is_one_that_diffeo_takes(d):
    for name in (*WAYS[d], FREE):
        assert way_of(name, d)["similarity"] == name.split(",")[0]
