"""What a command shows while it works, on stderr: a progress bar, and the log on request."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from ..core.progress import Cancelled, Progress


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress as a bar if stderr is a terminal; the first Ctrl-C requests a stop, a second ends it."""
    stop = False

    def interrupted(number: int, frame: object) -> None:
        nonlocal stop
        stop = True
        signal.signal(signal.SIGINT, usual)

    usual = signal.signal(signal.SIGINT, interrupted)
    try:
        shape = "{percentage:3.0f} %|{bar:30}| {elapsed}{postfix}"
        # Without miniters tqdm waits for as much progress as it saw last, which may never come.
        with tqdm(total=100, bar_format=shape, miniters=0, disable=None, leave=False, file=sys.stderr) as bar:

            def report(fraction: float | None, message: str, metric: float | None = None) -> None:
                if stop:
                    raise Cancelled
                bar.set_postfix_str(message if metric is None else f"{message}, metric {metric:.5g}", False)
                bar.update(0 if fraction is None else 100 * fraction - bar.n)

            yield report
    finally:
        signal.signal(signal.SIGINT, usual)


@contextmanager
def log_to_stderr(verbose: int) -> Iterator[None]:
    """Print the package's log: nothing (0), what is done (1), or all details (2 and more)."""
    if not verbose:
        yield
        return
    logger, handler = logging.getLogger("napari_voxreg"), _AboveTheBar()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose == 1 else logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _AboveTheBar(logging.Handler):
    """Writes records to stderr without breaking the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)
