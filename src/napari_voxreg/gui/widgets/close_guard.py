"""Asking before a window is closed while something is on."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget


class CloseGuard(QObject):
    """Asks when the user closes the window, by its cross, its menu, keys or leaving the desktop.

    A program that calls ``viewer.close()`` is not kept waiting.

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
            or not isinstance(watched, QMainWindow)
            or id(watched) != self._window
            or not self._busy()
            or _taken_down(watched)
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


def _taken_down(window: QMainWindow) -> bool:
    """Whether it is too late to ask.

    napari's menu closes the window by a program, too; but where a program closes the viewer, the canvas has
    been closed before its window.
    """
    middle = window.centralWidget()
    parts = (
        []
        if middle is None
        else middle.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
    )
    return not any(part.isVisible() for part in parts)
