"""The networks' measurements: direction and units of the truth, and what the page concludes from numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import network_page
import networks
from napari_voxreg.nets.checkpoints.checkpoint import build, save_weights
from napari_voxreg.train.synthetic.synthetic_pairs import Motion
from napari_voxreg.transforms import Affine, Displacement, warp


@pytest.fixture
def weights(tmp_path, monkeypatch):
    torch.manual_seed(1)
    made = {"deformable2d": ("voxelmorph", {"ndim": 2}), "affine2d": ("stn", {"ndim": 2, "width": 4})}
    for name, (architecture, arguments) in made.items():
        save_weights(tmp_path / f"{name}.safetensors", build(architecture, arguments), {})
    monkeypatch.setattr(network_page, "WEIGHTS", tmp_path)
    return {found.name: found for found in network_page.shipped()}


@pytest.mark.parametrize("d", [2, 3])
def test_the_truth_is_what_the_pairs_show(d):
    for pair in networks.made(d, 4 - d, Motion()):
        grid = pair.fixed.grid
        truth, nothing = Displacement(pair.truth, grid), Affine.identity(d)
        before = np.linalg.norm(pair.truth, axis=-1)[pair.textured > 0].mean()
        assert pair.error(nothing) == pytest.approx(before, rel=1e-5)
        assert pair.error(truth) < 1e-4
        # Edges meet under the truth, whatever the contrast, and not under its opposite.
        edges = [np.hypot.reduce(np.gradient(image.data)) for image in (pair.fixed, pair.moving)]
        onto = [
            warp(pair.moving.with_data(edges[1]), Displacement(sign * pair.truth, grid), grid).data
            for sign in (1, -1)
        ]
        right, wrong = (np.corrcoef(edges[0].ravel(), found.ravel())[0, 1] for found in onto)
        assert right > wrong + 0.05


def test_an_ellipse_covers_a_tenth_of_the_image():
    rng = np.random.default_rng(0)
    for _ in range(5):
        assert networks._ellipse((96, 120), rng).mean() == pytest.approx(0.1, abs=0.004)


def test_weights_are_found_by_being_there_and_told_apart(weights):
    assert [(w.name, w.ndim, w.affine) for w in weights.values()] == [
        ("affine2d", 2, True),
        ("deformable2d", 2, False),
    ]


def test_what_is_measured_is_what_the_page_shows(weights):
    deformable, affine = (str(weights[name].path) for name in ("deformable2d", "affine2d"))
    results = {
        ("objects", "deformable2d"): networks.measure_objects(deformable, "2"),
        ("far-2d", "affine2d"): networks.measure_far(affine, "2", "2"),
        ("speed", "deformable2d"): networks.measure_speed(deformable, "cpu", "64", "48"),
        ("vsvf-2d", "untrained avsm 2d"): networks.measure_vsvf("untrained avsm 2d", "2", "1"),
    }
    # An untrained network moves nothing, so nothing depends on what only one image shows.
    for without, present in (results["objects", "deformable2d"][way] for way in ("once", "method")):
        assert present == pytest.approx(without, abs=0.01) and without > 0.5
    assert set(results["far-2d", "affine2d"]["errors"]) == {"0", "1", "3", "7"}
    stirred = results["vsvf-2d", "untrained avsm 2d"]
    assert 0.5 < stirred["length"] < networks.STIRRED and stirred["worst"] < 0.1
    text = network_page.page(results)
    assert "| affine2d | 0 of 2 | 0 of 2 | 0 of 2 | 0 of 2 |" in text
    assert text.count(network_page.NOT_MEASURED) == 3  # both kinds of unseen pairs, and the heads


def test_a_network_that_moves_nothing_does_not_help_the_optimiser(weights, monkeypatch):
    rungs = {name: networks.RUNGS[name] for name in ("1/2, 2 steps",)}
    monkeypatch.setattr(networks, "RUNGS", rungs)
    alone = networks.measure_unseen(network_page.OPTIMISER, "2", "2")
    after = networks.measure_unseen(str(weights["deformable2d"].path), "2", "2")
    assert after["pass"]["after"] == pytest.approx(alone["rungs"]["1/2, 2 steps"]["before"], rel=0.01)
    assert after["rungs"]["1/2, 2 steps"]["after"] == pytest.approx(
        alone["rungs"]["1/2, 2 steps"]["after"], rel=0.01
    )


def rung(after, seconds):
    return {"before": 3.0, "after": after, "folds": 0.0, "worse": 0, "seconds": seconds}


def test_equal_time_compares_with_the_best_that_was_there_by_then():
    alone = {"count": 1, "rungs": {"few": rung(2.0, 0.1), "more": rung(1.0, 0.4)}}
    net = {
        "count": 1,
        "pass": rung(1.5, 0.05),
        "rungs": {"few": rung(1.4, 0.15), "more": rung(0.9, 0.45)},
    }
    text = network_page.page({("unseen-2d", "optimiser"): alone, ("unseen-2d", "net"): net})
    assert "| net | 3.00 -> 1.50 | -50 % | 0 | 0 of 1 | 0.050 | 0.400 |" in text
    assert "better than the optimiser alone at 2 of 2 times" in text
    assert "0.90 against 1.00 pixels in 0.45 s" in text
    net["pass"]["after"] = 0.5
    text = network_page.page({("unseen-2d", "optimiser"): alone, ("unseen-2d", "net"): net})
    assert "not reached" in text
    net["pass"]["before"] = 4.0  # measured on other pairs
    text = network_page.page({("unseen-2d", "optimiser"): alone, ("unseen-2d", "net"): net})
    assert "other pairs than the optimiser: net" in text
