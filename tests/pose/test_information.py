"""Objects on a dark ground that share no edges: their pose by mutual information."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image
from napari_voxreg.images.task import Task
from napari_voxreg.pose import information
from napari_voxreg.pose.plane import Scene, by_grey_values
from napari_voxreg.samples.mri import T1
from napari_voxreg.samples.phantom import Head

SIDE, SPACING = 128, 2.0
PLANE = 20.0  # millimetres above the head's middle


@pytest.fixture(autouse=True)
def quiet():
    """Nothing is differentiated, and many small tensors gain nothing from threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


def rigid(degrees: float, translation: tuple[float, float]) -> Affine:
    a = np.deg2rad(degrees)
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    matrix[:2, 2] = translation
    return Affine(matrix)


def scanned(brightness: dict[int, float], truth: Affine, blur: float) -> Image:
    """A slice of the head, moved, with a brightness for each tissue."""
    origin = -SPACING * (SIDE - 1) / 2
    grid = Grid.from_spacing((SIDE, SIDE), SPACING, origin)
    points = truth.inverse()(grid.nodes())
    # The phantom's outline is so smooth that it could be an instrument's border; a real head's is not.
    points = points * (1 + 0.07 * np.sin(9 * np.arctan2(*points.T)))[:, None]
    fractions = Head(2).fractions(np.c_[np.full(len(points), PLANE), points], SPACING)
    weights = np.zeros(fractions.shape[1])
    for tissue, value in brightness.items():
        weights[tissue] = value
    pixels = gaussian_filter((fractions @ weights).reshape(grid.shape), blur)
    noise = 0.01 * np.random.default_rng(0).normal(size=grid.shape)
    return Image(np.maximum(pixels + noise, 0).astype(np.float32), grid)


MRI = dict(enumerate(T1))
ACTIVITY = {4: 1.0, 5: 0.3, 7: 0.9}  # of the grey matter, a little of the white, and of the nuclei


@pytest.mark.parametrize(("degrees", "translation"), [(7.0, (9.0, -14.0)), (-12.0, (-6.0, 18.0))])
def test_a_brain_in_pet_is_found_in_a_head_in_mri(degrees, translation):
    truth = rigid(degrees, translation)
    task = Task(scanned(MRI, Affine.identity(2), 0.5), scanned(ACTIVITY, truth, 2.0), device="cpu")
    scene = Scene.of(task).objects(task)
    assert scene is not None
    pose = by_grey_values(scene)
    assert pose is not None
    points = np.random.default_rng(1).uniform(-60, 60, (200, 2))
    distance = np.linalg.norm(pose.transform(points) - truth(points), axis=1).mean()
    assert distance < 0.02 * task.fixed.grid.diagonal
    assert "mutual information" in pose.notes[0] and not pose.edges


def test_images_that_fill_their_frame_are_no_objects():
    pixels = gaussian_filter(np.random.default_rng(0).normal(size=(90, 90)), 2).astype(np.float32)
    image = Image(pixels, Grid.from_spacing(pixels.shape))
    task = Task(image, image, device="cpu")
    assert Scene.of(task).objects(task) is None


def test_a_rigid_refinement_stays_rigid_and_an_affine_one_need_not():
    task = Task(scanned(MRI, Affine.identity(2), 0.5), scanned(ACTIVITY, rigid(4.0, (6.0, 0.0)), 2.0))
    scene = Scene.of(task)
    start = scene.poses(np.eye(3)[None])
    shapes = {}
    for model in ("rigid", "similarity", "affine"):
        found, values = information.refine(scene.fixed, scene.moving, start, 48, 10, model)
        shapes[model] = np.linalg.svd(found.matrices[0, :2, :2])[1]
        assert values[0] > information.refine(scene.fixed, scene.moving, start, 48, 0, model)[1][0]
    assert np.allclose(shapes["rigid"], 1.0, atol=1e-3)
    assert shapes["similarity"][0] == pytest.approx(shapes["similarity"][1], rel=1e-3)
    assert not np.isclose(*shapes["affine"], rtol=1e-3)
