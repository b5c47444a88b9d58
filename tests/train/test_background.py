"""A training in its own process: told what to do, killed, left alone, and gone on with."""

from __future__ import annotations

import csv
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from napari_voxreg.train.background import resume_in_background, train_in_background
from napari_voxreg.train.events import Began, Ended, EpochDone, Event, Example, Failed, Paused, Stepped
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.run import resume, train_pairs
from napari_voxreg.train.runs import read_run

QUICK = TrainOptions(architecture="stn", epochs=20, batch_size=2, size=32, workers=0, rotation=10)


class Ear:
    """Takes events in the listening thread."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def until(self, kind: type, seconds: float = 60.0) -> Event:
        """The next event of a kind."""
        end = time.monotonic() + seconds
        while True:
            event = self.events.get(timeout=max(0.1, end - time.monotonic()))
            if isinstance(event, Failed) and kind is not Failed:
                pytest.fail(event.text + event.details)
            if isinstance(event, kind):
                return event


def curve(folder: Path) -> list[dict[str, str]]:
    """history.csv without the seconds."""
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_pause_go_and_stop_within_a_second_then_kill_and_resume_the_same_curve(
    some_pairs, tmp_path: Path
) -> None:
    pairs, ear, folder = some_pairs(), Ear(), tmp_path / "run"
    training = train_in_background(pairs, QUICK, folder, ear.events.put)
    ear.until(Began)
    assert ear.until(Example).fixed.shape == (32, 32)
    ear.until(EpochDone)
    training.pause()
    began = time.monotonic()
    paused = ear.until(Paused)
    assert time.monotonic() - began < 3  # a second, on a machine with nothing else to do
    assert training.running
    training.go()
    assert ear.until(Stepped).step >= paused.step
    training.stop()
    assert ear.until(Ended).reason == "stopped"
    assert training.wait(20)
    done = len(curve(folder))

    training = resume_in_background(folder, ear.events.put)
    assert len(ear.until(Began).history) == done
    ear.until(EpochDone)
    training.kill()
    failed = ear.until(Failed)
    assert "SIGKILL" in failed.text
    assert training.wait(20)
    assert len(curve(folder)) < QUICK.epochs + 1

    training = resume_in_background(folder, ear.events.put)
    assert ear.until(Ended).reason == "done"
    assert training.wait(20)
    assert [p for p in psutil.Process().children() if "napari_voxreg.train.child" in p.cmdline()] == []
    train_pairs(pairs, QUICK, tmp_path / "whole")
    assert curve(folder) == curve(tmp_path / "whole")


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_process_that_is_told_to_end_saves_first(some_pairs, tmp_path: Path) -> None:
    """As by a batch system, which ends all processes of a job."""
    ear, folder = Ear(), tmp_path / "run"
    training = train_in_background(some_pairs(), replace(QUICK, epochs=100_000), folder, ear.events.put)
    ear.until(EpochDone)
    (child,) = [p for p in psutil.Process().children() if "napari_voxreg.train.child" in p.cmdline()]
    child.terminate()
    assert ear.until(Ended).reason == "stopped"
    assert training.wait(20)
    assert read_run(folder).resumable


def test_a_second_training_in_a_folder_is_refused_and_waits_for_one_that_is_ending(
    some_pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, ear, folder = some_pairs(), Ear(), tmp_path / "run"
    training = train_in_background(pairs, replace(QUICK, epochs=100_000), folder, ear.events.put)
    ear.until(EpochDone)
    with monkeypatch.context() as hasty:
        hasty.setattr("napari_voxreg.train.run.ENDING", 0.2)
        for second in (lambda: resume(folder), lambda: train_pairs(pairs, QUICK, folder)):
            with pytest.raises(ValueError, match="Another training is on in") as raised:
                second()
            assert str(folder) in str(raised.value)
            assert "\n" not in str(raised.value)
    threading.Timer(0.5, training.stop).start()
    ended = resume(folder, control=lambda: "stop")
    first = ear.until(Ended)
    assert ended.reason == first.reason == "stopped"
    assert ended.epoch == first.epoch == len(curve(folder))  # all that the first had saved, and nothing more
    assert training.wait(20)


def test_errors_come_as_a_sentence(some_pairs, tmp_path: Path) -> None:
    ear = Ear()
    training = train_in_background(
        some_pairs(),
        replace(QUICK, architecture="voxelmorph displacement", start="shipped"),
        tmp_path / "run",
        ear.events.put,
    )
    failed = ear.until(Failed)
    assert failed.text.endswith(".")
    assert "\n" not in failed.text
    assert "Traceback" in failed.details
    assert training.wait(20)


ORPHAN = """
import sys, time
from pathlib import Path
from napari_voxreg.io.pairs import open_pairs
from napari_voxreg.train.background import train_in_background
from napari_voxreg.train.events import EpochDone
from napari_voxreg.train.options import TrainOptions

def report(event):
    if isinstance(event, EpochDone):
        print(training._process.pid, flush=True)

options = TrainOptions(architecture="stn", epochs=100000, batch_size=2, size=32, workers=0)
training = train_in_background(open_pairs(Path(sys.argv[1])), options, Path(sys.argv[2]), report)
time.sleep(100)
"""


@pytest.mark.slow
def test_it_saves_and_ends_when_its_parent_is_killed(some_pairs, tmp_path: Path) -> None:
    some_pairs()
    words = [sys.executable, "-c", ORPHAN, str(tmp_path / "in"), str(tmp_path / "run")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    process = psutil.Process(child) if psutil.pid_exists(child) else None
    if process is not None:
        psutil.wait_procs([process], timeout=20)
    assert not psutil.pid_exists(child)
    saved = len(curve(tmp_path / "run"))
    ear = Ear()
    training = resume_in_background(tmp_path / "run", ear.events.put, epochs=saved)
    assert ear.until(Ended).reason == "done"
    assert training.wait(20)
    assert len(curve(tmp_path / "run")) == saved + 1
