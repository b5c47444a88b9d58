"""The main button, and the progress of a run."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..background.worker import Report
from ..shortcuts import REGISTER, hint
from ..widgets.plots.metric_curve import MetricCurve
from ..widgets.sentence import BUTTON
from .compare_button import CompareButton


class RunBar(QWidget):
    """Register and Compare methods; progress with Cancel; the live metric.

    Signals
    -------
    pressed(), compare_pressed(), cancelled()
        Register, Compare methods, or Cancel was clicked.
    """

    pressed = Signal()
    compare_pressed = Signal()
    cancelled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.button = QPushButton("Register")
        self.button.setStyleSheet(BUTTON)
        self.button.clicked.connect(self.pressed)
        self.compare = CompareButton()
        self.compare.clicked.connect(self.compare_pressed)
        buttons = QHBoxLayout()
        buttons.addWidget(self.button, 1)
        buttons.addWidget(self.compare)
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.reason.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar()
        self.bar.setFormat("%p %")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop at once; finished methods of a comparison are kept")
        self.cancel_button.clicked.connect(self.cancelled)
        self.stage = QLabel()
        self.stage.setWordWrap(True)
        self.stage.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.stage.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.curve = MetricCurve()
        self._running = QWidget()
        row = QHBoxLayout(self._running)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        for widget in (self.reason, self._running, self.stage, self.curve):
            layout.addWidget(widget)
        self.curve.hide()
        self.set_running(False)
        self.set_reason("", "")

    @property
    def running(self) -> bool:
        """Whether a run is in progress."""
        return not self._running.isHidden()

    def set_reason(self, reason: str, pair_reason: str) -> None:
        """Disable Register and Compare methods for these reasons, which are shown; empty ones enable them."""
        self.button.setEnabled(not reason and not self.running)
        self.compare.setEnabled(not pair_reason and not self.running)
        self.compare.setToolTip(
            pair_reason or "Run several methods and compare their scores; the arrow lists them"
        )
        self.button.setToolTip(
            reason or f"Register the moving image onto the fixed one with the chosen method{hint(REGISTER)}"
        )
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason) and not self.running)

    def set_running(self, running: bool, doing: str = "") -> None:
        """Show the progress of a new run with this button text, or end it; the curve stays."""
        self._running.setVisible(running)
        self.stage.setVisible(running)
        self.button.setText(doing if running else "Register")
        for button in (self.button, self.compare):
            button.setEnabled(not running)
        if running:
            self.bar.setRange(0, 0)  # indeterminate until a fraction is known
            self.stage.clear()
            self.curve.clear()
            self.curve.hide()

    def show_trace(self, trace: Iterable[float]) -> None:
        """Show the complete metric of a finished run, of which reports may have missed some."""
        self.curve.clear()
        self.curve.extend(trace)
        self.curve.setVisible(len(self.curve.values) > 1)

    def show_report(self, report: Report) -> None:
        """Show the progress of a run."""
        if report.fraction is not None:
            # Otherwise the bar repaints the window at once, and the rest of the report does so again.
            self.bar.setUpdatesEnabled(False)
            report.show_in(self.bar)
            self.bar.setUpdatesEnabled(True)
        if report.metrics:
            self.curve.extend(report.metrics)
            self.curve.setVisible(len(self.curve.values) > 1)
        metric = f"\nmetric {self.curve.values[-1]:.5g}" if self.curve.values else ""
        self.stage.setText(report.message.replace("->", "→") + metric)
