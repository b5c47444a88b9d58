"""The package's log records of one job, for the panel that started it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def listening(write: Callable[[str], None]) -> Iterator[None]:
    """Hand over what the package logs in this thread, from INFO on; a child process logs in its caller's.

    Parameters
    ----------
    write : callable
        Called in this thread with each message, so to reach a widget it must be a signal's ``emit``.
    """
    logger, handler = logging.getLogger("napari_voxreg"), _OfThisThread(write)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)  # for good: jobs overlap, and nothing is printed by it
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _OfThisThread(logging.Handler):
    """Passes on the records of the thread that made it: other threads work for other panels."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._thread = threading.get_ident()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._write(record.getMessage())
