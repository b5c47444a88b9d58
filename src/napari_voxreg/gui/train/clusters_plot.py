"""Inertia by the number of clusters, and pictures of a cluster, for the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...core.geometry import Array
from ..widgets.painting import framed

LINE, ELBOW, CHOSEN = QColor("#9aa3ab"), QColor("#4aa8c9"), QColor("#e0825f")
MARGIN = 8
GAP = 4  # pixels between pictures


class ElbowPlot(QWidget):
    """A curve with its elbow marked; a click chooses a number of clusters.

    Painted by hand: matplotlib takes longer to load than a screen may stand still.

    Signals
    -------
    picked(k)
        A number was clicked.
    """

    picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.inertias: tuple[float, ...] = ()
        self._suggested = self._chosen = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Summed squared distance to the nearest centre; a click chooses a number of clusters")

    def sizeHint(self) -> QSize:
        """A band of the window's width."""
        return QSize(420, 150)

    def set_curve(self, inertias: Sequence[float], suggested: int, chosen: int) -> None:
        """Show inertia for 1, 2, ... clusters, and mark the elbow and the choice."""
        self.inertias, self._suggested, self._chosen = tuple(inertias), suggested, chosen
        self.update()

    def count_at(self, x: float) -> int:
        """The number of clusters nearest to a place across the widget; 0 without a curve."""
        if not self.inertias:
            return 0
        area = self._area()
        step = area.width() / max(len(self.inertias) - 1, 1)
        return min(max(1 + round((x - area.left()) / step), 1), len(self.inertias))

    def mousePressEvent(self, event: Any) -> None:
        """Choose the number under the mouse."""
        if count := self.count_at(event.position().x()):
            self.picked.emit(count)

    def paintEvent(self, event: Any) -> None:
        """Draw frame, curve, marks and numbers."""
        painter, text, _ = framed(self)
        if not self.inertias:
            return
        area, top = self._area(), max(self.inertias) or 1.0
        step = area.width() / max(len(self.inertias) - 1, 1)
        points = [
            QPointF(area.left() + k * step, area.bottom() - area.height() * value / top)
            for k, value in enumerate(self.inertias)
        ]
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(LINE, 1.5))
        painter.drawPolyline(QPolygonF(points))
        metrics = painter.fontMetrics()
        for k, point in enumerate(points, 1):
            colour = ELBOW if k == self._suggested else LINE
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawEllipse(point, 4.0, 4.0)
            if k == self._chosen:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(CHOSEN, 2))
                painter.drawEllipse(point, 7.0, 7.0)
            painter.setPen(CHOSEN if k == self._chosen else text)
            width = metrics.horizontalAdvance(str(k))
            painter.drawText(QPointF(point.x() - width / 2, self.height() - MARGIN), str(k))

    def _area(self) -> QRectF:
        """Where the curve is drawn."""
        below = self.fontMetrics().height() + MARGIN
        return QRectF(self.rect()).adjusted(3 * MARGIN, 2 * MARGIN, -3 * MARGIN, -below - MARGIN)


def strip(pictures: Sequence[Array], side: int) -> QPixmap:
    """Grey pictures side by side.

    Parameters
    ----------
    pictures : sequence of ndarray, uint8
        Square ones of one size, at least one.
    side : int
        Pixels that each takes on the screen.
    """
    size = pictures[0].shape[0]
    gap = round(GAP * size / side)
    sheet = np.zeros((size, len(pictures) * (size + gap) - gap), np.uint8)
    for k, picture in enumerate(pictures):
        sheet[:, k * (size + gap) : k * (size + gap) + size] = picture
    height, width = sheet.shape
    image = QImage(sheet.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image).scaledToHeight(side, Qt.TransformationMode.SmoothTransformation)
