"""Histograms of displacement and Jacobian."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ...registration.result import Result
from ..background.worker import Runner
from ..widgets.fold import Fold
from ..widgets.plots.plot import Plot
from .motion import Motion, Spread, measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 70  # pixels of a plot
RIM = 0.05  # of the width, at both ends, in which a number would be cut off
COLOUR, MARK = "#4aa8c9", "#d9a23d"


class Histogram(QWidget):
    """One histogram under its numbers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.plot = Plot(HEIGHT, self._draw)
        self.plot.setAccessibleName(name)
        self.plot.setToolTip("Pixels by value; lines at the median and the 95th percentile")
        self._spread: Spread | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.label)
        layout.addWidget(self.plot)

    def show_spread(self, spread: Spread | None, text: str) -> None:
        """Show another distribution, or none, with its numbers in words."""
        self._spread = spread
        self.label.setText(text)
        self.plot.refresh()

    def _draw(self, axes: Axes) -> None:
        axes.set_yticks([])
        if self._spread is None:
            axes.set_xticks([])
            return
        axes.stairs(self._spread.counts, self._spread.edges, fill=True, color=COLOUR)
        for value, style in ((self._spread.median, "-"), (self._spread.high, "--")):
            axes.axvline(value, color=MARK, linestyle=style, linewidth=1)
        axes.margins(x=0)
        low, high = axes.get_xlim()
        rim = RIM * (high - low)
        axes.set_xticks([tick for tick in axes.get_xticks() if low + rim <= tick <= high - rim])


class HistogramBox(Fold):
    """Histograms of displacement and Jacobian of a result, measured when the section is opened."""

    def __init__(self) -> None:
        body = QWidget()
        super().__init__("Histograms", body, "Displacement and Jacobian of the selected result")
        self.displacement, self.jacobian = Histogram("Displacement"), Histogram("Jacobian")
        layout = QVBoxLayout(body)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.displacement)
        layout.addWidget(self.jacobian)
        self._runner = Runner()
        self._wanted: tuple[Result, bool] | None = None
        self._measured: tuple[Result, bool] | None = None
        self.toggled.connect(self._measure)

    def show_result(self, result: Result | None, affine: bool) -> None:
        """Show a result, with or without the affine part of its motion."""
        self.setVisible(result is not None)
        self._wanted = None if result is None else (result, affine)
        self._measure()

    def stop(self) -> None:
        """Drop what is under way; uses nothing of Qt."""
        self._runner.cancel()

    def _measure(self) -> None:
        """Measure what is wanted, if it is seen and another one than before."""
        wanted = self._wanted
        if wanted is None or not self.open:
            return
        if self._measured is not None and all(a is b for a, b in zip(self._measured, wanted, strict=True)):
            return
        self._measured = wanted
        self.displacement.show_spread(None, "measuring…")
        self.jacobian.show_spread(None, "")
        self._runner.start(
            lambda progress: measure(*wanted, progress),
            report=lambda report: None,
            done=lambda motion: self._show(motion, wanted[1]),
            failed=lambda error: self.displacement.show_spread(None, str(error).split("\n")[0]),
            warned=lambda text: None,
        )

    def _show(self, motion: Motion, affine: bool) -> None:
        more = "" if affine else " without affine"
        every = "" if motion.step == 1 else f" (every {motion.step} pixels)"
        for box, spread, what in (
            (self.displacement, motion.displacement, f"Displacement{more}, {motion.unit}{every}"),
            (self.jacobian, motion.jacobian, f"Jacobian{more}{every}"),
        ):
            numbers = f"median {spread.median:.3g}, 95th percentile {spread.high:.3g}, max {spread.most:.3g}"
            text = f"{what}: {numbers}"
            if box is self.jacobian:
                text += f", min {spread.least:.3g}, folded {motion.folded:.2g} %"
            box.show_spread(spread, text)
