"""The unregistered moving image on a canvas of its own, with a cross at the place under the cursor."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer, Vectors
from napari.qt import QtViewer
from qtpy.QtCore import QEvent, QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..layers.placement import stays_in_slices
from ..layers.snapshots import data_to_world, like_layer
from ..session.state import Run
from .place import Place

COLOUR = "#ffd733"


class SecondCanvas(QWidget):
    """Shows a run's moving layer as it lies, and where the fixed image's place under the cursor is in it.

    A layer that is rotated out of its slices is shown along its own axes: napari cannot slice it obliquely.

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
        placed = _placed(layer, self.model)
        self.model.add_layer(_copy(layer, placed))
        self.cross = Vectors(
            np.zeros((0, 2, layer.ndim)),
            name="place under the cursor",
            vector_style="line",
            edge_color=COLOUR,
            edge_width=_thickness(self._size()),
            **placed,
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


def _copy(layer: Layer, placed: dict[str, Any]) -> Layer:
    """A layer that shares the pixels of another one and looks like it, in another place."""
    data, keywords, kind = layer.as_layer_data_tuple()
    return Layer.create(data, {**keywords, **placed, "visible": True, "metadata": {}}, kind)


def _placed(layer: Layer, model: ViewerModel) -> dict[str, Any]:
    """Keyword arguments that place a layer as it lies, or along its own axes if slices cannot show that."""
    matrix, n = data_to_world(layer), layer.ndim
    as_it_lies = like_layer(layer)
    if stays_in_slices(matrix, model):
        return as_it_lies
    straight = {"translate": np.zeros(n), "rotate": np.eye(n), "shear": np.zeros(n * (n - 1) // 2)}
    scale = np.linalg.norm(matrix[:-1, :-1], axis=0)
    return {**as_it_lies, **straight, "scale": scale, "affine": np.eye(n + 1)}


def _thickness(shape: tuple[int, ...]) -> float:
    """A few hundredths of the image, in its pixels."""
    return max(shape[-2:]) / 250
