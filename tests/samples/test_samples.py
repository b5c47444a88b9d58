"""The simulated pairs: their truth is true, they come quickly and are always the same."""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import pytest

from napari_voxreg import Image, warp
from napari_voxreg.images.preprocess import driving_channel
from napari_voxreg.io.images import read_image
from napari_voxreg.io.points import read_points
from napari_voxreg.samples import SAMPLES, Sample, folder, make_sample
from napari_voxreg.samples.files import ENDINGS, landmarks, write_sample
from napari_voxreg.samples.phantom import TISSUES, Head, tissue_labels
from napari_voxreg.transforms import displacement_on, jacobian_determinant

NAMES = list(SAMPLES)
LABELLED = ["brain2d", "brain3d", "microscopy"]


@cache
def made(name: str) -> Sample:
    """A sample, made once for all tests."""
    return make_sample(name)


def agreement(sample: Sample, transform) -> float:
    """Absolute correlation of the fixed and the warped image where both are."""
    fixed = driving_channel(sample.fixed).data
    moving = driving_channel(sample.moving)
    warped = warp(moving, transform, sample.fixed.grid).data
    inside = warp(moving.with_data(np.ones_like(moving.data)), transform, sample.fixed.grid).data > 0.5
    return abs(float(np.corrcoef(fixed[inside], warped[inside])[0, 1]))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Overlap of two masks."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_brings_the_images_together(name):
    sample = made(name)
    assert agreement(sample, sample.truth) > agreement(sample, None) + 0.03


@pytest.mark.parametrize("name", LABELLED)
def test_the_truth_brings_the_labels_together(name):
    sample = made(name)
    fixed = sample.labels_fixed.data
    warped, still = (
        warp(sample.labels_moving, t, sample.fixed.grid, order=0).data for t in (sample.truth, None)
    )
    scores = {}
    for label, what in enumerate(sample.label_names, start=1):
        if (fixed == label).sum() > 500:
            scores[what] = dice(fixed == label, warped == label)
            assert scores[what] > dice(fixed == label, still == label), what
    # Folded sheets of one pixel lose to nearest-neighbour sampling what larger parts do not.
    assert min(scores.values()) > 0.79
    assert np.mean(list(scores.values())) > 0.88


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_is_smooth_moderate_and_has_an_inverse(name):
    sample = made(name)
    grid = sample.fixed.grid
    nodes = grid.coarsened(max(1, min(grid.shape) // 24)).nodes()
    moved = sample.truth(nodes)
    length = np.linalg.norm(moved - nodes, axis=1)
    assert 0.01 * grid.diagonal < length.mean() < 0.05 * grid.diagonal
    back = sample.truth.inverse(sample.moving.grid)(moved)
    assert np.abs(back - nodes).max() < 0.15 * grid.spacing.min()
    jacobian = jacobian_determinant(displacement_on(sample.truth, grid), grid)
    assert jacobian.min() > 0.5
    assert jacobian.max() < 1.6


@pytest.mark.parametrize("name", NAMES)
def test_the_pair_is_ready_to_register(name):
    sample = made(name)
    assert sample.fixed.grid.units == sample.moving.grid.units
    assert not sample.fixed.grid.same_as(sample.moving.grid) or name == "fundus"
    for image in (sample.fixed, sample.moving):
        assert np.isfinite(image.data).all()
        assert "simulated" in image.name
    assert "imulated" in sample.title + sample.description
    assert len(landmarks(sample)) == 40


@pytest.mark.parametrize("name", NAMES)
def test_made_quickly_and_always_the_same(name):
    first = made(name)
    start = time.process_time()
    again = make_sample(name)
    assert time.process_time() - start < (12 if first.fixed.ndim == 3 else 6)
    assert np.array_equal(first.fixed.data, again.fixed.data)
    assert np.array_equal(first.moving.data, again.moving.data)


def test_another_seed_is_another_person():
    points = made("brain2d").fixed.grid.nodes()
    points = np.column_stack([np.full(len(points), 10.0), points])
    brains = [np.isin(tissue_labels(Head(seed).fractions(points, 1.0)), (4, 5)) for seed in (0, 1)]
    folds = [tissue_labels(Head(seed).fractions(points, 1.0)) == 4 for seed in (0, 1)]
    assert dice(*brains) > 0.8
    assert dice(*folds) < 0.7


def test_fractions_of_tissues_sum_to_one():
    points = np.random.default_rng(0).uniform(-100, 100, (2000, 3))
    fractions = Head().fractions(points, 2.0)
    assert fractions.shape == (2000, len(TISSUES))
    assert np.allclose(fractions.sum(axis=1), 1, atol=1e-5)
    assert fractions.min() >= 0


def test_speckle_is_gamma_of_four_looks():
    sample = made("sar")
    # Water is nearly uniform: its intensity must vary as the mean of four exponentials does.
    intensity = sample.fixed.data.astype(float) ** 2
    patches = np.lib.stride_tricks.sliding_window_view(intensity, (6, 6))[::3, ::3].reshape(-1, 36)
    dark = patches[patches.mean(axis=1) < np.percentile(patches.mean(axis=1), 2)]
    relative = dark.std(axis=1) / dark.mean(axis=1)
    assert np.median(relative) == pytest.approx(0.5, abs=0.08)


def test_an_unknown_sample_is_refused():
    with pytest.raises(ValueError, match=r"no sample 'kidney'; choose one of fundus"):
        make_sample("kidney")


@pytest.mark.parametrize("name", NAMES)
def test_the_small_files_are_the_same_pairs(name):
    sample = made(name)
    expected: dict[str, Image | None] = {
        "fixed": sample.fixed,
        "moving": sample.moving,
        "labels_fixed": sample.labels_fixed,
        "labels_moving": sample.labels_moving,
    }
    for role, image in expected.items():
        if image is not None:
            found = read_image(folder() / f"{name}_{role}{ENDINGS[name]}")
            # Another machine's exponential rounds the last digit of many pixels, and one in thousands to the
            # other whole number.
            assert np.mean(~np.isclose(found.data, image.data, rtol=1e-5, atol=0)) < 1e-3
            assert np.allclose(found.grid.affine, image.grid.affine, atol=1e-4)
            assert found.grid.units == image.grid.units
    points = [read_points(folder() / f"{name}_points_{role}.csv") for role in ("fixed", "moving")]
    assert np.allclose(sample.truth(points[0]), points[1], atol=0.05 * sample.fixed.grid.spacing.min())


def test_small_files_are_small():
    assert sum(path.stat().st_size for path in folder().iterdir()) < 6_000_000


def test_files_are_written_the_same_each_time(tmp_path):
    first, second = (write_sample(made("microscopy"), tmp_path / name) for name in "ab")
    assert [p.name for p in first] == [p.name for p in second]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))
