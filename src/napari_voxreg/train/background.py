"""A training in a process of its own, controlled and monitored from here without loading torch."""

from __future__ import annotations

import pickle
import queue
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core import process
from ..io.pairs import PairSet
from .events import Ended, Failed, Report, Request
from .options import TrainOptions


@dataclass(frozen=True)
class Job:
    """The process's job: begin a run with pairs and options, or resume one."""

    folder: Path
    pairs: PairSet | None = None
    options: TrainOptions | None = None
    changes: dict[str, Any] = field(default_factory=dict)


def train_in_background(
    pairs: PairSet, options: TrainOptions, folder: Path | str, report: Report
) -> Background:
    """`train_pairs` in a process of its own.

    Parameters
    ----------
    pairs, options, folder
        As for `run.train_pairs`.
    report : callable
        Called with every event in a thread of its own, the last of them `Ended` or `Failed`.
    """
    return Background(Job(Path(folder), pairs, options), report)


def resume_in_background(folder: Path | str, report: Report, **changes: Any) -> Background:
    """`resume` in a process of its own; see `train_in_background`."""
    return Background(Job(Path(folder), changes=changes), report)


class Background:
    """A running training.

    It stops and saves when this process is gone, and may be killed at any time: either can be resumed.
    """

    def __init__(self, job: Job, report: Report) -> None:
        self._report = report
        self._requests: queue.SimpleQueue[Job | Request | None] = queue.SimpleQueue()
        self._requests.put(job)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = threading.Event()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        self._thread = threading.Thread(target=self._listen, name="napari-voxreg-training", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is; false once the last event was reported."""
        return self._thread.is_alive()

    def pause(self) -> None:
        """Save and wait after the current step; `Paused` is reported then."""
        self._requests.put("pause")

    def go(self) -> None:
        """Go on after a pause."""
        self._requests.put("go")

    def stop(self) -> None:
        """Save and end after the current step; `Ended` is reported then."""
        self._requests.put("stop")

    def kill(self) -> None:
        """End it now; a resumed run goes on from the last save. `Failed` is reported then."""
        self._started.wait()
        if self._process is not None:
            self._process.kill()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; whether it came within `timeout` seconds."""
        self._thread.join(timeout)
        return not self.running

    def _listen(self) -> None:
        """Start the process and pass its events on until it ends."""
        try:
            self._process = process.launch("napari_voxreg.train.child", self._stderr)
        except OSError as error:
            self._report(Failed(f"The training process could not be started: {error}."))
            return
        finally:
            self._started.set()
        threading.Thread(target=self._write, name="napari-voxreg-requests", daemon=True).start()
        assert self._process.stdout is not None  # it is a pipe
        over = False
        with suppress(EOFError, pickle.UnpicklingError):  # a killed process may leave half an event
            while True:
                event = pickle.load(self._process.stdout)
                over = over or isinstance(event, Ended | Failed)
                self._report(event)
        self._process.stdout.close()
        self._requests.put(None)
        cause, words = process.last_words(self._process, self._stderr)
        self._stderr.close()
        if not over:
            self._report(
                Failed(f"The training process died ({cause}); resume goes on where it saved.", words)
            )

    def _write(self) -> None:
        """Send the job and the requests, without blocking those who make them."""
        assert self._process is not None  # it was started
        assert self._process.stdin is not None  # it is a pipe
        # A process that is dead already is noticed by the listener.
        with suppress(OSError), self._process.stdin as pipe:
            while (request := self._requests.get()) is not None:
                pickle.dump(request, pipe)
                pipe.flush()
