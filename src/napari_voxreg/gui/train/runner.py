"""A training in the background, with its events in the interface thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from ...io.pairs import PairSet
from .example_layers import ExampleLayers
from .job import History, Inbox, Weights

if TYPE_CHECKING:
    from ...train.background import Background
    from ...train.events import Row
    from ...train.options import TrainOptions

PERIOD = 50  # milliseconds between two polls for events


class TrainRunner(QObject):
    """One training at a time, in a process of its own.

    It polls for events: a signal from a thread could reach a panel that is already deleted.

    Attributes
    ----------
    folder : Path or None
        Of the current run, or the last one.
    rows : tuple of Row
        Its history, complete when it has ended.
    weights : Weights or None
        Of the run that has ended.
    stopping : bool
        Whether a stop was requested.

    Signals
    -------
    preparing(text)
        What is done before the first step.
    history(rows)
        All epochs so far, at the beginning.
    stepped(event), epoch_done(event), example_ready(layers), paused(step), said(text)
        As `train.events`; an example as `ExampleLayers`.
    ended(event), failed(text, details)
        The last of a run.
    """

    preparing = Signal(str)
    history = Signal(object)
    stepped = Signal(object)
    epoch_done = Signal(object)
    example_ready = Signal(object)
    paused = Signal(int)
    said = Signal(str)
    ended = Signal(object)
    failed = Signal(str, str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.folder: Path | None = None
        self.rows: tuple[Row, ...] = ()
        self.weights: Weights | None = None
        self.stopping = False
        self._training: Background | None = None
        self._inbox = Inbox()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._poll)

    @property
    def busy(self) -> bool:
        """Whether a training is running."""
        return self._training is not None

    def start(self, pairs: PairSet, options: TrainOptions, folder: Path) -> None:
        """Start a run."""
        from ...train.background import train_in_background

        self._begin(folder)
        self._training = train_in_background(pairs, options, folder, self._inbox.report)

    def resume(self, folder: Path, **changes: Any) -> None:
        """Resume a run; see `train.background.resume_in_background`."""
        from ...train.background import resume_in_background

        self._begin(folder)
        self._training = resume_in_background(folder, self._inbox.report, **changes)

    def pause(self) -> None:
        """Save and wait."""
        if self._training is not None:
            self._training.pause()

    def unpause(self) -> None:
        """Continue after a pause."""
        if self._training is not None:
            self._training.go()

    def stop(self) -> None:
        """Save and end; the second call ends at once. Uses nothing of Qt."""
        if self._training is not None:
            if self.stopping:
                self._training.kill()
            self.stopping = True
            self._training.stop()

    def leave(self) -> None:
        """Save and end without waiting. Uses nothing of Qt."""
        if self._training is not None:
            self._training.stop()

    def _begin(self, folder: Path) -> None:
        self.folder, self.rows, self.weights, self.stopping = folder, (), None, False
        self._inbox = Inbox()
        self._timer.start(PERIOD)

    def _poll(self) -> None:
        """Emit the events since the last poll."""
        for item in self._inbox.take():
            self._emit(item)

    def _emit(self, item: object) -> None:
        from ...train import events

        match item:
            case History(rows=rows) | events.Began(history=rows):
                self.rows = rows
                self.history.emit(rows)
            case events.Preparing():
                self.preparing.emit(item.text)
            case events.Stepped():
                self.stepped.emit(item)
            case events.EpochDone():
                self.epoch_done.emit(item)
            case ExampleLayers():
                self.example_ready.emit(item)
            case events.Paused():
                self.paused.emit(item.step)
            case events.Said():
                self.said.emit(item.text)
            case Weights():
                self.weights = item
            case events.Ended():
                self._over()
                self.ended.emit(item)
            case events.Failed():
                self._over()
                self.failed.emit(item.text, item.details)

    def _over(self) -> None:
        self._training = None
        self._timer.stop()
