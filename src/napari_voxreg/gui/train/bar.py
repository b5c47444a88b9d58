"""The buttons and the progress of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..widgets.sentence import BUTTON
from .job import stage

if TYPE_CHECKING:
    from ...train.events import Stepped


class TrainBar(QWidget):
    """Preview and Start; a bar with Pause, Resume and Stop during a training.

    Signals
    -------
    start_pressed(), preview_pressed(), pause_pressed(), resume_pressed(), stop_pressed()
        A button was clicked.
    """

    start_pressed = Signal()
    preview_pressed = Signal()
    pause_pressed = Signal()
    resume_pressed = Signal()
    stop_pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.start = QPushButton("Start training")
        self.start.setStyleSheet(BUTTON)
        self.preview = QPushButton("Preview")
        self.why, self.stage = QLabel(), QLabel()
        for label in (self.why, self.stage):
            label.setWordWrap(True)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar()
        self.bar.setFormat("%p %")
        self.pause, self.stop = QPushButton("Pause"), QPushButton("Stop")
        for button, tip in (
            (self.start, "Train the network on the training pairs, in a new folder"),
            (self.preview, "Show the first pair plain and augmented, as layers; each click augments anew"),
            (self.pause, "Save and wait; Resume continues"),
            (self.stop, "Save and end; the best and the last weights are kept, and the run can be resumed"),
        ):
            button.setToolTip(tip)
        self._running = QWidget()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.preview)
        row.addWidget(self.start, 1)
        layout.addLayout(row)
        row = QHBoxLayout(self._running)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.pause)
        row.addWidget(self.stop)
        for widget in (self.why, self._running, self.stage):
            layout.addWidget(widget)
        self.start.clicked.connect(self.start_pressed)
        self.preview.clicked.connect(self.preview_pressed)
        self.pause.clicked.connect(self._paused)
        self.stop.clicked.connect(self.stop_pressed)
        self.set_running(False)

    def set_reason(self, reason: str, running: bool, previewing: bool) -> None:
        """Disable the buttons for this reason, which is shown; an empty one enables them."""
        self.preview.setText("Preparing…" if previewing else "Preview")
        self.start.setEnabled(not reason and not running)
        self.preview.setEnabled(not reason and not running and not previewing)
        self.why.setText(reason)
        self.why.setVisible(bool(reason) and not running)

    def set_running(self, running: bool, words: str = "") -> None:
        """Show the progress of a new training with this text, or end it."""
        self._running.setVisible(running)
        self.start.setText("Training…" if running else "Start training")
        self.bar.setRange(0, 0)  # indeterminate until a step is done
        self.pause.setText("Pause")
        self.stop.setText("Stop")
        for button in (self.pause, self.stop):
            button.setEnabled(running)
        self.say(words)

    def say(self, words: str) -> None:
        """Show a text below the bar."""
        self.stage.setText(words)
        self.stage.setVisible(bool(words))

    def show_step(self, event: Stepped) -> None:
        """Show the progress of a training."""
        # Otherwise the bar repaints the window at once, and the text below does so again.
        self.bar.setUpdatesEnabled(False)
        self.bar.setRange(0, event.steps)
        self.bar.setValue(event.step)
        self.bar.setUpdatesEnabled(True)
        self.say(stage(event))
        self.pause.setText("Pause")

    def show_paused(self, step: int) -> None:
        """Offer to resume."""
        self.pause.setText("Resume")
        self.say(f"Paused after step {step}; everything is saved.")

    def show_stopping(self) -> None:
        """Show that training will stop; a second click stops it at once."""
        self.pause.setEnabled(False)
        self.stop.setText("Stop at once")
        self.say("Saving and stopping after the current step…")

    def _paused(self) -> None:
        if self.pause.text() == "Resume":
            self.pause.setText("Pause")
            self.say("Resuming…")
            self.resume_pressed.emit()
        else:
            self.say("Pausing after the current step…")
            self.pause_pressed.emit()
