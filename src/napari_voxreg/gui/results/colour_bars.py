"""What the colours of a run's layers mean, with units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Vectors
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

from ..layers.maps import MEASURES

STOPS = 16  # colours that a bar is drawn from
BAR = 8  # pixels of its height
GAP = 5


@dataclass(frozen=True)
class ColourBar:
    """A bar.

    Parameters
    ----------
    title : str
        With the unit.
    low, high : float
        The values at its ends.
    colours : ndarray, shape (STOPS, 4)
        From low to high, in [0, 1].
    """

    title: str
    low: float
    high: float
    colours: Any


def colour_bar(layer: Layer) -> ColourBar | None:
    """The bar of a map or of arrows; None for a layer whose colours are no measure."""
    known = layer.metadata.get("voxreg", {})
    if isinstance(layer, Image) and known.get("kind") in (*MEASURES, "ssim"):
        colormap, limits = layer.colormap, layer.contrast_limits
    elif isinstance(layer, Vectors) and known.get("kind") == "arrows" and len(layer.data):
        colormap, limits = layer.edge_colormap, layer.edge_contrast_limits
    else:
        return None
    colours = colormap.map(np.linspace(0, 1, STOPS))
    return ColourBar(known["layer"], float(limits[0]), float(limits[1]), colours)


class ColourBars(QWidget):
    """Bars below each other, each under its title and between the values at its ends."""

    def __init__(self) -> None:
        super().__init__()
        self.bars: list[ColourBar] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Colour bars")

    def show_layers(self, layers: Sequence[Layer]) -> None:
        """Show the bars of these layers."""
        found = [colour_bar(layer) for layer in layers if layer.visible]
        self.bars = [bar for bar in found if bar is not None]
        self.setVisible(bool(self.bars))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Two lines for each bar."""
        return QSize(200, len(self.bars) * self._step())

    def paintEvent(self, event: Any) -> None:
        """Draw the bars."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        metrics = painter.fontMetrics()
        for k, bar in enumerate(self.bars):
            line = QRectF(0, k * self._step(), self.width(), metrics.height())
            painter.drawText(line, Qt.AlignmentFlag.AlignCenter, bar.title)
            painter.drawText(line, Qt.AlignmentFlag.AlignLeft, f"{bar.low:.3g}")
            painter.drawText(line, Qt.AlignmentFlag.AlignRight, f"{bar.high:.3g}")
            gradient = QLinearGradient(0, 0, self.width(), 0)
            for at, colour in zip(np.linspace(0, 1, STOPS), bar.colours, strict=True):
                gradient.setColorAt(float(at), QColor.fromRgbF(*map(float, colour[:3])))
            painter.fillRect(QRectF(0, line.bottom() + 1, self.width(), BAR), gradient)

    def _step(self) -> int:
        return self.fontMetrics().height() + BAR + GAP
