"""Confirmation before a window is closed during work."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget


class CloseGuard(QObject):
    """Prompts when the user closes the window, by its button, menu, keys or by logging out.

    A program that calls ``viewer.close()`` is not kept waiting.

    Parameters
    ----------
    panel : QWidget
        In the window.
    busy : callable
        Whether to prompt.
    question : str
        Its answers are Close and Cancel.
    """

    def __init__(self, panel: QWidget, busy: Callable[[], bool], question: str) -> None:
        super().__init__(panel)
        self._panel, self._busy, self._question = panel, busy, question
        self._window = 0  # its id: a reference would keep the whole viewer alive

    def attach(self) -> None:
        """Watch the window that has the panel now."""
        window = self._panel.window()
        if isinstance(window, QMainWindow) and id(window) != self._window:
            self._window = id(window)
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Ignore the closing if the user cancels."""
        if (
            event is None
            or event.type() != QEvent.Type.Close
            or not isinstance(watched, QMainWindow)
            or id(watched) != self._window
            or not self._busy()
            or _closed_by_program(watched)
            or self.may_close()
        ):
            return False
        event.ignore()
        return True

    def may_close(self) -> bool:
        """Prompt the user."""
        choices = QMessageBox.StandardButton
        pressed = QMessageBox.question(
            self._panel, "VoxReg", self._question, choices.Close | choices.Cancel, choices.Cancel
        )
        return pressed == choices.Close


def _closed_by_program(window: QMainWindow) -> bool:
    """Whether a program closes the viewer: then the canvas is closed before its window.

    napari's menu, which also closes the window by program, leaves the canvas open.
    """
    middle = window.centralWidget()
    children = (
        []
        if middle is None
        else middle.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
    )
    return not any(child.isVisible() for child in children)
