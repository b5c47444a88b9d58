"""The optimiser on known deformations: similarities, masks, landmarks, both ways, noise."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Cancelled, Displacement, Grid, Image, StationaryVelocity, warp
from napari_voxreg.diffeo.deform import deform
from napari_voxreg.diffeo.settings import Settings
from napari_voxreg.images.task import Task
from napari_voxreg.metrics.similarity import folded_percentage
from napari_voxreg.transforms import chain

SHAPES = {2: (128, 120), 3: (40, 44, 48)}


def _texture(shape, seed, sigmas=(1.5, 3, 6)):
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=shape), s) * s ** (len(shape) / 2) for s in sigmas]
    data = sum(layers)
    return ((data - data.min()) / np.ptp(data)).astype(np.float32)


def _pair(d, size=3.0, width=14.0, seed=5):
    """An image, a larger one of which it shows a region under a smooth deformation, and the deformation."""
    grid = Grid.from_spacing(SHAPES[d])
    wide = Grid.from_spacing([n + 24 for n in grid.shape], 1.0, -12.0)
    rng = np.random.default_rng(seed)
    noise = [gaussian_filter(rng.normal(size=grid.shape), width, mode="constant") for _ in range(d)]
    velocity = np.stack(noise, -1)
    truth = StationaryVelocity(velocity * size / np.linalg.norm(velocity, axis=-1).mean(), grid)
    moving = Image(_texture(wide.shape, seed), wide)
    return warp(moving, truth, grid), moving, truth


def _error(transform, truth, grid, rim=10):
    nodes = grid.nodes()
    index = grid.to_index(nodes)
    nodes = nodes[np.all((index > rim) & (index < np.array(grid.shape) - rim), axis=1)]
    return float(np.linalg.norm(transform(nodes) - truth(nodes), axis=1).mean())


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize(
    ("similarity", "contrast"),
    [
        ("local correlation", lambda x: 0.2 + 0.5 * x**0.7),
        ("self-similarity", lambda x: 1 - x),
        ("mutual information", lambda x: np.abs(x - 0.4)),
        ("mean squares", lambda x: x),
        ("auto", lambda x: 1 - x),
    ],
)
def test_each_similarity_finds_the_deformation_under_the_contrast_it_is_for(d, similarity, contrast):
    fixed, moving, truth = _pair(d)
    other = moving.with_data(contrast(moving.data).astype(np.float32))
    found = deform(Task(fixed, other, device="cpu"), Settings(similarity=similarity))
    before = _error(Affine.identity(d), truth, fixed.grid)
    assert _error(found.transform, truth, fixed.grid) < 0.25 * before
    assert folded_percentage(found.transform, fixed.grid) == 0
    assert len(found.trace) > 3 and np.isfinite(found.trace).all()


def test_auto_names_its_choice_and_takes_self_similarity_where_the_relation_is_mixed():
    fixed, moving, _ = _pair(2)
    assert "local correlation" in deform(Task(fixed, moving, device="cpu")).notes[0]
    mixed = moving.with_data(np.abs(moving.data - 0.5))
    assert "self-similarity" in deform(Task(fixed, mixed, device="cpu")).notes[0]


def test_noise_is_not_followed_but_fine_structure_is():
    fixed, moving, truth = _pair(2, size=2.0, width=24.0)
    rng = np.random.default_rng(0)
    noisy = [
        x.with_data((x.data + 0.08 * rng.normal(size=x.data.shape)).astype(np.float32))
        for x in (fixed, moving)
    ]
    chosen = deform(Task(*noisy, device="cpu"), Settings(similarity="local correlation")).transform
    forced = deform(
        Task(*noisy, device="cpu"), Settings(similarity="local correlation", control_spacing=2.0)
    ).transform
    assert _error(chosen, truth, fixed.grid) < 0.6 * _error(forced, truth, fixed.grid)
    fixed, moving, truth = _pair(2, size=1.5, width=5.0)
    chosen = deform(Task(fixed, moving, device="cpu")).transform
    far = deform(Task(fixed, moving, device="cpu"), Settings(control_spacing=16.0)).transform
    assert _error(chosen, truth, fixed.grid) < 0.8 * _error(far, truth, fixed.grid)


@pytest.mark.parametrize("which", ["fixed_mask", "moving_mask"])
def test_what_lies_under_a_mask_does_not_matter(which):
    fixed, moving, _ = _pair(2)
    spoiled = moving.data.copy()
    spoiled[62:92, 57:87] = 1 - spoiled[62:92, 57:87]
    seen = np.ones(fixed.grid.shape, bool)
    seen[44:86, 39:81] = False
    mask = {which: Image(seen, fixed.grid)}
    if which == "moving_mask":
        mask = {which: warp(Image(~seen, fixed.grid), None, moving.grid)}
        mask = {which: mask[which].with_data(~mask[which].data)}
    settings = Settings(similarity="local correlation")
    clean, masked = (
        deform(Task(fixed, moving.with_data(x), device="cpu", **mask), settings)
        for x in (moving.data, spoiled)
    )
    bare = deform(Task(fixed, moving.with_data(spoiled), device="cpu"), settings)
    assert _error(masked.transform, clean.transform, fixed.grid) < 0.02
    assert _error(bare.transform, clean.transform, fixed.grid) > 0.1


def test_landmarks_guide_where_the_images_have_no_structure():
    grid = Grid.from_spacing((80, 80))
    rng = np.random.default_rng(0)
    fixed, moving = (Image(rng.normal(size=(80, 80)).astype(np.float32), grid) for _ in range(2))
    here = np.array([[30.0, 30.0], [50.0, 40.0]])
    there = here + np.array([[3.0, -2.0], [-1.0, 2.0]])
    found = deform(Task(fixed, moving, landmarks=(here, there), device="cpu")).transform
    assert np.linalg.norm(found(here) - there, axis=1).max() < 1.0
    ignored = deform(
        Task(fixed, moving, landmarks=(here, there), device="cpu"), Settings(landmark_weight=0.0)
    )
    assert np.linalg.norm(ignored.transform(here) - there, axis=1).max() > 1.5


def test_both_ways_gives_the_inverse_when_the_images_are_exchanged():
    fixed, moving, _ = _pair(2)
    moving = warp(moving, None, fixed.grid)
    gaps = []
    for both in (False, True):
        settings = Settings(similarity="local correlation", inverse_consistent=both)
        there = deform(Task(fixed, moving, device="cpu"), settings).transform
        back = deform(Task(moving, fixed, device="cpu"), settings).transform
        gaps.append(_error(chain(there, back), Affine.identity(2), fixed.grid, 20))
    assert gaps[1] < 0.6 * gaps[0] and gaps[1] < 0.1


def test_initial_displacement_is_followed_by_what_is_left():
    fixed, moving, truth = _pair(2)
    half = StationaryVelocity(truth.velocity / 2, truth.grid)
    placed = Task(fixed, moving, device="cpu").placed(Displacement(half.displacement.field, half.grid))
    found = deform(placed)
    assert _error(found.transform, half, fixed.grid) < 0.3


def test_twice_gives_the_same_and_cancel_comes_through():
    fixed, moving, _ = _pair(3)
    first, second = (deform(Task(fixed, moving, device="cpu")).transform.velocity for _ in range(2))
    assert np.array_equal(first, second)

    def stop(fraction, message, metric=None):
        if metric is not None:
            raise Cancelled

    with pytest.raises(Cancelled):
        deform(Task(fixed, moving, device="cpu"), progress=stop)


@pytest.mark.parametrize("shape", [(2, 64, 64), (8, 200, 9), (64, 7)])
def test_thin_images_work(shape):
    grid = Grid.from_spacing(shape)
    image = Image(_texture(shape, 1), grid)
    found = deform(Task(image, image, device="cpu")).transform
    assert np.abs(found(grid.nodes()) - grid.nodes()).max() < 0.2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_gives_the_same():
    fixed, moving, _ = _pair(3)
    a, b = (deform(Task(fixed, moving, device=device)).transform for device in ("cpu", "cuda"))
    assert _error(a, b, fixed.grid) < 0.05
