"""Jobs of the Train panel off the interface thread, and their messages; no widget is touched."""

from __future__ import annotations

import queue
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ... import figures
from ...core.progress import Progress
from ...io.files import replace_file
from ...io.pairs import Pair
from ..widgets.weights import method_for
from .example_layers import ExampleLayers, example_layers

if TYPE_CHECKING:
    from ...train.events import Ended, Event, Example, Row, Stepped
    from ...train.options import TrainOptions
    from ...train.runs import RunInfo

CURVES = "PNG image (*.png);;SVG drawing (*.svg);;CSV table (*.csv)"


@dataclass(frozen=True)
class History:
    """The epochs that a run has written."""

    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Weights:
    """New weights, and the method that can use them."""

    file: Path
    method: str


@dataclass(frozen=True)
class KnownRun:
    """An earlier run, and the method that can use its best weights."""

    info: RunInfo
    method: str | None


class Inbox:
    """Events of a training, received in its own thread and prepared for the screen."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._folder: Path | None = None
        self._begun = self._shown = False

    def report(self, event: Event) -> None:
        """Receive an event; called in the thread that listens to the training."""
        from ...train.events import Began, Ended, Example, Stepped
        from ...train.runs import read_history

        if isinstance(event, Began):
            self._folder = event.folder
        first = isinstance(event, Stepped) and not self._begun
        if (first or isinstance(event, Ended)) and self._folder is not None:
            # By the first step the initial validation has been written.
            self._begun = True
            self._waiting.put(History(read_history(self._folder)))
        if isinstance(event, Ended) and event.best is not None:
            method = method_for(event.best)
            if method is not None:
                self._waiting.put(Weights(event.best, method))
        self._waiting.put(self._layers(event) if isinstance(event, Example) else event)

    def _layers(self, example: Example) -> ExampleLayers:
        """The layers of an example, those of the first already made."""
        layers = example_layers(example)
        first, self._shown = not self._shown, True
        return layers.with_layers() if first else layers

    def take(self) -> list[object]:
        """Events since the last call; of examples only the latest, as `ExampleLayers`."""
        found: list[object] = []
        while not self._waiting.empty():
            found.append(self._waiting.get())
        examples = [item for item in found if isinstance(item, ExampleLayers)]
        return [item for item in found if not isinstance(item, ExampleLayers) or item is examples[-1]]


def previewed(
    options: TrainOptions, pairs: tuple[Pair, ...], seed: int, *, progress: Progress
) -> tuple[Example, Example]:
    """The first readable pair, plain and augmented, for `process.call`; see `train.run.preview`."""
    from ...train.run import preview

    progress(None, "preparing a pair")
    for pair in pairs[:-1]:
        try:
            return preview(options, pair, seed)
        except (ValueError, OSError):
            continue  # training skips it, too, and says so
    return preview(options, pairs[-1], seed)


def known_runs(root: Path) -> list[KnownRun]:
    """The runs in a folder, the newest first."""
    from ...train.runs import list_runs

    return [KnownRun(run, None if run.best is None else method_for(run.best)) for run in list_runs(root)]


def pairs_of(run: Path) -> Path:
    """A source of the pairs of a run: the file into which they were packed, or its list of them."""
    from ...train.runs import PACKED, PAIRS

    return run / PACKED if (run / PACKED).is_file() else run / PAIRS


def new_folder(root: Path, source: str, options: TrainOptions) -> Path:
    """A new folder, named after the pairs and the network."""
    plain = re.sub(r"[^\w.-]+", "-", f"{source}-{options.architecture}").strip("-.")
    folder, count = root / plain, 1
    while folder.exists():
        count += 1
        folder = root / f"{plain}-{count}"
    return folder


def save_curves(folder: Path, path: Path) -> Path:
    """Save the curves of a run as a figure or a table, by the file extension: .png, .svg or .csv.

    Raises
    ------
    ValueError
        If the extension is another, or there is no curve yet.
    """
    from ...train.runs import HISTORY, read_history

    rows = read_history(folder)
    if not rows:
        raise ValueError("There is no curve yet; wait for the first epoch.")
    if path.suffix.lower() == ".csv":
        replace_file(path, partial(shutil.copyfile, folder / HISTORY))
        return path
    return figures.save(figures.curves(rows), path)


def stage(event: Stepped) -> str:
    """The progress of a training, in two lines."""
    line = f"Epoch {event.epoch} of {event.epochs} · step {event.step} of {event.steps}"
    parts = [f"loss {event.losses.total:.4g}"]
    if event.memory is not None:
        parts.append(f"GPU memory {event.memory / 1e9:.1f} GB")
    if event.waited > 0.1:
        parts.append(f"{100 * event.waited:.0f} % of the time spent reading")
    return f"{line} · {left(event.seconds_left)}\n{' · '.join(parts)}"


def left(seconds: float) -> str:
    """The remaining time, roughly."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s left"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min left"
    return f"{seconds / 3600:.1f} h left"


def in_short(ended: Ended, rows: Sequence[Row]) -> tuple[str, str]:
    """A sentence on how a training ended, and its tone."""
    measured = [(row, losses) for row in rows if (losses := row.validation or row.training) is not None]
    tone = {"stopped": "quiet", "not a number": "failed"}.get(ended.reason, "better")
    if ended.choice is not None:
        return ended.text, "better" if ended.choice.fraction else "unclear"
    if len(measured) < 2:
        return ended.text, tone
    (_, first), (best, least) = measured[0], min(measured, key=lambda item: item[1].total)
    what, unit, values = "loss", "", (first.total, least.total)
    if first.error is not None and least.error is not None:
        what, unit, values = "error", " px", (first.error, least.error)
    side = "validation" if best.validation is not None else "training"
    if best.epoch == measured[0][0].epoch:
        return (
            f"{ended.text} No epoch was better than the initial weights.",
            "unclear" if tone == "better" else tone,
        )
    numbers = f"{values[0]:.3g} -> {values[1]:.3g}"
    return f"{ended.text} Best in epoch {best.epoch}: {side} {what} {numbers}{unit}.", tone
