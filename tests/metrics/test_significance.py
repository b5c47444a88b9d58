"""Which of two transforms is preferred."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image, warp
from napari_voxreg.metrics.pair import PairMetrics
from napari_voxreg.metrics.significance import Judge

GRID = Grid.from_spacing((128, 128))
HERE, TRUTH, FAR = (Affine.translation(t) for t in ([0.0, 0.0], [4.0, -3.0], [0.0, 120.0]))


def texture(seed):
    data = gaussian_filter(np.random.default_rng(seed).normal(size=GRID.shape), 2)
    return Image(data.astype(np.float32), GRID)


@pytest.fixture
def related():
    fixed = texture(0)
    return fixed, warp(fixed, TRUTH.inverse(), GRID)


def test_what_brings_structures_together_is_preferred(related):
    judge = Judge(PairMetrics(*related))
    assert judge.prefers(TRUTH, HERE)
    assert not judge.prefers(HERE, TRUTH)
    assert not judge.prefers(TRUTH, TRUTH)


def test_unrelated_textures_are_preferred_nowhere():
    judge = Judge(PairMetrics(texture(0), texture(1)))
    translations = np.random.default_rng(2).uniform(-10, 10, (50, 2))
    assert not any(judge.prefers(Affine.translation(translation), HERE) for translation in translations)


def test_little_overlap_gives_way_to_more_and_a_lost_half_to_none(related):
    judge = Judge(PairMetrics(*related))
    assert judge.overlaps(None) and judge.overlaps(TRUTH)
    nothing = Affine.translation([0.0, 126.0])
    assert not judge.overlaps(nothing)
    assert judge.prefers(HERE, nothing) and not judge.prefers(nothing, HERE)
    assert not judge.prefers(FAR, TRUTH)


def test_landmarks_overrule_pixels(related):
    points = np.array([[30.0, 30.0], [80.0, 40.0]])
    judge = Judge(PairMetrics(*related, landmarks=(points, points)))
    assert judge.prefers(HERE, TRUTH) and not judge.prefers(TRUTH, HERE)
