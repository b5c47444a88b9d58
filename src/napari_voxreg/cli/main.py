"""The command line: what the panels do, from a terminal.

Exit codes: 0 done, 1 failed, 2 input refused (a wrong option, or images that cannot be registered),
130 cancelled.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import version
from shutil import get_terminal_size
from typing import NoReturn

from ..core.process import MethodUnavailable
from ..core.progress import Cancelled
from .terminal import log_to_stderr

log = logging.getLogger(__name__)

PROGRAM = "napari-voxreg"
WIDTH = 100  # columns of the help at most
# Each has a module here with `add(parser, words)` and `run(options)`. Only that of the command which is given
# is imported, so that --help is immediate.
COMMANDS = {
    "demo": "Register the simulated fundus pair in napari.",
    "samples": "List the simulated pairs, or write them as files.",
    "methods": "List the registration methods, or the parameters of one.",
    "register": "Register a moving image to a fixed image.",
    "compare": "Run several methods on one pair and print a table of scores.",
    "apply": "Warp an image with a saved transform.",
    "pairs": "List the pairs that a source holds, or pack them into one file.",
    "evaluate": "Run methods on many pairs and write a table, a summary and figures.",
    "train": "Train a network on your own pairs, or resume a run.",
    "clusters": "Cluster pairs by image content, and train a model for each cluster.",
}


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
    try:
        options = _parser(words).parse_args(words)
    except SystemExit as leaving:  # argparse ends this way after --help
        return int(leaving.code or 0)
    except ValueError as error:
        return _complain(str(error), 2)
    with log_to_stderr(options.verbose):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    """Run the chosen command; whatever goes wrong becomes one sentence and an exit code."""
    try:
        options.run(options)
    except (Cancelled, KeyboardInterrupt) as stopped:
        return _complain(str(stopped) or "cancelled; nothing was written", 130)
    except ValueError as error:
        return _complain(str(error), 2)
    except (MethodUnavailable, OSError) as error:
        return _complain(str(error), 1)
    except Exception as error:  # noqa: BLE001 - a defect ends in a sentence and an exit code, too
        return _complain(f"unexpected {type(error).__name__}: {error} (-vv shows where)", 1)
    return 0


def _complain(message: str, code: int) -> int:
    """Print the first line of an error; what follows it, and the traceback, go to the log."""
    first, *rest = message.split("\n")
    for line in rest:
        log.info(line)
    log.debug("exit code %d", code, exc_info=True)
    print(f"{PROGRAM}: {first}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Refuses wrong options as everything else is refused: in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help.")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the whole command line, with the options of the command that `words` begin with."""
    width = min(WIDTH, get_terminal_size().columns) - 2
    shape = partial(argparse.RawDescriptionHelpFormatter, width=width, max_help_position=26)
    parser = _Parser(
        prog=PROGRAM,
        description="Register 2D and 3D images.",
        epilog=f"{PROGRAM} COMMAND --help lists the options of a command.",
        allow_abbrev=False,
        formatter_class=shape,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version(PROGRAM)}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, sentence in COMMANDS.items():
        command = commands.add_parser(
            name, help=sentence, description=sentence, allow_abbrev=False, formatter_class=shape
        )
        if words[:1] == [name]:
            module = import_module(f".{name}", __package__)
            module.add(command, words[1:])
            command.set_defaults(run=module.run)
    return parser
