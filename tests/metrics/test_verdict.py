"""What is said of a result, and the figures it rests on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image, warp
from napari_voxreg.metrics.pair import PairMetrics
from napari_voxreg.metrics.verdict import Verdict, judge

GRID = Grid.from_spacing((96, 96), units="mm")
TRUTH = Affine.translation([4.0, -3.0])


def scene(seed=0):
    data = gaussian_filter(np.random.default_rng(seed).normal(size=(96, 96)), 2)
    return Image((data / data.std()).astype(np.float32), GRID)


def pair(contrast=lambda data: data, landmarks=None):
    """A scene, and the same moved by `TRUTH` under another contrast."""
    fixed = scene()
    moved = warp(fixed, TRUTH.inverse(), GRID)
    return PairMetrics(fixed, moved.with_data(contrast(moved.data)), landmarks=landmarks)


def verdict(metrics, transform):
    return judge(metrics, metrics.scores(None), metrics.scores(transform), transform)


def test_a_better_result_quotes_lncc_and_ssim():
    metrics = pair()
    found = verdict(metrics, TRUTH)
    assert (found.outcome, found.measure) == ("better", "LNCC")
    assert (found.before, found.after) == (metrics.lncc(None), metrics.lncc(TRUTH))
    figures = f"LNCC {found.before:.3f} -> {found.after:.3f} where both overlap; SSIM "
    assert found.sentence.startswith(f"Better: {figures}")
    assert found.sentence.endswith("; 0 % folded.")


def test_ssim_is_no_evidence_where_contrasts_are_inverted():
    found = verdict(pair(lambda data: -data), TRUTH)
    assert found.outcome == "better"
    why = "(contrasts are inverted, so SSIM is not used)"
    assert found.sentence.endswith(f"where both overlap {why}; 0 % folded.")
    # Without a gain there is nothing to explain.
    assert "SSIM is not used" not in verdict(pair(lambda data: -data), Affine.identity(2)).sentence


def test_ssim_is_no_evidence_where_it_falls_beside_a_gain():
    metrics = pair()
    before, after = metrics.scores(None), metrics.scores(TRUTH)
    lower = replace(after, overlap={**after.overlap, "ssim": before.overlap["ssim"] - 0.2})
    found = judge(metrics, before, lower, TRUTH)
    assert found.outcome == "better" and "(contrasts differ, so SSIM is not used)" in found.sentence


def test_a_rim_of_overlap_is_nothing_to_compare_with():
    fixed = scene()
    far = fixed.with_grid(GRID.moved(Affine.translation([0.0, 94.0]).matrix))
    for transform, outcome in (
        (Affine.translation([0.0, 94.0]), "better"),
        (Affine.translation([20.0, 94.0]), "unclear"),
    ):
        metrics = PairMetrics(fixed, far)
        found = verdict(metrics, transform)
        assert found.outcome == outcome and math.isnan(found.before)
        assert "too few pixels overlap both before and after (overlap 2 % -> " in found.sentence
        assert found.after == pytest.approx(metrics.lncc(transform))  # what a table of methods shows


def test_landmarks_decide():
    points = np.array([[20.0, 20.0], [70.0, 30.0], [40.0, 80.0]])
    found = verdict(pair(landmarks=(points, points)), TRUTH)
    assert (found.outcome, found.measure) == ("worse", "landmark error")
    assert (found.before, found.after) == (0, 5)
    assert found.sentence.startswith("Worse than before: landmark error 0 -> 5 mm")


def test_a_verdict_is_plain_values():
    for found in (verdict(pair(), TRUTH), verdict(pair(), Affine.translation([900.0, 0.0]))):
        again = Verdict(**json.loads(json.dumps(asdict(found))))
        assert repr(again) == repr(found)  # nan, too
