"""The live curve of a metric."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from .painting import framed

COLOUR = QColor("#4aa8c9")
MARGIN = 6


class MetricCurve(QWidget):
    """A metric over the iterations of all stages, in order.

    Drawn with QPainter: loading matplotlib or pyqtgraph would block the interface.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "The method's own metric at each iteration, all stages in order; the verdict has its own measure"
        )

    def sizeHint(self) -> QSize:
        """A band of the panel's width."""
        return QSize(200, 76)

    def clear(self) -> None:
        """Remove all values."""
        self.values = []
        self.update()

    def extend(self, values: Iterable[float]) -> None:
        """Append values; those that are not finite are skipped."""
        self.values.extend(v for v in values if math.isfinite(v))
        self.update()

    def points(self, area: QRectF) -> list[QPointF]:
        """The curve inside an area, highest value on top, at most two points per column of pixels."""
        values = self.values
        low, high = min(values), max(values)
        scale = area.height() / (high - low) if high > low else 0.0
        step = area.width() / max(len(values) - 1, 1)
        bunch = max(1, math.ceil(len(values) / max(area.width(), 1)))
        points = []
        for start in range(0, len(values), bunch):
            chunk = values[start : start + bunch]
            # The extremes of a column, so that no peak is lost.
            for value in {min(chunk), max(chunk)} if bunch > 1 else chunk:
                points.append(QPointF(area.left() + start * step, area.bottom() - (value - low) * scale))
        return points

    def paintEvent(self, event: Any) -> None:
        """Draw the curve with its extremes and its last value."""
        painter, text, frame = framed(self)
        if len(self.values) < 2:
            return
        metrics = painter.fontMetrics()
        labels = [f"{value:.4g}" for value in (max(self.values), min(self.values))]
        side = max(metrics.horizontalAdvance(label) for label in labels) + MARGIN
        area = frame.adjusted(MARGIN, MARGIN, -side - MARGIN, -MARGIN)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(COLOUR, 1.5))
        points = self.points(area)
        painter.drawPolyline(QPolygonF(points))
        painter.setBrush(COLOUR)
        painter.drawEllipse(points[-1], 2.5, 2.5)
        text.setAlpha(170)
        painter.setPen(text)
        right = int(area.right()) + MARGIN
        painter.drawText(right, int(area.top()) + metrics.ascent() - 2, labels[0])
        painter.drawText(right, int(area.bottom()), labels[1])
        painter.drawText(area, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignHCenter, "metric")
