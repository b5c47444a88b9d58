"""The process in which `background` trains: ``python -m napari_voxreg.train.child PARENT``."""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from types import FrameType

from ..core.process import settle
from .background import Job
from .events import Event, Failed, Preparing, Request

LAST_SAVE = 20.0  # seconds that a run has to save itself once its parent is gone


def serve() -> None:
    """Run one job, report its events and follow the requests that arrive meanwhile."""
    reports = io.BufferedWriter(settle())
    job: Job = pickle.load(sys.stdin.buffer)
    request: Request = "go"

    def listen() -> None:
        nonlocal request
        with suppress(EOFError, pickle.UnpicklingError):
            while True:
                request = pickle.load(sys.stdin.buffer)
        request = "stop"  # the parent is gone
        time.sleep(LAST_SAVE)
        os._exit(0)

    def report(event: Event) -> None:
        with suppress(BrokenPipeError):  # nobody listens any more: the run saves and stops
            pickle.dump(event, reports, protocol=5)
            reports.flush()

    def terminated(number: int, frame: FrameType | None) -> None:
        nonlocal request
        request = "stop"

    signal.signal(signal.SIGTERM, terminated)  # by which a batch system ends all its processes
    threading.Thread(target=listen, daemon=True).start()
    report(Preparing("loading torch"))
    try:
        from .run import resume, train_pairs

        if job.pairs is None or job.options is None:
            resume(job.folder, report=report, control=lambda: request, **job.changes)
        else:
            train_pairs(job.pairs, job.options, job.folder, report=report, control=lambda: request)
    except Exception as error:  # noqa: BLE001 (reported to the parent)
        report(Failed(_sentence(error), "".join(traceback.format_exception(error))))
    # Threads that still read images are not waited for.
    os._exit(0)


def _sentence(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


if __name__ == "__main__":
    # The classes that are pickled must be those of the imported module, not of this second copy of it.
    from .child import serve as begin

    begin()
