"""`auto` does what helps, leaves alone what does not, and says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_voxreg import Affine, Displacement, Grid, Image, register, warp
from napari_voxreg.core.progress import silent
from napari_voxreg.methods import METHODS, pose
from napari_voxreg.methods.auto import motion
from napari_voxreg.registration.prepare import prepare
from napari_voxreg.samples import make_sample


def on_pixels(data):
    return Image(np.asarray(data, np.float32), Grid.from_spacing(data.shape))


def texture(shape, seed, sigma=2.0):
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)


def error(transform, truth, grid, where=None):
    """Mean distance from the truth, world units, on the grid or where labels are."""
    points = grid.coarsened(4).nodes()
    if where is not None:
        points = points[where.data[::4, ::4].ravel() > 0]
    return float(np.linalg.norm(transform(points) - truth(points), axis=1).mean())


def turned(degrees):
    """A rotation about the origin of the world."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Affine(matrix)


@pytest.fixture(scope="module")
def brain():
    """A brain slice with a known deformation, the moving image then rotated far away."""
    sample = make_sample("brain2d")
    angle = np.deg2rad(35)
    matrix = np.eye(3)
    matrix[:2, :2] = 1.15 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[:2, 2] = [300.0, -40.0]
    return sample, Affine(matrix)


def test_pose_and_deformation_are_found_in_one_go_and_explained(brain):
    sample, away = brain
    moving = sample.moving.with_grid(sample.moving.grid.moved(away.matrix))
    result = register(sample.fixed, moving, method="auto")
    found = result.transform

    def truth(points):
        return away(sample.truth(points))

    assert error(Affine.identity(2), truth, sample.fixed.grid, sample.labels_fixed) > 100
    assert error(found, truth, sample.fixed.grid, sample.labels_fixed) < 1.5  # pixels of 1 mm
    assert result.after.folded == 0
    done, why = result.notes[:2]
    assert done.startswith("Pose found (rotated by 4")  # 35 and the 6 of the sample itself
    assert "deformation of up to" in done and "network, then" in done
    assert {"affine2d.safetensors", "voxelmorph2d.safetensors"} <= {name for name, _ in result.weights}
    assert "improves held-out pixels" in why
    assert result.confidence > 0.5


def test_fast_takes_what_is_proposed_and_tries_one_deformation(brain, monkeypatch):
    sample, _ = brain
    monkeypatch.setattr("napari_voxreg.pose.plane.search", None)  # of all poses: not to be called
    monkeypatch.setattr("napari_voxreg.methods.auto.choose", None)  # nor any trial
    method = METHODS["auto"]
    near = method.run(prepare(sample.fixed, sample.moving).task, method.parameters("fast"), silent)
    before, after = (
        error(transform, sample.truth, sample.fixed.grid, sample.labels_fixed)
        for transform in (Affine.identity(2), near.transform)
    )
    assert after < before / 2
    assert "deformation of up to" in near.notes[0]
    far = sample.moving.with_grid(sample.moving.grid.moved(turned(150).matrix))
    left = method.run(prepare(sample.fixed, far).task, method.parameters("fast"), silent)
    assert left.notes[0].startswith("Pose left as it was")
    assert any("No reliable pose was found without a search" in note for note in left.notes)


def test_a_brain_upside_down_is_turned_round(brain):
    # It fits an upright one well enough to be taken for a pose, but better the right way up.
    sample, _ = brain
    away = turned(150)
    moving = sample.moving.with_grid(sample.moving.grid.moved(away.matrix))
    outcome = pose.METHOD.run(prepare(sample.fixed, moving).task, pose.METHOD.parameters(), silent)

    def truth(points):
        return away(sample.truth(points))

    assert error(outcome.transform, truth, sample.fixed.grid, sample.labels_fixed) < 5
    assert outcome.confidence > 0.9


def test_no_network_is_asked_where_the_images_share_no_edges(brain, monkeypatch):
    sample, _ = brain
    found = pose.find

    def by_grey_values(*arguments, **options):
        return replace(found(*arguments, **options), edges=False)

    monkeypatch.setattr(pose, "find", by_grey_values)
    task = prepare(sample.fixed, sample.moving, device="cpu").task
    outcome = METHODS["auto"].run(task, METHODS["auto"].parameters(), silent)
    assert "network" not in outcome.notes[0] and "deformation of up to" in outcome.notes[0]
    assert [name for name, _ in outcome.weights] == ["affine2d.safetensors"]


def test_an_aligned_pair_stays_where_it_is():
    # The same scene with other contrast and noise of its own.
    scene = texture((200, 220), 0)
    rng = np.random.default_rng(1)
    fixed = scene + 0.1 * rng.normal(size=scene.shape) * scene.std()
    moving = -np.tanh(scene / scene.std()) + 0.1 * rng.normal(size=scene.shape)
    result = register(on_pixels(fixed), on_pixels(moving), method="auto")
    assert error(result.transform, Affine.identity(2), result.fixed) < 0.1
    assert result.verdict.outcome in ("unchanged", "better")


def test_unrelated_images_are_left_alone():
    result = register(
        on_pixels(texture((200, 200), 0)), on_pixels(texture((200, 200), 9, sigma=3.0)), method="auto"
    )
    assert error(result.transform, Affine.identity(2), result.fixed) == 0
    assert result.notes[0].startswith("Pose left as it was; no deformation")
    assert "No pose was reliable" in result.notes[1]


def test_images_that_lie_well_are_deformed_where_no_pose_is_reliable():
    # One texture whose parts move independently, so that no rotation or translation fits.
    rng, shape = np.random.default_rng(3), (128, 128)
    scene = texture(shape, 0, 2.5)
    shift = np.stack([gaussian_filter(rng.normal(size=shape), 6) for _ in range(2)], axis=-1)
    shift *= 4 / np.linalg.norm(shift, axis=-1).mean()
    own = [0.3 * texture(shape, seed, 2.5) for seed in (5, 6)]
    at = np.moveaxis(np.indices(shape), 0, -1) + shift
    fixed = on_pixels(map_coordinates(scene, np.moveaxis(at, -1, 0), order=1, mode="nearest") + own[0])
    result = register(fixed, on_pixels(scene + own[1]), method="auto")
    assert "No pose was reliable" in result.notes[1]
    nodes = np.indices(shape).reshape(2, -1).T.astype(float)
    left = np.linalg.norm(result.transform(nodes) - at.reshape(-1, 2), axis=1).mean()
    assert left < 0.5 * np.linalg.norm(shift, axis=-1).mean()
    assert result.verdict.outcome == "better"


def test_the_chambers_of_a_beating_heart_are_followed():
    # Large even regions shrink: no held-out block of 16 pixels shows more than a border.
    def heart(inner, outer, seed):
        y, x = np.indices((144, 144)) - 72.0
        image = np.where(np.hypot(y / 66, x / 70) < 1, 0.55, 0.02)
        image[np.hypot((y - 8) / 45, (x + 46) / 18) < 1] = 0.12  # a lung
        image[np.hypot(y, x) < outer] = 0.35
        chamber = np.hypot(y, x) < inner
        image[chamber] = 0.95
        noise = np.random.default_rng(seed).normal(size=image.shape)
        return on_pixels(gaussian_filter(image, 0.9) + 0.03 * noise), on_pixels(chamber)

    (fixed, filled), (moving, empty) = heart(26, 35, 1), heart(16, 32, 2)
    result = register(fixed, moving, method="auto", params={"search": False})
    found = warp(empty, result.transform, fixed.grid, order=0).data > 0.5
    both = (found & (filled.data > 0.5)).sum()
    assert 2 * both / (found.sum() + filled.data.sum()) > 0.95
    assert "mean squares" in result.notes[0]


def test_a_deformable_initial_transform_is_continued(brain):
    sample, _ = brain
    grid = sample.fixed.grid.coarsened(8)
    field = np.zeros((*grid.shape, 2))
    field[..., 0] = 4 * np.sin(np.linspace(0, np.pi, grid.shape[1]))
    deformation = Displacement(field, grid)
    result = register(
        sample.fixed, sample.moving, method="auto", params={"search": False}, initial=deformation
    )
    before = error(Displacement(field, grid), sample.truth, sample.fixed.grid, sample.labels_fixed)
    after = error(result.transform, sample.truth, sample.fixed.grid, sample.labels_fixed)
    assert after < 0.5 * before


def test_landmarks_overrule_the_pixels(brain):
    sample, _ = brain
    fixed = sample.fixed.grid.to_world([[40, 40], [40, 150], [150, 40], [150, 150]])
    result = register(
        sample.fixed, sample.moving, method="auto", params={"deform": False}, landmarks=(fixed, fixed)
    )
    assert result.notes[0] == "Pose left as it was."
    assert error(result.transform, Affine.identity(2), sample.fixed.grid) == 0


def test_motion_in_words():
    angle = np.deg2rad(20)
    matrix = np.eye(3)
    matrix[:2, :2] = 2 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    grid = Grid.from_spacing((101, 101), units="mm")
    matrix[:2, 2] = np.array([50, 57]) - matrix[:2, :2] @ [50, 50]
    assert motion(Affine(matrix), grid) == "rotated by 20.0°, scaled by 2, translated by 7 mm"
