"""Training on own pairs: it learns, stops, goes on exactly, and says in a sentence what is wrong."""

from __future__ import annotations

import csv
import errno
import json
import multiprocessing
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_voxreg import Grid, Image, register
from napari_voxreg.core.disk import DiskFull, disk_full
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.io.pairs import Pair, PairSet, open_pairs
from napari_voxreg.nets.checkpoints.checkpoint import ARCHITECTURES, load_weights
from napari_voxreg.tensor.device import device_named
from napari_voxreg.train.events import (
    Began,
    Ended,
    EpochDone,
    Event,
    Example,
    Paused,
    Preparing,
    Said,
    Stepped,
)
from napari_voxreg.train.optim import averaging
from napari_voxreg.train.options import ARCHITECTURES as NETWORKS
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.pairs import data, session
from napari_voxreg.train.pairs.networks import arguments_of
from napari_voxreg.train.run import full_disk_reported, preview, resume, train_pairs
from napari_voxreg.train.runs import list_runs, read_history, read_run, weights_of_runs

QUICK = TrainOptions(
    architecture="stn", epochs=3, batch_size=2, size=32, workers=0, rotation=10, elastic=0.02, bias=0.2
)


def curve(folder: Path) -> list[dict[str, str]]:
    """history.csv without the seconds."""
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_weights(path).net.state_dict() for path in (one, other))
    return all(torch.equal(value, second[name]) for name, value in first.items())


def stop_after(steps: int):
    """A control that lets so many steps be."""
    asked = iter(["go"] * steps)
    return lambda: next(asked, "stop")


@pytest.mark.parametrize("validation", [0, 2])
def test_what_the_files_say_is_said_once_per_kind(some_pairs, tmp_path: Path, validation: int) -> None:
    pairs = some_pairs(4, validation)
    for pair in pairs.all[1:]:
        for path in (pair.fixed, pair.moving):
            pixels = read_image(path)
            holes = np.where(np.arange(32) < len(path.stem), np.nan, pixels.data).astype(np.float32)
            write_image(pixels.with_data(holes), path)
    for folder in (tmp_path / "a", tmp_path / "b"):
        said: list[str] = []
        train_pairs(
            pairs,
            replace(QUICK, epochs=2),
            folder,
            report=lambda event, said=said: said.append(event.text) if isinstance(event, Said) else None,
        )
        (note,) = [text for text in said if "pixels without data" in text]
        assert note.split(":")[0] in {pair.name for pair in pairs.all[1:]}
        assert note.endswith("they are masked out. If it applies to other pairs, that is not repeated.")


def test_a_run_leaves_all_that_was_promised(some_pairs, tmp_path: Path) -> None:
    events = []
    pairs, folder = some_pairs(), tmp_path / "run"
    ended = train_pairs(pairs, replace(QUICK, every=2, show_every=4), folder, report=events.append)
    assert ended == events[-1]
    assert ended.reason == "done"
    kinds = [type(event) for event in events]
    assert next(kind for kind in kinds if kind is not Preparing) is Began
    assert kinds.count(EpochDone) == 3
    assert kinds.count(Example) == 3  # before the first step, at steps 4 and 8
    assert any(isinstance(event, Stepped) and event.step == event.steps == 9 for event in events)
    rows = read_history(folder)
    assert [row.epoch for row in rows] == [0, 1, 2, 3]
    assert rows[0].training is None
    assert [row.step for row in rows] == [0, 3, 6, 9]
    for row in rows[1:]:
        assert row.training.total == pytest.approx(
            row.training.similarity + 0.01 * row.training.smoothness, rel=1e-5
        )
        assert row.validation.error > 0
    card = json.loads((folder / "best.json").read_text())
    assert [entry["pair"] for entry in card["data"]] == [pair.name for pair in pairs.all]
    assert all(len(entry["sha256"]) == 64 for entry in card["data"])
    assert card["options"]["rotation"] == 10
    assert card["scores"]["validation"]["total"] == min(row.validation.total for row in rows[1:])
    assert {"torch", "napari-voxreg"} <= card["versions"].keys()
    assert (folder / "epoch-00002.safetensors").is_file()
    assert list(folder.glob("events.out.tfevents.*"))
    assert not list(folder.glob(".napari-voxreg*"))
    with (folder / "pairs.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert [row["set"] for row in listed] == ["train"] * 6 + ["val"] * 2
    assert all(len(row["sha256"]) == 64 for row in listed)
    (run,) = list_runs(tmp_path)
    assert run.resumable
    assert weights_of_runs(tmp_path, ("stn",)) == (folder / "best.safetensors",)
    assert weights_of_runs(tmp_path, ("voxelmorph",)) == ()


def test_the_events_file_tells_what_the_history_tells(some_pairs, tmp_path: Path) -> None:
    import struct

    from tensorboardX.proto import event_pb2

    folder = tmp_path / "run"
    train_pairs(some_pairs(), QUICK, folder)
    (file,) = folder.glob("events.out.tfevents.*")
    content, found = file.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = event_pb2.Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
        for value in event.summary.value:
            found[value.tag, event.step] = value.simple_value
    for row in read_history(folder):
        assert found["val/total", row.step] == pytest.approx(row.validation.total, rel=1e-6)
    assert ("step/similarity", 9) in found


@pytest.mark.parametrize(
    ("network", "steps"),
    [("stn", 4), ("voxelmorph probabilistic", 3), pytest.param("avsm", 5, marks=pytest.mark.slow)],
)
def test_a_run_that_was_stopped_goes_on_with_the_same_curve(
    some_pairs, tmp_path: Path, network: str, steps: int
) -> None:
    """In the middle of an epoch, with augmentation, numbers that the network draws, and AVSM's two stages."""
    pairs, options = some_pairs(), replace(QUICK, architecture=network)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_pairs(pairs, options, whole)
    # The control is asked once after each batch of validation, too.
    ended = train_pairs(pairs, options, parts, control=stop_after(steps))
    assert ended.reason == "stopped"
    assert len(curve(parts)) < len(curve(whole))
    assert resume(parts).reason == "done"
    assert curve(parts) == curve(whole)
    assert same_weights(parts / "last.safetensors", whole / "last.safetensors")


@pytest.mark.slow
def test_reading_in_other_processes_changes_nothing(some_pairs, tmp_path: Path) -> None:
    pairs = some_pairs()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the readers: sums over several threads are rounded differently
    try:
        train_pairs(pairs, QUICK, tmp_path / "here")
        train_pairs(pairs, replace(QUICK, workers=1), tmp_path / "there")
    finally:
        torch.set_num_threads(threads)
    assert curve(tmp_path / "here") == curve(tmp_path / "there")
    until = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.1)
    assert multiprocessing.active_children() == []


BARE = """
import sys
from napari_voxreg import TrainOptions, open_pairs, train_pairs

options = TrainOptions(architecture="stn", epochs=1, batch_size=2, size=32, workers=1)
train_pairs(open_pairs(sys.argv[1]), options, sys.argv[2])
"""


@pytest.mark.slow
def test_a_script_that_does_not_guard_its_main_part_is_told_so(some_pairs, tmp_path: Path) -> None:
    some_pairs(training=3, validation=1)
    script = tmp_path / "bare.py"
    script.write_text(BARE)
    words = [sys.executable, str(script), str(tmp_path / "in"), str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=250, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: The processes that read pairs have ended; in a script, train below")


def test_a_pause_waits_with_everything_saved(some_pairs, tmp_path: Path) -> None:
    events, asked = [], []

    def control() -> str:
        asked.append(None)
        return "pause" if 3 < len(asked) < 7 else "go"

    folder = tmp_path / "run"
    train_pairs(some_pairs(), QUICK, folder, report=events.append, control=control)
    (paused,) = [event for event in events if isinstance(event, Paused)]
    steps = [event.step for event in events[: events.index(paused)] if isinstance(event, Stepped)]
    assert max(steps, default=0) <= paused.step
    train_pairs(some_pairs(), QUICK, tmp_path / "straight")
    assert curve(folder) == curve(tmp_path / "straight")


def test_training_learns_from_pairs_and_does_well_on_others(some_pairs, tmp_path: Path) -> None:
    options = TrainOptions(epochs=8, batch_size=4, size=48, workers=0, show_every=0)
    ended = train_pairs(some_pairs(training=12, validation=4, shape=(48, 48)), options, tmp_path / "run")
    error = load_weights(ended.best).card["scores"]["validation"]["error"]
    assert error < 0.6 * 2.0 * 2**0.5  # what the pairs' motions are, root mean square


def test_trained_weights_register(some_pairs, tmp_path: Path) -> None:
    options = TrainOptions(architecture="voxelmorph", epochs=1, size=32, workers=0)
    ended = train_pairs(some_pairs(), options, tmp_path / "run")
    rng, grid = np.random.default_rng(0), Grid.from_spacing((40, 36))
    images = [Image(rng.random((40, 36)).astype(np.float32), grid) for _ in range(2)]
    result = register(*images, method="voxelmorph", params={"weights": ended.best, "refine": False})
    assert "voxelmorph of napari-voxreg" in result.notes[0]


@pytest.mark.slow
def test_more_epochs_follow_later(some_pairs, tmp_path: Path) -> None:
    pairs, folder = some_pairs(), tmp_path / "run"
    train_pairs(pairs, replace(QUICK, epochs=2), folder)
    assert resume(folder, epochs=3).reason == "done"
    train_pairs(pairs, QUICK, tmp_path / "whole")
    assert curve(folder) == curve(tmp_path / "whole")
    # AVSM's affine part has had its epochs, however many follow.
    avsm = replace(QUICK, architecture="avsm", epochs=2)
    train_pairs(pairs, avsm, tmp_path / "avsm")
    assert resume(tmp_path / "avsm", epochs=12, patience=1).reason in ("early", "done")
    with pytest.raises(ValueError, match="learning_rate cannot change"):
        resume(folder, learning_rate=1.0)


def test_it_stops_early_when_validation_gets_no_better(some_pairs, tmp_path: Path) -> None:
    options = replace(QUICK, learning_rate=0.3, epochs=50, patience=2)
    ended = train_pairs(some_pairs(), options, tmp_path / "run")
    assert ended.reason == "early"
    totals = [row.validation.total for row in read_history(tmp_path / "run")[1:]]
    assert min(totals) == totals[-3]
    assert load_weights(ended.best).card["epoch"] == len(totals) - 2


def test_a_loss_that_is_no_number_ends_it_and_the_best_weights_stay(
    some_pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = session.Cost.__call__, []

    def cost(self, net, batch, epoch, judging=False):
        terms, answer = real(self, net, batch, epoch, judging)
        calls.append(judging)
        return (terms if calls.count(False) < 5 else replace(terms, total=terms.total * torch.nan)), answer

    monkeypatch.setattr(session.Cost, "__call__", cost)
    ended = train_pairs(some_pairs(), QUICK, tmp_path / "run")
    assert ended.reason == "not a number"
    assert "smaller learning rate" in ended.text
    assert load_weights(ended.best).card["epoch"] == 1
    assert [row.epoch for row in read_history(tmp_path / "run")] == [0, 1]


def test_a_full_disk_is_one_sentence_and_earlier_files_stay_whole(some_pairs, tmp_path: Path) -> None:
    """The limit on the size of a file does what a full disk does."""
    pairs, folder = some_pairs(), tmp_path / "run"
    train_pairs(pairs, replace(QUICK, epochs=1), folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir() if "events" not in file.name}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="is full; what was saved before is intact") as raised:
            resume(folder, epochs=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(raised.value).count(". ") == 0
    for name in ("best.safetensors", "last.safetensors", "state.pt"):
        assert (folder / name).read_bytes() == before[name]
    assert resume(folder).reason == "done"
    train_pairs(pairs, QUICK, tmp_path / "whole")
    assert curve(folder) == curve(tmp_path / "whole")


def test_the_users_own_files_in_the_folder_stay(some_pairs, tmp_path: Path) -> None:
    folder, pairs = tmp_path / "run", some_pairs()
    for name in ("cache/thesis.txt", "cache/training/0000000.npz", "events/mine", "napari-voxreg-notes/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("years of work")
    before = sorted(folder.rglob("*"))
    assert train_pairs(pairs, replace(QUICK, epochs=1), folder).reason == "done"
    assert set(before) <= set(folder.rglob("*"))
    assert all(path.read_text() == "years of work" for path in before if path.is_file())


def test_prepared_pairs_are_kept_while_it_runs_and_what_others_put_there_stays(
    some_pairs, tmp_path: Path
) -> None:
    folder, seen = tmp_path / "run", []

    def report(event: Event) -> None:
        if isinstance(event, EpochDone):
            seen.append(sorted(path.name for path in (folder / session.CACHE / "training").iterdir()))
            (folder / session.CACHE / "mine.txt").write_text("mine")

    train_pairs(some_pairs(), replace(QUICK, epochs=1), folder, report=report)
    assert seen == [[f"{k:07d}.npz" for k in range(6)]]
    assert [path.name for path in (folder / session.CACHE).iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["pairs.csv", "history.csv", "pairs.h5", "state.pt", "best.json"])
def test_files_of_no_run_are_not_replaced(some_pairs, tmp_path: Path, name: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("years of work")
    with pytest.raises(
        ValueError, match=rf"{name} is of no run and would be replaced; choose another folder\.$"
    ):
        train_pairs(some_pairs(), QUICK, tmp_path / "run")
    assert (tmp_path / "run" / name).read_text() == "years of work"


def test_a_folder_that_cannot_be_written_is_refused_before_a_pair_is_read(
    some_pairs, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("napari_voxreg.train.run.read_pair", lambda pair: pytest.fail("it was read"))
    with pytest.raises(OSError, match=r"file is not a folder; choose another"):
        train_pairs(some_pairs(), QUICK, tmp_path / "file" / "run")


def test_a_device_that_is_not_there_leaves_no_folder(some_pairs, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("napari_voxreg.tensor.device.available", lambda: ("auto", "cpu"))
    for device in ("cuda", "cuda:0", "cuda:3", "mps"):
        with pytest.raises(ValueError, match="device on this machine; choose auto or cpu"):
            train_pairs(some_pairs(), replace(QUICK, device=device), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # The first GPU has its number, too.
    monkeypatch.setattr("napari_voxreg.tensor.device.available", lambda: ("auto", "cpu", "cuda"))
    assert device_named("cuda:0") == torch.device("cuda")


def test_the_disk_that_is_full_is_named(tmp_path: Path) -> None:
    """The run's own, that of temporary files, or what processes share."""
    for error, words in (
        (OSError(errno.ENOSPC, "No space left"), rf"The disk of {tmp_path} is full; what was saved before"),
        (disk_full(tmp_path), rf"The disk of {tmp_path} is full; what was saved before"),
        (disk_full(Path("/elsewhere")), r"The disk of /elsewhere is full; free"),
    ):
        with pytest.raises(DiskFull, match=words), full_disk_reported(tmp_path):
            raise error
    said = str(data.explained(OSError(errno.ENOSPC, "No space left on device")))
    assert "/dev/shm" in said and "workers" in said


def test_an_image_that_cannot_be_read_is_named_counted_and_left_out(
    some_pairs, tmp_path: Path, monkeypatch
) -> None:
    """Damaged before the first step, and in the middle of a run."""
    pairs, said = some_pairs(), []
    pairs.training[1].moving.write_bytes(b"no picture")

    def control() -> str:
        if read_history(tmp_path / "run")[-1:] and not said[1:]:
            for pair in pairs.training:
                pair.fixed.write_bytes(b"gone") if pair.name == "02" else None
        return "go"

    def report(event) -> None:
        if isinstance(event, Said):
            said.append(event.text)

    # No store, so that every epoch reads anew.
    monkeypatch.setattr(data, "STORED", 0.0)
    ended = train_pairs(pairs, QUICK, tmp_path / "run", report=report, control=control)
    assert ended.reason == "done"
    assert [text.split()[2] for text in said] == ["01", "02"]
    assert "(2 so far)" in said[1]
    assert "01.tif" in said[0]
    card = load_weights(ended.last).card
    assert sorted(card["left out"]) == ["01", "02"]


def test_no_image_that_can_be_read_is_one_sentence(some_pairs, tmp_path: Path) -> None:
    pairs = some_pairs()
    for pair in pairs.training:
        pair.fixed.write_bytes(b"no picture")
    with pytest.raises(ValueError, match="None of the 6 training pairs can") as raised:
        train_pairs(pairs, QUICK, tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_one_pair_is_enough(some_pairs, tmp_path: Path) -> None:
    pairs = open_pairs(some_pairs(training=1, validation=0).training)
    said = []
    ended = train_pairs(pairs, replace(QUICK, batch_size=8), tmp_path / "run", report=said.append)
    assert ended.reason == "done"
    assert read_history(tmp_path / "run")[-1].step == 3
    assert any(isinstance(event, Said) for event in said)  # that it is judged by itself


def test_images_in_memory_are_kept_so_that_the_run_can_go_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [Image(rng.random((32, 32)).astype(np.float32), Grid.from_spacing((32, 32)), n) for n in "abcd"]
    folder = tmp_path / "run"
    pairs = open_pairs(images, pairing="all", validation=0)
    train_pairs(pairs, replace(QUICK, epochs=1), folder)
    train_pairs(pairs, replace(QUICK, epochs=2), tmp_path / "whole")
    assert resume(folder, epochs=2).reason == "done"
    assert curve(folder) == curve(tmp_path / "whole")


def test_what_cannot_be_trained_is_refused_in_a_sentence(some_pairs, tmp_path: Path) -> None:
    pairs, folder = some_pairs(), tmp_path / "run"
    bare = PairSet(tuple(Pair(p.name, p.fixed, p.moving) for p in pairs.training), ())
    refusals = (
        (pairs, replace(QUICK, architecture="voxelmorph displacement", start="shipped"), "weights"),
        (PairSet((), pairs.training), QUICK, "no pairs to train on"),
        (bare, replace(QUICK, loss="Dice"), "no labels"),
        (bare, replace(QUICK, loss="end-point error"), "no true displacements"),
        (pairs, replace(QUICK, start="weights", weights=tmp_path / "none.safetensors"), "none.safetensors"),
    )
    for k, (some, options, words) in enumerate(refusals):
        with pytest.raises(ValueError, match=words) as raised:
            train_pairs(some, options, tmp_path / f"refused{k}")
        assert "\n" not in str(raised.value)
    train_pairs(pairs, replace(QUICK, epochs=1), folder)
    with pytest.raises(ValueError, match="holds a run already"):
        train_pairs(pairs, QUICK, folder)
    with pytest.raises(ValueError, match="holds no training run"):
        resume(tmp_path)
    (folder / "state.pt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged"):
        resume(folder)


def test_the_users_own_weights_are_a_start(some_pairs, tmp_path: Path) -> None:
    pairs = some_pairs()
    first = train_pairs(pairs, QUICK, tmp_path / "first")
    options = replace(QUICK, start="weights", weights=first.last)
    train_pairs(pairs, options, tmp_path / "second")
    row = read_history(tmp_path / "second")[0]
    assert row.validation == read_history(tmp_path / "first")[-1].validation
    with pytest.raises(ValueError, match="for 'stn'"):
        train_pairs(pairs, replace(options, architecture="pyramid"), tmp_path / "third")


def test_training_never_spoils_the_weights_that_it_begins_with(some_pairs, tmp_path: Path) -> None:
    """At a rate that throws the network far away nothing is better than the start, and the start is kept."""
    pairs = some_pairs()
    first = train_pairs(pairs, replace(QUICK, epochs=1), tmp_path / "first")
    wild = replace(QUICK, learning_rate=1.0, start="weights", weights=first.last, epochs=9, patience=2)
    ended = train_pairs(pairs, wild, tmp_path / "second")
    totals = [row.validation.total for row in read_history(tmp_path / "second")]
    assert min(totals) == totals[0]
    assert ended.reason == "early"
    assert len(totals) == 3
    assert same_weights(ended.best, first.last)
    card = load_weights(ended.best).card
    assert card["epoch"] == card["steps"] == 0
    assert card["scores"]["validation"]["total"] == totals[0]
    # Of a network that knew nothing there is nothing to keep.
    ended = train_pairs(pairs, replace(QUICK, learning_rate=1.0, epochs=1), tmp_path / "third")
    assert load_weights(ended.best).card["epoch"] == 1


def test_a_preview_shows_what_the_options_do(some_pairs) -> None:
    pair = some_pairs().training[0]
    plain, changed = preview(replace(QUICK, flips=True), pair)
    assert plain.fixed.shape == changed.fixed.shape == (32, 32)
    assert abs(plain.fixed - changed.fixed).mean() > 0.01
    same = preview(TrainOptions(size=32), pair)
    assert np.array_equal(same[0].moving, same[1].moving)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_trains(some_pairs, tmp_path: Path, network: str) -> None:
    assert {arguments_of(name, 2, True)[0] for name in NETWORKS} == set(ARCHITECTURES)
    pairs = some_pairs(training=2, validation=1, shape=(32, 40))
    options = TrainOptions(
        architecture=network, epochs=2, batch_size=2, size=40, workers=0, symmetry=0.1, show_every=1
    )
    ended = train_pairs(pairs, options, tmp_path / "run")
    assert ended.reason == "done"
    assert load_weights(ended.best).net.ndim == 2
    info = read_run(tmp_path / "run")
    assert info.options == options.settled(known=False)
    assert all(np.isfinite(row.validation.total) for row in info.history)


@pytest.mark.parametrize("network", ["voxelmorph", "pyramid", "avsm"])
def test_volumes_train(some_pairs, tmp_path: Path, network: str) -> None:
    pairs = some_pairs(training=1, validation=1, shape=(16, 16, 16))
    options = TrainOptions(architecture=network, epochs=1, size=16, workers=0, elastic=0.02, flips=True)
    ended: Ended = train_pairs(pairs, options, tmp_path / "run")
    assert load_weights(ended.best).net.ndim == 3
    with pytest.raises(ValueError, match="2D images"):
        train_pairs(pairs, replace(options, architecture="jsm"), tmp_path / "jsm")


def test_what_is_judged_and_saved_are_averaged_weights(some_pairs, tmp_path: Path) -> None:
    ended = train_pairs(some_pairs(), QUICK, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    saved = load_weights(ended.last).net.state_dict()
    assert all(torch.equal(saved[name], value) for name, value in state["averaged"].items())
    assert not all(torch.equal(saved[name], value) for name, value in state["net"].items())


def test_averages_follow_fast_at_first_and_slowly_later() -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(net.weight)
    averages = averaging(net, 0.9)
    torch.nn.init.ones_(net.weight)
    averages.update_parameters(net)
    assert averages.module.weight.item() == pytest.approx(10 / 11)
    averages.update_parameters(net)
    assert averages.module.weight.item() == pytest.approx(1 - 1 / 11 * 2 / 12)
    torch.nn.init.zeros_(averages.module.weight)
    averages.n_averaged.fill_(1000)
    averages.update_parameters(net)
    assert averages.module.weight.item() == pytest.approx(0.1)
