"""The process in which `background` trains: ``python -m napari_voxreg.train.child PARENT``."""

from __future__ import annotations

import io
import os
import pickle
import sys
import threading
import time
import traceback
from contextlib import suppress

from ..core.process import settle
from .background import Job
from .events import Event, Failed, Wish

LAST_SAVE = 20.0  # seconds that a run has to save itself once its parent is gone


def serve() -> None:
    """Take one job, tell its events, do what is wished on the way."""
    reports = io.BufferedWriter(settle())
    job: Job = pickle.load(sys.stdin.buffer)
    wish: Wish = "go"

    def listen() -> None:
        nonlocal wish
        with suppress(EOFError, pickle.UnpicklingError):
            while True:
                wish = pickle.load(sys.stdin.buffer)
        wish = "stop"  # the parent is gone
        time.sleep(LAST_SAVE)
        os._exit(0)

    def report(event: Event) -> None:
        with suppress(BrokenPipeError):  # nobody listens any more: the run saves and stops
            pickle.dump(event, reports, protocol=5)
            reports.flush()

    threading.Thread(target=listen, daemon=True).start()
    try:
        from .run import resume, train_pairs

        if job.pairs is None or job.options is None:
            resume(job.folder, report=report, control=lambda: wish, **job.changes)
        else:
            train_pairs(job.pairs, job.options, job.folder, report=report, control=lambda: wish)
    except Exception as error:  # noqa: BLE001 (told to whoever started this)
        report(Failed(_sentence(error), "".join(traceback.format_exception(error))))
    # Threads that still read pictures are not waited for.
    os._exit(0)


def _sentence(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


if __name__ == "__main__":
    # The classes that are pickled must be those of the imported module, not of this second copy of it.
    from .child import serve as begin

    begin()
