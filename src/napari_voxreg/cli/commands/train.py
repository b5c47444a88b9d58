"""`napari-voxreg train`: from pairs to the weights of a network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import figures
from ...core.progress import Cancelled, Progress, silent
from ...io.files import check_outputs
from ..main import left_at_once
from ..options import add_declared, add_verbose, parameters
from ..terminal import progress_bar
from .pairs import add_source_options, pairs_from

if TYPE_CHECKING:
    from ...train.events import Ended, Event, Losses, Request, Row


def add(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """The options, those of the training from their declaration."""
    from ...train.options import LATER, TrainOptions

    parser.usage = "%(prog)s SOURCE [MOVING] -o RUN [options]\n       %(prog)s RUN --resume [options]"
    add_source_options(parser)
    add = parser.add_argument
    text = "new folder for the weights, the history and what resuming needs"
    add("-o", "--output", type=Path, metavar="RUN", help=text)
    later = ", ".join(f"--{name.replace('_', '-')}" for name in LATER)
    text = f"resume the run in the folder SOURCE; only {later} may change"
    add("--resume", action="store_true", help=text)
    text = "processes on this machine that share every step, a GPU each or all on the CPU (default 1)"
    add("--devices", type=int, default=1, metavar="N", help=text)
    text = "machines; start the same command on each, as SLURM and torchrun do (default 1)"
    add("--num-nodes", type=int, default=1, metavar="M", help=text)
    add_verbose(parser)
    add_declared(parser, "training", TrainOptions.infos())


def run(options: argparse.Namespace) -> None:
    """Train, and print how it went.

    Raises
    ------
    Cancelled
        If the user stopped it; everything is saved.
    ValueError
        With one plain sentence, for what cannot be trained or goes wrong on the way.
    """
    from ...train.options import TrainOptions

    if min(options.devices, options.num_nodes) < 1:
        raise ValueError("Training takes 1 device and 1 node or more.")
    if options.resume == (options.output is not None):
        raise ValueError("Give a new folder with -o, or --resume and the folder of a run.")
    given = parameters(options)
    chosen = TrainOptions.from_dict(given)
    if options.output is not None:
        check_outputs(options.output / "options.json")
    pairs = None if options.resume else pairs_from(options)
    with progress_bar() as progress:
        progress(None, "loading torch")
        with left_at_once():
            from ...train.distributed import FabricProcesses, SingleProcess
            from ...train.run import resume, train_pairs
    many = options.devices * options.num_nodes > 1
    processes = (
        FabricProcesses(chosen.device, options.devices, options.num_nodes) if many else SingleProcess()
    )
    with suppress(Cancelled), progress_bar() as progress:  # which may be raised when all is done
        screen = _Screen(silent if processes.rank else progress)
        rest: dict[str, Any] = {"report": screen.report, "control": screen.control, "processes": processes}
        if pairs is None:
            changes = {name: chosen.as_dict()[name] for name in given}
            ended = resume(options.source, **rest, **changes)
        else:
            ended = train_pairs(pairs, chosen, options.output, **rest)
    if ended.reason == "stopped":  # at once: loading what draws curves takes seconds
        raise Cancelled(f"{ended.text} All is saved: go on with train {screen.folder} --resume.")
    drawn = _curves(screen.folder) if processes.rank == 0 else None
    if ended.reason == "not a number":
        raise ValueError(ended.text)
    if processes.rank == 0:
        lines = [*screen.said, *_summary(ended, screen.rows)]
        print("\n".join([*lines, *([] if drawn is None else [f"Wrote {drawn}."])]))


class _Screen:
    """A run's events on the terminal."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.fraction, self.words = 0.0, "reading the first pairs"
        self.rows: list[Row] = []
        self.said: list[str] = []
        self.folder = Path()

    def control(self) -> Request:
        """Whether the user has pressed Ctrl-C."""
        try:
            self.progress(self.fraction, self.words)
        except Cancelled:
            self.progress = silent  # reported once
            return "stop"
        return "go"

    def report(self, event: Event) -> None:
        """Remember what the bar and the summary show."""
        from ...train.events import Began, EpochDone, Preparing, Said, Stepped

        if isinstance(event, Preparing):
            self.words = event.text
        elif isinstance(event, Began):
            self.folder = event.folder
            self.rows = list(event.history)
        elif isinstance(event, Said):
            self.said.append(event.text)
        elif isinstance(event, EpochDone):
            self.rows.append(event.row)
        elif isinstance(event, Stepped):
            self.fraction = event.step / event.steps
            judged = self.rows[-1].validation if self.rows else None
            checked = "" if judged is None else f", validation {judged.total:.4g}"
            left = _span(event.seconds_left)
            self.words = (
                f"epoch {event.epoch} of {event.epochs}, loss {event.losses.total:.4g}{checked}, {left} left"
            )


def _curves(folder: Path) -> Path | None:
    """Draw the losses of a run; None where there are none yet."""
    from ...train.runs import CURVES, read_history

    rows = read_history(folder)
    if not any(row.training or row.validation for row in rows):
        return None
    return figures.save(figures.curves(rows), folder / CURVES)


def _summary(ended: Ended, rows: list[Row]) -> list[str]:
    """The outcome in lines."""
    lines = [ended.text]
    judged = [row for row in rows if row.epoch and row.validation is not None]
    if judged:
        best = min(judged, key=lambda row: row.validation.total if row.validation else 0.0)
        lines.append(f"Best validation in epoch {best.epoch}: {_words(best.validation)}.")
    if ended.best is not None:
        lines.append(f"Wrote {ended.best}; --weights takes it in register.")
    return lines


def _words(losses: Losses | None) -> str:
    if losses is None:
        return "none"
    error = "" if losses.error is None else f", error {losses.error:.3g} pixels"
    return f"loss {losses.total:.4g}, similarity {losses.similarity:.4g}{error}"


def _span(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
