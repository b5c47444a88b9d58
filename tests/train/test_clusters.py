"""One model for all and one for each cluster: the same weights, as many steps, resumed after a stop."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from napari_voxreg.core.progress import Cancelled
from napari_voxreg.io.pairs import PairSet
from napari_voxreg.nets.checkpoints.checkpoint import open_checkpoint
from napari_voxreg.train.clusters import train_each
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.pairs import session
from napari_voxreg.train.runs import read_history, read_pairs, read_run

QUICK = TrainOptions(
    architecture="stn", size=32, workers=0, show_every=0, batch_size=2, epochs=2, device="cpu"
)


@pytest.fixture
def pairs(some_pairs) -> PairSet:  # type: ignore[no-untyped-def]
    """Seven pairs on disk, five to train on."""
    return some_pairs(5, 2)


@pytest.fixture
def groups(pairs: PairSet) -> list[PairSet]:
    """Four pairs and one."""
    return [
        PairSet(pairs.training[:4], pairs.validation),
        PairSet(pairs.training[4:], ()),
    ]


def test_every_model_takes_as_many_steps_from_the_same_start(
    pairs: PairSet, groups: list[PairSet], tmp_path: Path
) -> None:
    said = []
    models = train_each(
        pairs,
        groups,
        QUICK,
        tmp_path / "out",
        lambda part, message, metric=None: said.append((part, message)),
    )
    # Five pairs in twos are three steps an epoch, two epochs.
    assert (models.before, models.steps) == (6, 6) and models.notes == ()
    assert models.everyone == tmp_path / "out" / "all" / "last.safetensors"
    assert [path.parent.name for path in models.own] == ["cluster-1", "cluster-2"]
    start = tmp_path / "out" / "first" / "last.safetensors"
    for weights, some in ((models.everyone, pairs), *zip(models.own, groups, strict=True)):
        run = read_run(weights.parent)
        assert run.options.weights == start and run.options.start == "weights"
        assert read_history(weights.parent)[-1].step == 6
        assert [p.name for p in read_pairs(weights.parent).training] == [p.name for p in some.training]
        assert open_checkpoint(weights).card["steps"] == 6
    fractions = [part for part, _ in said]
    assert fractions == sorted(fractions) and said[-1][0] <= 1
    told = " ".join(message for _, message in said)
    assert all(f"training {n}:" in told for n in ("the first model", "one for all", "cluster 2 of 2"))


def test_given_weights_are_the_start_and_nothing_is_trained_twice(
    pairs: PairSet, groups: list[PairSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dataclasses.replace(QUICK, start="shipped", epochs=1)
    models = train_each(pairs, groups, options, tmp_path / "out")
    assert models.before == 0 and models.steps == 3 and not (tmp_path / "out" / "first").exists()
    times = [path.stat().st_mtime_ns for path in (models.everyone, *models.own)]
    monkeypatch.setattr("napari_voxreg.train.clusters.train_pairs", None)
    monkeypatch.setattr("napari_voxreg.train.clusters.resume", None)
    assert train_each(pairs, groups, options, tmp_path / "out") == models
    assert [path.stat().st_mtime_ns for path in (models.everyone, *models.own)] == times


def test_a_stopped_training_goes_on_where_it_was(
    pairs: PairSet, groups: list[PairSet], tmp_path: Path
) -> None:
    straight = train_each(pairs, groups, QUICK, tmp_path / "straight")

    def until(word: str, times: int):  # type: ignore[no-untyped-def]
        seen = []

        def progress(fraction: float | None, message: str, metric: float | None = None) -> None:
            if message.startswith(f"training {word}: epoch"):
                seen.append(message)
                if len(seen) >= times:
                    raise Cancelled

        return progress

    for word, times in (("the first model", 2), ("cluster 1 of 2", 4)):
        with pytest.raises(Cancelled, match=f"while {word} was trained; all is saved"):
            train_each(pairs, groups, QUICK, tmp_path / "broken", until(word, times))
    models = train_each(pairs, groups, QUICK, tmp_path / "broken")
    for there, here in zip((straight.everyone, *straight.own), (models.everyone, *models.own), strict=True):
        a, b = (open_checkpoint(path).net.state_dict() for path in (there, here))
        assert all((a[name] == b[name]).all() for name in a)


def test_what_would_make_the_comparison_unfair_or_mix_runs_is_refused(
    pairs: PairSet, groups: list[PairSet], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="2 clusters or more"):
        train_each(pairs, groups[:1], QUICK, out)
    with pytest.raises(ValueError, match="patience"):
        train_each(pairs, groups, dataclasses.replace(QUICK, patience=3), out)
    assert not out.exists()
    one = dataclasses.replace(QUICK, epochs=1)
    train_each(pairs, groups, one, out)
    with pytest.raises(ValueError, match="another learning_rate; choose another folder"):
        train_each(pairs, groups, dataclasses.replace(one, learning_rate=0.1), out)
    with pytest.raises(ValueError, match="another epochs"):
        train_each(pairs, groups, QUICK, out)
    with pytest.raises(ValueError, match="other pairs"):
        train_each(pairs, groups[::-1], one, out)


def test_a_loss_that_is_not_a_number_names_the_model(
    pairs: PairSet, groups: list[PairSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = session.Cost.__call__

    def cost(self, net, batch, epoch, judging=False):  # type: ignore[no-untyped-def]
        terms, answer = real(self, net, batch, epoch, judging)
        return dataclasses.replace(terms, total=terms.total * torch.nan), answer

    monkeypatch.setattr(session.Cost, "__call__", cost)
    with pytest.raises(ValueError, match=r"^Training the first model in .*: The loss is not a number"):
        train_each(pairs, groups, QUICK, tmp_path / "out")


def test_a_pair_that_cannot_be_read_is_told_once(
    pairs: PairSet, groups: list[PairSet], tmp_path: Path
) -> None:
    (tmp_path / "in" / "moving" / "01.tif").write_bytes(b"nothing")
    models = train_each(pairs, groups, dataclasses.replace(QUICK, epochs=1), tmp_path / "out")
    assert len(models.notes) == 1 and "The pair 01" in models.notes[0]
