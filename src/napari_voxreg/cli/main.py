"""The command line: what the panels do, from a terminal.

Exit codes: 0 done, 1 failed, 2 input refused (a wrong option, or images that cannot be registered),
130 cancelled.

This module is loaded first and loads next to nothing, so that Ctrl-C finds it ready.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper

TYPE_CHECKING = False  # as in the package itself
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType
    from typing import Any

# Each has a module in commands/ with `add(parser, words)` and `run(options)`. Only that of the command which
# is given is imported, so that --help is immediate.
COMMANDS = {
    "demo": "Register the simulated fundus pair in napari.",
    "samples": "List the simulated pairs, or write them as files.",
    "methods": "List the registration methods, or the parameters of one.",
    "register": "Register a moving image to a fixed image.",
    "compare": "Run several methods on one pair and print a table of scores.",
    "apply": "Apply saved transforms to an image, a table of points or a folder.",
    "convert": "Convert transforms between this and other programs.",
    "stack": "Align the frames of a movie or a stack to each other.",
    "cohort": "Bring many images onto one template, which may be made from them.",
    "large": "Register and warp images larger than memory: OME-Zarr, pyramidal and tiled TIFF.",
    "pairs": "List the pairs that a source holds, or pack them into one file.",
    "evaluate": "Run methods on many pairs and write a table, a summary and figures.",
    "train": "Train a network on your own pairs, or resume a run.",
    "info": "Print versions, devices, settings and the last log, for the report of a problem.",
    "clusters": "Cluster pairs by image content, and train a model for each cluster.",
}
CANCELLED = 130  # exit code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those of this process.

    Returns
    -------
    int
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        _print_everything()
    with left_at_once():
        terminal = import_module(".terminal", __package__)
        options = terminal.parse(words, COMMANDS)
    code: int = options if isinstance(options, int) else terminal.run(options)
    if arguments is None:
        gc.freeze()  # the process ends: to look through the objects of all libraries once more takes seconds
    return code


@contextmanager
def left_at_once() -> Iterator[None]:
    """End the process by Ctrl-C or SIGTERM without delay, while libraries load and nothing is written yet."""
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    _set({number: _leave for number, handler in usual.items() if handler is not signal.SIG_IGN})
    try:
        yield
    finally:
        _set(usual)


def _leave(number: int, frame: FrameType | None) -> None:
    """End the process while libraries are loaded, when nothing is lost.

    An exception in the middle of an import could come out anywhere, with a traceback.
    """
    os.write(2, b"napari-voxreg: cancelled; nothing was written\n")
    os._exit(CANCELLED)


def _print_everything() -> None:
    """Write what the terminal's encoding lacks as escapes, rather than fail after the work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # under pythonw there is none
            stream.reconfigure(errors="backslashreplace")


def _set(handlers: dict[signal.Signals, Any]) -> None:
    """Set signal handlers, as only the main thread may."""
    for number, handler in handlers.items():
        try:
            signal.signal(number, handler)
        except ValueError:
            return
