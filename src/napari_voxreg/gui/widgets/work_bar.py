"""The main button of a panel, and the progress of its work."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..background.worker import Report
from .sentence import BUTTON


class WorkBar(QWidget):
    """A button, with the reason where it cannot be pressed; a bar with Cancel while it works.

    Parameters
    ----------
    title : str
        Of the button.
    doing : str
        The same while it works.
    tip, cancel_tip : str
        The tooltips of both buttons.

    Signals
    -------
    pressed(), cancelled()
        The button, or Cancel was clicked.
    """

    pressed = Signal()
    cancelled = Signal()

    def __init__(self, title: str, doing: str, tip: str, cancel_tip: str) -> None:
        super().__init__()
        self._title, self._doing, self._tip = title, doing, tip
        self.button = QPushButton(title)
        self.button.setStyleSheet(BUTTON)
        self.button.clicked.connect(self.pressed)
        self.reason, self.stage = QLabel(), QLabel()
        for label in (self.reason, self.stage):
            label.setWordWrap(True)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = QProgressBar()
        self.bar.setFormat("%p %")
        self.bar.setAccessibleName("Progress")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip(cancel_tip)
        self.cancel_button.clicked.connect(self.cancelled)
        self._running = QWidget()
        row = QHBoxLayout(self._running)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.reason, self._running, self.stage):
            layout.addWidget(widget)
        self.set_running(False)
        self.set_reason("")

    @property
    def running(self) -> bool:
        """Whether it works."""
        return not self._running.isHidden()

    def set_reason(self, reason: str) -> None:
        """Disable the button for a reason, which is shown; an empty one enables it."""
        self.button.setEnabled(not reason and not self.running)
        self.button.setToolTip(reason or self._tip)
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason) and not self.running)

    def set_running(self, running: bool) -> None:
        """Show the progress of new work, or end it."""
        self._running.setVisible(running)
        self.stage.setVisible(running)
        self.stage.setText("Starting…" if running else "")
        self.button.setText(self._doing if running else self._title)
        self.button.setEnabled(not running)
        if running:
            self.reason.hide()
            self.bar.setRange(0, 0)  # indeterminate until a fraction is known

    def show_report(self, report: Report) -> None:
        """Show how far the work is."""
        report.show_in(self.bar)
        self.stage.setText(report.message)
