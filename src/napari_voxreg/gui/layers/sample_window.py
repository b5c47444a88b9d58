"""The window of a sample that is being made or downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari.viewer
from napari.layers import Layer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QProgressBar, QVBoxLayout

from ...core.progress import Cancelled, Progress
from ..background.activity import Activity
from ..background.worker import Report, Runner
from ..widgets.canvas_context import own_viewer
from ..widgets.sentence import Sentence
from .readers import LayerData

PATIENCE = 300  # milliseconds before the window appears: cached files are there sooner
WIDTH = 380


class SampleWindow(QDialog):
    """Makes the layers of a sample in a thread and adds them; a failure stays until it is closed.

    The viewer remains usable meanwhile. Cancel, or closing the window, abandons the sample.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layers.
    title : str
        Of the sample.
    """

    def __init__(self, viewer: napari.viewer.Viewer, title: str) -> None:
        super().__init__(own_viewer(viewer).window._qt_window)
        self._viewer, self._title = viewer, title
        self._runner = runner = Runner()
        self._waiting: list[LayerData] = []
        self.setWindowTitle("VoxReg sample")
        self.setMinimumWidth(WIDTH)
        self.label = QLabel(title)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.sentence = Sentence()
        self.sentence.hide()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.buttons.rejected.connect(self.reject)
        self._column = QVBoxLayout(self)
        for widget in (self.label, self.bar, self.sentence, self.buttons):
            self._column.addWidget(widget)
        self._activity = Activity(self, self.bar, self.reject)
        self._appear = QTimer(self)
        self._appear.setSingleShot(True)
        self._appear.timeout.connect(self.show)
        self._adder = QTimer(self)
        self._adder.timeout.connect(self._add_next)
        self.finished.connect(self._end)
        self.destroyed.connect(lambda: runner.cancel())

    def start(self, job: Callable[[Progress], list[LayerData]]) -> None:
        """Start the job, which is called as ``job(progress)`` in a thread and makes the layers."""
        self._activity.begin(f"{self._title}…")
        self._appear.start(PATIENCE)
        self._runner.start(
            job,
            report=self._report,
            done=self._add,
            failed=self._fail,
            warned=lambda text: None,
        )

    def _report(self, report: Report) -> None:
        report.show_in(self.bar)

    def _add(self, layers: list[LayerData]) -> None:
        self._waiting = layers
        self._adder.start()

    def _add_next(self) -> None:
        """Add one layer at a time, since each blocks napari for a moment."""
        if self._waiting:
            self._viewer.add_layer(Layer.create(*self._waiting.pop(0)))
        else:
            self.accept()

    def _fail(self, error: Exception) -> None:
        """Say why there is no sample, in one sentence that stays."""
        if isinstance(error, Cancelled):
            return self.reject()
        self._appear.stop()
        self._activity.end()
        self.bar.hide()
        self.sentence.say(str(error).split("\n")[0], "failed")
        self.buttons.setStandardButtons(QDialogButtonBox.StandardButton.Close)
        self.show()
        # A window does not grow with a sentence by itself.
        self.resize(self.width(), self._column.totalHeightForWidth(self.width()))

    def _end(self, result: Any) -> None:
        """Stop what is under way."""
        self._appear.stop()
        self._adder.stop()
        self._runner.cancel()
        self._activity.end()
        self.deleteLater()
