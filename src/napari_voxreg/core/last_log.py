"""The log of the last run, kept in a file for whoever reports a problem.

A run that goes wrong is seldom run again with the log switched on. So the last lines of each are kept, in the
user's log folder and nowhere else.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from .progress import Cancelled

LINES = 400  # at most; the last ones
NAME = "last.log"


def path() -> Path:
    """The file of the last log, which need not be there; its folder is the system's for the user's logs."""
    return Path(platformdirs.user_log_dir("napari-voxreg", appauthor=False)) / NAME


@contextmanager
def kept(title: str, all_threads: bool = True) -> Iterator[None]:
    """Keep what the package logs inside the ``with``, from INFO on, as the last log.

    The traceback of a failure is kept, too. A run that logs nothing and does not fail leaves the log of an
    earlier one in place. Where the file cannot be written, nothing is kept.

    Parameters
    ----------
    title : str
        What is run, for the first line.
    all_threads : bool
        Whether other threads belong to this run; if not, only this thread is listened to.
    """
    logger = logging.getLogger("napari_voxreg")
    handler = _Lines(None if all_threads else threading.get_ident())
    before = logger.level
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    except Cancelled:
        raise
    except BaseException as error:
        handler.lines.extend("".join(traceback.format_exception(error)).splitlines())
        raise
    finally:
        logger.removeHandler(handler)
        if all_threads:  # else jobs overlap, and another one may still need the level
            logger.setLevel(before)
        if handler.lines:
            _write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {title}", handler.lines)


class _Lines(logging.Handler):
    """Collects the last lines of one thread or of all."""

    def __init__(self, thread: int | None) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[str] = deque(maxlen=LINES)
        self._thread = thread
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        if self._thread in (None, record.thread):
            self.lines.append(self.format(record))


def _write(title: str, lines: deque[str]) -> None:
    with suppress(OSError):  # a run must not fail because of its log
        file = path()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            "\n".join([title, *lines]) + "\n", encoding="utf-8", errors="backslashreplace", newline=""
        )
