"""The log records of one job, for the panel that started it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def listening(write: Callable[[str], None]) -> Iterator[None]:
    """Pass on what the package logs in this thread, from INFO on; child processes log in the caller's thread.

    Parameters
    ----------
    write : callable
        Called in this thread with each message, so to reach a widget it must be a signal's ``emit``.
    """
    logger, handler = logging.getLogger("napari_voxreg"), _OfThisThread(write)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)  # never reset, since jobs overlap; it prints nothing
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _OfThisThread(logging.Handler):
    """Passes on the records of its own thread only: other threads work for other panels."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._thread = threading.get_ident()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._write(record.getMessage())
