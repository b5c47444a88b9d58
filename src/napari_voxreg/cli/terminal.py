"""What a command shows: progress and the log on stderr, tables and texts, and how it ends."""

from __future__ import annotations

import argparse
import errno
import logging
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from shutil import get_terminal_size
from types import FrameType
from typing import NoReturn

from tqdm import tqdm

from ..core import last_log
from ..core.disk import check_utf8, remove_leftovers
from ..core.process import MethodUnavailable
from ..core.progress import Cancelled, Progress
from ..io.files import replace_file

log = logging.getLogger(__name__)

PROGRAM = "napari-voxreg"
WIDTH = 100  # columns of the help at most


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress as a bar if stderr is a terminal; the first Ctrl-C requests a stop, a second ends it.

    Raises
    ------
    Cancelled
        By the next report after Ctrl-C; in the end, if there was none.
    """
    stop = heard = False

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
                nonlocal heard
                if stop:
                    heard = True
                    raise Cancelled
                bar.set_postfix_str(message if metric is None else f"{message}, metric {metric:.5g}", False)
                bar.update(0 if fraction is None else 100 * fraction - bar.n)

            yield report
        if stop and not heard:
            raise Cancelled("cancelled")
    finally:
        signal.signal(signal.SIGINT, usual)


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM, by which batch systems and containers end a process, as Ctrl-C."""

    def terminated(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        # Where a shell started the command in the background, Ctrl-C is ignored.
        if not callable(handler):
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)

    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        yield
        return
    usual = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


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


def parse(words: Sequence[str], commands: Mapping[str, str]) -> argparse.Namespace | int:
    """The options of a command, or the exit code where there is nothing to run.

    Parameters
    ----------
    words : sequence of str
        As typed.
    commands : mapping of str to str
        Names and what they do.
    """
    try:
        for word in words:
            check_utf8(Path(word))
        return parser_of(words, commands).parse_args(words)
    except SystemExit as leaving:  # argparse ends this way after --help
        return int(leaving.code or 0)
    except ValueError as error:
        return _complain(str(error), 2)


def run(options: argparse.Namespace) -> int:
    """Run the chosen command; whatever goes wrong becomes one sentence and an exit code."""
    try:
        with log_to_stderr(options.verbose), termination_as_interrupt():
            return _run(options)
    except KeyboardInterrupt:
        return _complain("cancelled", 130)


def _run(options: argparse.Namespace) -> int:
    try:
        remove_leftovers(Path(tempfile.gettempdir()))
        with last_log.kept(f"on the command line: {options.command}"):
            options.run(options)
    except (Cancelled, KeyboardInterrupt) as stopped:
        return _complain(str(stopped) or "cancelled; nothing was written", 130)
    except ValueError as error:
        return _complain(str(error), 2)
    except (MethodUnavailable, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG and error.filename:
            longest = max(Path(error.filename).parts, key=len)
            return _complain(f"The name {longest[:40]}... is too long; shorten it.", 2)
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


def parser_of(words: Sequence[str], commands: Mapping[str, str]) -> argparse.ArgumentParser:
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
    added = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, sentence in commands.items():
        command = added.add_parser(
            name, help=sentence, description=sentence, allow_abbrev=False, formatter_class=shape
        )
        if words[:1] == [name]:
            module = import_module(f".commands.{name}", __package__)
            module.add(command, words[1:])
            command.set_defaults(run=module.run, command=name)
    return parser


def text_table(rows: Iterable[Sequence[str]], numbers: int | None = None) -> str:
    """Rows of cells in aligned columns.

    Parameters
    ----------
    rows : iterable of sequence of str
        As many cells in each.
    numbers : int, optional
        The column from which on cells are aligned to the right.
    """
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numbers = len(widths) if numbers is None else numbers
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k < numbers else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(rows: Iterable[Sequence[str]], numbers: int | None = None) -> str:
    """Rows of cells, the headings first, as a Markdown table; see `text_table`."""
    head, *body = rows
    numbers = len(head) if numbers is None else numbers
    rule = ["---" if k < numbers else "--:" for k in range(len(head))]
    lines = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in (head, rule, *body))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; line ends stay as they are."""
    replace_file(path, partial(Path.write_text, data=text, encoding="utf-8", newline=""))
