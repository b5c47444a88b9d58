"""What a series gave: the curves of its motion."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ...core.geometry import short_unit
from .job import SeriesDone
from .plots import MotionPlot


class SeriesView(QWidget):
    """Translation and rotation over the frames, and what can be done with them.

    Attributes
    ----------
    done : SeriesDone or None
        What is shown.

    Signals
    -------
    frame_picked(number)
        A place in a curve was clicked.
    save_asked()
        The motion is to be saved.
    """

    frame_picked = Signal(int)
    save_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.done: SeriesDone | None = None
        self.plots = MotionPlot(False), MotionPlot(True)
        self.titles = QLabel(), QLabel()
        self.save_button = QPushButton("Save motion and images…")
        self.save_button.setToolTip(
            "Save series.json, series.csv, the curves and the aligned images in a folder"
        )
        self.save_button.clicked.connect(self.save_asked)
        row = QHBoxLayout()
        row.addWidget(self.save_button)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for title, plot in zip(self.titles, self.plots, strict=True):
            title.setWordWrap(True)
            title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            plot.clicked.connect(self._pick)
            layout.addWidget(title)
            layout.addWidget(plot)
        layout.addLayout(row)
        self.hide()

    def show_done(self, done: SeriesDone | None) -> None:
        """Show the motion of a series, or nothing."""
        self.done = done
        self.setVisible(done is not None)
        if done is None:
            return
        bad = any(frame.problem for frame in done.result.frames)
        marked = "; crosses: bad frames" if bad else ""
        unit = short_unit(done.result.grid.units[0])
        self.titles[0].setText(f"Translation over the frames ({unit}){marked}")
        self.titles[1].setText("Rotation over the frames (degrees)")
        for plot in self.plots:
            plot.show_result(done.result)

    def _pick(self, place: float) -> None:
        if self.done is not None:
            self.frame_picked.emit(min(max(round(place), 0), len(self.done.result) - 1))
