"""Follows the cursor: the status bar tells what the current result does there."""

from __future__ import annotations

from typing import Any
from weakref import ref

from napari.components import ViewerModel
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QMainWindow, QSizePolicy
from superqt import QElidingLabel

from ..layers.snapshots import on_layer
from ..session.state import session_state
from ..widgets.canvas_context import own_viewer
from .place import Place, place_at


class CursorFollower(QObject):
    """Writes displacement, Jacobian and both grey values under the cursor into the status bar.

    Parameters
    ----------
    viewer : napari.Viewer
        Itself, no proxy. The follower ends with its window.

    Signals
    -------
    moved(place)
        The cursor is at another `Place`, or at none.
    """

    moved = Signal(object)

    def __init__(self, viewer: ViewerModel) -> None:
        window = viewer.window._qt_window
        super().__init__(window)
        self._viewer = ref(viewer)  # the window, which ends after the viewer, keeps the follower
        self._state = session_state(viewer)
        self.label = QElidingLabel("")
        # Long texts are cut, and never widen the window.
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.label.setAccessibleName("What the registration does under the cursor")
        self.label.setToolTip(
            "What the result does under the cursor: the displacement to the moving image's pixel, in "
            "array-axis order; the determinant of the Jacobian; both grey values"
        )
        window.statusBar().addPermanentWidget(self.label, 1)
        self.label.hide()
        viewer.cursor.events.position.connect(self._follow)
        viewer.layers.events.removed.connect(self._follow)
        self._state.changed.connect(self._follow)  # another run does something else there

    @property
    def window(self) -> QMainWindow:
        """The viewer's."""
        window = self.parent()
        assert isinstance(window, QMainWindow)
        return window

    @property
    def place(self) -> Place | None:
        """What the current run does under the cursor."""
        viewer, run = self._viewer(), self._state.current
        layer = None if run is None else run.fixed_layer
        if viewer is None or run is None or layer is None or layer not in viewer.layers:
            return None
        # napari converts no units here.
        return place_at(run, layer.world_to_data(on_layer(layer, viewer.cursor.position, viewer)))

    def _follow(self, event: Any = None) -> None:
        place = self.place
        self.label.setVisible(place is not None)
        self.label.setText("" if place is None else place.sentence)
        self.moved.emit(place)


def follow_cursor(viewer: ViewerModel) -> CursorFollower:
    """The follower of a viewer, the same for all panels."""
    own = own_viewer(viewer)
    there = own.window._qt_window.findChild(CursorFollower)
    return CursorFollower(own) if there is None else there
