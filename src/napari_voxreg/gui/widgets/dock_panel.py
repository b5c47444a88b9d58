"""A panel in a dock: it disconnects when it is closed, survives being moved, and shares one tab bar."""

from __future__ import annotations

import itertools
from typing import Any

import napari.viewer
from napari._app_model import get_app_model
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QDockWidget,
    QFrame,
    QLayout,
    QMainWindow,
    QScrollArea,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from .canvas_context import keep_context

COUNT = itertools.count()
TABS = "QTabBar::tab { padding: 3px 0; }"  # the names of all panels fit a narrow dock
CONTEXT_MENU = "napari/layers/context"  # of the layer list; manifests cannot contribute to it
# Titles and functions of our entries there.
CONTEXT_ENTRIES = {
    "Set as fixed (VoxReg)": "napari_voxreg.gui.doors:set_as_fixed",
    "Set as moving (VoxReg)": "napari_voxreg.gui.doors:set_as_moving",
    "Apply last transform (VoxReg)": "napari_voxreg.gui.doors:apply_last",
}
OF_IMAGES = ("set_as_fixed", "set_as_moving")  # which need an image
IMAGE_CHOSEN = "active_layer_type == 'image'"


class Docked(QWidget):
    """A widget that notices the end of its dock, for which Qt sends no `closeEvent`.

    The panels of a window share one tab bar, and there is one of each kind: a second one is removed, and the
    first raised. Panels define `_attach` (it is in a window), `_detach` (it was removed from one) and `_gone`
    (it will not return); each may be called more than once.

    Parameters
    ----------
    viewer : napari.Viewer
        That has the panel.
    """

    area: QScrollArea
    title: str  # on the tab

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        keep_context(viewer)
        self._joined: QDockWidget | None = None
        self._asked = next(COUNT)  # the panel asked for last is in front
        extend_context_menu()

    @property
    def in_front(self) -> bool:
        """Whether the panel is seen, and not behind another of its tab bar."""
        return not self.visibleRegion().isEmpty()

    def to_front(self) -> None:
        """Show the panel, in front of those that share its tab bar."""
        self._asked = next(COUNT)
        self._raise()

    def _fill(self, *parts: QWidget | QLayout) -> None:
        """Show parts below each other, with a scroll bar where they are taller than the dock."""
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        for part in parts:
            layout.addWidget(part) if isinstance(part, QWidget) else layout.addLayout(part)
        layout.addStretch()
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
        """Attach again if the window was only hidden; come to the front if opened by the menu."""
        super().showEvent(event)
        self._attach()
        if not event.spontaneous():
            # Deferred: napari shows a dock before it has given it a place.
            QTimer.singleShot(0, self._join)

    def _join(self) -> None:
        """Take a place on the panels' tab bar, once per dock; later the user may have moved it."""
        dock, window = self.parentWidget(), self.window()
        if not isinstance(dock, QDockWidget) or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        others = [panel for panel in window.findChildren(Docked) if panel is not self and panel._joined]
        if dock is self._joined:
            self._asked = next(COUNT)  # it was hidden, and is shown again
        else:
            self._joined = dock
            dock.setWindowTitle(self.title)
            dock.visibilityChanged.connect(self._toggled)
            same = [panel for panel in others if type(panel) is type(self)]
            if same:
                self._viewer.window.remove_dock_widget(self)
                same[0].to_front()
                return
            docks = [panel.parentWidget() for panel in others]
            beside = [one for one in docks if isinstance(one, QDockWidget) and not one.isFloating()]
            if beside:
                window.tabifyDockWidget(beside[-1], dock)
                for bar in window.findChildren(QTabBar):
                    if self.title in map(bar.tabText, range(bar.count())):
                        bar.setElideMode(Qt.TextElideMode.ElideNone)  # whole names, and arrows if need be
                        bar.setStyleSheet(TABS)
        # Not always this one: a panel that was docked before the window had its size is shown late.
        max([self, *others], key=lambda panel: panel._asked)._raise()

    def _raise(self) -> None:
        dock = self.parentWidget()
        if isinstance(dock, QDockWidget):
            dock.show()
            dock.raise_()

    def _toggled(self, visible: bool) -> None:
        """Come to the front if the menu, which toggles panels, would hide one that is behind another."""
        dock, window = self.parentWidget(), self.window()
        if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow) and dock.isHidden():
            beside = [one.widget() for one in window.tabifiedDockWidgets(dock)]
            if any(isinstance(panel, Docked) and panel.in_front for panel in beside):
                QTimer.singleShot(0, self.to_front)

    def _delete_if_left(self) -> None:
        if self.parent() is None and not self.isVisible():
            self.deleteLater()


def extend_context_menu() -> None:
    """Add our entries to the context menu of the layer list, once."""
    app = get_app_model()
    for order, (title, function) in enumerate(CONTEXT_ENTRIES.items()):
        short = function.rpartition(":")[2]
        name = f"napari-voxreg.context.{short}"
        if name not in app.commands:
            menus: list[Any] = [{"id": CONTEXT_MENU, "group": "8_voxreg", "order": order}]
            when = IMAGE_CHOSEN if short in OF_IMAGES else None
            # The palette has the command of the manifest.
            app.register_action(name, title, callback=function, menus=menus, enablement=when, palette=False)
