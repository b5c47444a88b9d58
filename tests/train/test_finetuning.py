"""Fine-tuning of shipped weights: what is kept is better in Register, and other kinds are not forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_voxreg import Grid, Image, register
from napari_voxreg.io.pairs import Pair, PairSet, read_pair
from napari_voxreg.nets.architectures.network import Network, Prediction
from napari_voxreg.nets.checkpoints.checkpoint import load_weights, shipped
from napari_voxreg.registration.prepare import prepare
from napari_voxreg.train.events import Choice, Preparing
from napari_voxreg.train.optim import descend
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.pairs import choosing
from napari_voxreg.train.pairs.choosing import choose, mean_of, true_error
from napari_voxreg.train.pairs.rehearsal import Rehearsal
from napari_voxreg.train.run import train_pairs

TUNED = TrainOptions(start="shipped", epochs=1, batch_size=2, size=32, workers=0, show_every=0, device="cpu")
SHAPE = (32, 32)


def shared(count: int = 4) -> list[Pair]:
    """Pairs with one translation, of which the truth says that it is another: only training can know."""
    grid, found = Grid.from_spacing(SHAPE), []
    for k in range(count):
        image = ndimage.gaussian_filter(np.random.default_rng(k).standard_normal(SHAPE), 1.5, mode="wrap")
        moving = Image(np.roll(image, 1, 1).astype(np.float32), grid, f"moving {k}")
        truth = np.zeros((2, *SHAPE), np.float32)
        truth[1] = 4.0
        found.append(
            Pair(f"{k}", Image(image.astype(np.float32), grid, f"fixed {k}"), moving, displacement=truth)
        )
    return found


class Shifted(Network):
    """Predicts a translation along the last axis by its only weight."""

    def __init__(self, pixels: float) -> None:
        super().__init__(2, 1, {})
        self.pixels = torch.nn.Parameter(torch.tensor([pixels]))

    def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> Prediction:
        field = torch.zeros(len(fixed), 2, *fixed.shape[2:])
        field[:, 1] = self.pixels
        return Prediction(field)


@pytest.fixture
def equal_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """All networks have the same error on generated pairs."""
    monkeypatch.setattr(Rehearsal, "error", lambda self, net: 1.0)


def test_what_is_best_on_held_out_pairs_is_kept(equal_elsewhere: None) -> None:
    told: list[str] = []
    # Three fifths of the way from 1 to 6 pixels is the truth.
    found = choose(Shifted(1.0), Shifted(6.0), shared(3), TUNED, SHAPE, told.append)
    assert found is not None
    net, choice = found
    assert choice == Choice(
        "error in pixels", 3, pytest.approx(3.0, abs=0.01), pytest.approx(0.0, abs=0.01), 0.6, 0.0
    )
    assert float(net.pixels.detach()) == pytest.approx(4.0)
    assert (
        told[0] == "comparing on generated pairs" and len(told) == 6 + 6 * 3
    )  # so that a stop is heard between any two
    assert choice.describe().startswith("Held-out error in pixels: 3 -> ")


def test_shipped_weights_are_kept_where_none_are_better(equal_elsewhere: None) -> None:
    for tuned in (-2.0, 1.0, 1.05):  # worse, the same, hardly better
        found = choose(Shifted(1.0), Shifted(tuned), shared(3), TUNED, SHAPE, lambda text: None)
        assert found is not None
        assert found[1].fraction == 0 and found[1].before == found[1].after
        assert float(found[0].pixels.detach()) == 1.0
        assert found[1].describe() == "No better than the shipped weights, which are kept."


def test_weights_that_forget_other_kinds_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def error(self: Rehearsal, net: Shifted) -> float:
        return 1.0 + 0.05 * float(net.pixels.detach() - 1.0)

    monkeypatch.setattr(Rehearsal, "error", error)
    found = choose(Shifted(1.0), Shifted(3.0), shared(3), TUNED, SHAPE, lambda text: None)
    assert found is not None and found[1].fraction == 0.2  # 2 % worse there; 4 % are too many
    assert found[1].others == pytest.approx(0.02)


def test_pairs_are_measured_by_the_best_that_they_have(equal_elsewhere: None) -> None:
    whole = shared(2)
    plain = [replace(pair, displacement=None) for pair in whole]
    points, offset = np.array([[8.0, 8.0], [20.0, 12.0]]), np.array([0.0, 4.0])
    marked = [replace(pair, fixed_landmarks=points, moving_landmarks=points + offset) for pair in plain]
    labels = np.zeros(SHAPE, np.uint8)
    labels[8:20, 8:20] = 1
    grid = Grid.from_spacing(SHAPE)
    drawn = [
        replace(pair, fixed_labels=Image(labels, grid), moving_labels=Image(np.roll(labels, 4, 1), grid))
        for pair in plain
    ]
    for pairs, measure, fraction in (
        (whole, "error in pixels", 0.6),
        (marked, "landmark error", 0.6),
        (drawn, "1 - Dice", 0.6),
        (plain, "1 - LNCC", 0.0),  # the images match where they lie by a pixel
    ):
        found = choose(Shifted(1.0), Shifted(6.0), pairs, TUNED, SHAPE, lambda text: None)
        assert found is not None
        assert (found[1].measure, found[1].fraction) == (measure, fraction)


def test_a_run_keeps_the_shipped_weights_and_says_so(some_pairs, tmp_path: Path) -> None:
    """One step of the least rate gains nothing."""
    pairs, events = some_pairs(training=2, validation=1), []
    ended = train_pairs(pairs, replace(TUNED, learning_rate=1e-12), tmp_path / "run", report=events.append)
    assert ended == events[-1]
    assert ended.text.endswith("No better than the shipped weights, which are kept.")
    assert any(isinstance(event, Preparing) and "comparing" in event.text for event in events)
    kept, known = load_weights(ended.best), load_weights(shipped("pyramid2d"))
    assert all(torch.equal(value, known.net.state_dict()[k]) for k, value in kept.net.state_dict().items())
    assert kept.card["choice"]["fraction"] == 0 and kept.side is None


def test_register_reproduces_the_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "FRACTIONS", (1.0,))
    monkeypatch.setattr(choosing, "FORGOTTEN", 9.0)
    pairs = shared()
    options = replace(TUNED, epochs=6, learning_rate=3e-3, rehearse=False)
    ended = train_pairs(PairSet(tuple(pairs[:2]), tuple(pairs[2:])), options, tmp_path / "run")
    assert ended.choice is not None and ended.choice.fraction == 1
    card = json.loads(ended.best.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["options"]["loss"] == "end-point error"  # of "auto", since the pairs have true displacements
    for weights, figure in ((shipped("pyramid2d"), ended.choice.before), (ended.best, ended.choice.after)):
        errors = []
        for pair in pairs[2:]:
            loaded = read_pair(pair)
            chosen = {"weights": weights, "refine": False}
            found = register(loaded.fixed, loaded.moving, method="pyramid", params=chosen, device="cpu")
            errors.append(true_error(loaded, prepare(loaded.fixed, loaded.moving), found.transform))
        assert np.mean(errors) == pytest.approx(figure, abs=1e-4)
    assert ended.choice.after < 0.9 * ended.choice.before


def test_generated_pairs_take_part_unless_told_otherwise(some_pairs, tmp_path: Path, monkeypatch) -> None:
    shown = []
    whole = Rehearsal.loss

    def counted(self, net, device, *step):
        shown.append(step)
        return whole(self, net, device, *step)

    monkeypatch.setattr(Rehearsal, "loss", counted)
    pairs = some_pairs(training=2, validation=0)
    train_pairs(pairs, replace(TUNED, epochs=2), tmp_path / "with")
    assert shown == [(1, 0, 0), (2, 0, 0)]
    train_pairs(pairs, replace(TUNED, rehearse=False), tmp_path / "without")
    train_pairs(pairs, replace(TUNED, start="scratch"), tmp_path / "scratch")
    assert len(shown) == 2


def test_a_loss_beside_counts_as_much_whatever_its_unit() -> None:
    weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    losses = 1e-3 * weights[0][0], 1e3 * weights[0][1]  # the second parameter is in neither
    assert descend(losses[0], torch.optim.SGD(weights, lr=1.0), weights, beside=losses[1])
    assert weights[0].tolist() == pytest.approx([-(0.5**0.5)] * 2, rel=1e-4)  # both clipped to one step
    assert not weights[1].any()


def test_means_of_networks_lie_between_them() -> None:
    assert float(mean_of(Shifted(1.0), Shifted(5.0), 0.25).pixels.detach()) == 2.0


def test_the_loss_follows_from_the_pairs() -> None:
    assert TUNED.settled(True).dissimilarity == "end-point error"
    assert TUNED.settled(False).dissimilarity == "LNCC"
    assert replace(TUNED, architecture="stn").settled(False).dissimilarity == "MSE"
    assert replace(TUNED, architecture="avsm").settled(False).dissimilarity == "mk-LNCC"
    assert replace(TUNED, loss="NCC").settled(True).dissimilarity == "NCC"
    assert replace(TUNED, start="scratch").settled(True).dissimilarity == "MSE"
