"""The box that shows the unregistered moving image beside the canvas."""

from __future__ import annotations

import napari.viewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QDockWidget

from ..session.state import SessionState
from .follower import follow_cursor
from .second_canvas import SecondCanvas

SHARE = 0.4  # of the window's height, that the second canvas takes


class SamePlaceBox(QCheckBox):
    """Opens a second canvas for the current run, and closes it.

    Parameters
    ----------
    viewer : napari.Viewer
    state : SessionState
    """

    def __init__(self, viewer: napari.viewer.Viewer, state: SessionState) -> None:
        super().__init__("same place in the moving image")
        self.setToolTip(
            "A second canvas shows the unregistered moving image and marks the place under the cursor"
        )
        self._viewer, self._state = viewer, state
        self._follower = follow_cursor(viewer)
        self.canvas: SecondCanvas | None = None
        self.toggled.connect(self._follow_state)
        state.changed.connect(self._follow_state)

    def end(self) -> None:
        """Remove the second canvas."""
        canvas = self.canvas
        if canvas is not None:
            self._forget()
            self._viewer.window.remove_dock_widget(canvas)
            canvas.end()

    def _follow_state(self) -> None:
        """Show the moving image of the current run, if it is open and the box checked."""
        run = self._state.current
        self.setEnabled(run is not None and run.chosen is not None and run.moving_layer is not None)
        shown = None if self.canvas is None else self.canvas.run
        wanted = run if self.isChecked() and self.isEnabled() else None
        if shown is wanted:
            return
        self.end()
        if wanted is not None:
            self.canvas = SecondCanvas(wanted)
            self._take_corners(sides=True)
            self._viewer.window.add_dock_widget(self.canvas, name="Moving image, unregistered", area="bottom")
            window, dock = self._follower.window, self.canvas.parentWidget()
            assert isinstance(dock, QDockWidget)
            window.resizeDocks([dock], [round(SHARE * window.height())], Qt.Orientation.Vertical)
            self.canvas.closed.connect(self._dock_closed)
            self._follower.moved.connect(self.canvas.follow)

    def _forget(self) -> None:
        """Let go of the second canvas."""
        if self.canvas is not None:
            self._follower.moved.disconnect(self.canvas.follow)
            self.canvas.closed.disconnect(self._dock_closed)
            self.canvas = None
            self._take_corners(sides=False)

    def _take_corners(self, sides: bool) -> None:
        """Give the window's lower corners to the docks at the sides, so that the canvas alone is divided."""
        areas = Qt.DockWidgetArea
        bottom = areas.BottomDockWidgetArea
        window = self._follower.window
        for corner, side in (
            (Qt.Corner.BottomLeftCorner, areas.LeftDockWidgetArea),
            (Qt.Corner.BottomRightCorner, areas.RightDockWidgetArea),
        ):
            window.setCorner(corner, side if sides else bottom)

    def _dock_closed(self) -> None:
        """Follow its cross: the dock removes the canvas itself."""
        canvas = self.canvas
        self._forget()
        self.setChecked(False)
        if canvas is not None:
            QTimer.singleShot(0, canvas.end)
