"""The unregistered moving image on a canvas of its own, with a cross at the place under the cursor."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Vectors
from napari.qt import QtViewer
from qtpy.QtCore import QEvent, QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..layers.snapshots import like_layer
from ..session.state import Run
from .place import Place

COLOUR = "#ffd733"


class SecondCanvas(QWidget):
    """Shows a run's moving layer as it lies, and where the fixed image's place under the cursor is in it.

    Parameters
    ----------
    run : Run
        Whose moving layer is in the viewer.

    Signals
    -------
    closed()
        Its dock was closed.
    """

    closed = Signal()

    def __init__(self, run: Run) -> None:
        super().__init__()
        layer = run.moving_layer
        if layer is None or run.chosen is None:
            raise ValueError(f"The moving image of {run.pair} is not open; open it first.")
        self.run = run
        self._axes = run.chosen.moving.spatial[-2:]
        self.model = ViewerModel()
        self.model.add_layer(_copy(layer))
        self.cross = Vectors(
            np.zeros((0, 2, layer.ndim)),
            name="place under the cursor",
            vector_style="line",
            edge_color=COLOUR,
            edge_width=_thickness(self._size()),
            **like_layer(layer),
        )
        self.model.add_layer(self.cross)
        self.qt_viewer = QtViewer(self.model)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.qt_viewer)
        self.setMinimumSize(200, 160)

    def follow(self, place: Place | None) -> None:
        """Put the cross at a place, and show its slice; take it away if there is none."""
        if place is None:
            self.cross.data = np.zeros((0, 2, self.cross.ndim))
            return
        there = np.array(place.there)
        lines = np.zeros((2, 2, len(there)))
        lines[:, 0] = there
        for line, axis in zip(lines, self._axes, strict=True):
            length = self._size()[axis]
            line[0, axis], line[1, axis] = -0.5, length
        self.cross.data = lines
        self.model.dims.point = self.model.layers[0].data_to_world(there)

    def event(self, event: Any) -> bool:
        """Handle the removal from its dock, for which Qt sends no `closeEvent`."""
        handled = bool(super().event(event))
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.closed.emit()
        return handled

    def showEvent(self, event: Any) -> None:
        """Show the whole image, once the canvas has its size."""
        super().showEvent(event)
        if not event.spontaneous():
            QTimer.singleShot(0, self.model.reset_view)

    def end(self) -> None:
        """Remove the canvas."""
        self.qt_viewer.close()
        self.deleteLater()

    def _size(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        layer = self.model.layers[0]
        shape: tuple[int, ...] = (layer.level_shapes[0] if layer.multiscale else layer.data.shape)[
            : layer.ndim
        ]
        return tuple(int(n) for n in shape)


def _copy(layer: Layer) -> Layer:
    """A layer that shares the pixels of another one and looks like it."""
    data, keywords, kind = layer.as_layer_data_tuple()
    return Layer.create(data, {**keywords, "visible": True, "metadata": {}}, kind)


def _thickness(shape: tuple[int, ...]) -> float:
    """A few hundredths of the image, in its pixels."""
    return max(shape[-2:]) / 250
