"""A panel in a dock: it disconnects when it is closed, and survives being moved."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QFrame, QMainWindow, QScrollArea, QVBoxLayout, QWidget


class Docked(QWidget):
    """A widget that notices the end of its dock, for which Qt sends no `closeEvent`.

    Panels define `_attach` (it is in a window), `_detach` (it was removed from one) and `_gone` (it will not
    return); each may be called more than once.
    """

    area: QScrollArea

    def _fill(self, content: QWidget) -> None:
        """Show the panel's content, with a scroll bar where it is taller than the dock."""
        area = self.area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setMinimumWidth(300)

    def _attach(self) -> None: ...

    def _detach(self) -> None: ...

    def _gone(self) -> None: ...

    def event(self, event: Any) -> bool:
        """Handle the removal from a dock: closing a dock releases its widget without closing it."""
        handled = bool(super().event(event))
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._detach()
                # Deferred, because it may be moved to another dock at once.
                QTimer.singleShot(0, self._delete_if_left)
            else:
                self._attach()
        return handled

    def hideEvent(self, event: Any) -> None:
        """Detach if the viewer was closed, not if the panel is hidden or tabbed."""
        super().hideEvent(event)
        window: QObject | None = self.parent()
        while window is not None and not isinstance(window, QMainWindow):
            window = window.parent()
        if isinstance(window, QMainWindow) and not event.spontaneous() and not window.isVisible():
            self._detach()
            self._gone()

    def showEvent(self, event: Any) -> None:
        """Attach again if the window was only hidden."""
        super().showEvent(event)
        self._attach()

    def _delete_if_left(self) -> None:
        if self.parent() is None and not self.isVisible():
            self.deleteLater()
