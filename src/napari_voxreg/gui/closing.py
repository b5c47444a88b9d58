"""Asking before a window is closed while something is on."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget


class CloseGuard(QObject):
    """Asks when the user closes the window; a program that closes it is not kept waiting.

    Parameters
    ----------
    panel : QWidget
        In the window.
    busy : callable
        Whether there is anything to ask.
    question : str
        That Close or Cancel answer.
    """

    def __init__(self, panel: QWidget, busy: Callable[[], bool], question: str) -> None:
        super().__init__(panel)
        self._panel, self._busy, self._question = panel, busy, question
        self._window = 0  # its id: a reference would keep the whole viewer alive

    def attach(self) -> None:
        """Watch the window that the panel is in now."""
        window = self._panel.window()
        if isinstance(window, QMainWindow) and id(window) != self._window:
            self._window = id(window)
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Hold back the closing if the answer is no."""
        if (
            event is None
            or event.type() != QEvent.Type.Close
            or id(watched) != self._window
            or not event.spontaneous()
            or not self._busy()
            or self.may_close()
        ):
            return False
        event.ignore()
        return True

    def may_close(self) -> bool:
        """Ask."""
        choices = QMessageBox.StandardButton
        answer = QMessageBox.question(
            self._panel, "VoxReg", self._question, choices.Close | choices.Cancel, choices.Cancel
        )
        return answer == choices.Close
