"""SSIM of every pair before and after, drawn as the pairs come in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...evaluation import Row
from ..widgets.painting import framed

BEFORE, AFTER, ALONE = QColor("#9aa3ab"), QColor("#4aa8c9"), QColor("#e0825f")
MARGIN = 6
KEY = "ssim_common"


class BeforeAfter(QWidget):
    """A line from before to after for each pair, in the order of the values after.

    Painted by hand: matplotlib takes longer to load than a screen may stand still.

    Signals
    -------
    picked(row)
        A pair was clicked.
    """

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)

    def sizeHint(self) -> QSize:
        """A band of the panel's width."""
        return QSize(200, 130)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these; those without SSIM are left out."""
        known = [row for row in rows if not math.isnan(row.beyond)]
        self.rows = sorted(known, key=lambda row: row.after[KEY])
        self.setVisible(bool(self.rows))
        self.update()

    def row_at(self, x: float) -> Row | None:
        """The pair nearest to a place across the widget."""
        if not self.rows:
            return None
        area = self._area()
        step = area.width() / len(self.rows)
        place = math.floor((x - area.left()) / step) if step > 0 else 0
        return self.rows[min(max(place, 0), len(self.rows) - 1)]

    def mouseMoveEvent(self, event: Any) -> None:
        """Name the pair under the mouse."""
        row = self.row_at(event.position().x())
        if row is not None:
            values = row.before[KEY], row.after[KEY], row.interpolated
            self.setToolTip("{}\nSSIM {:.3f} → {:.3f}; interpolation alone {:.3f}".format(row.name, *values))

    def mousePressEvent(self, event: Any) -> None:
        """Pick the pair under the mouse."""
        row = self.row_at(event.position().x())
        if row is not None:
            self.picked.emit(row)

    def paintEvent(self, event: Any) -> None:
        """Draw frame, limits, legend and pairs."""
        painter, text, _ = framed(self)
        if not self.rows:
            return
        values = [v for row in self.rows for v in (row.before[KEY], row.after[KEY], row.interpolated)]
        low, high = min(values), max(values)
        area = self._area()
        step = area.width() / len(self.rows)
        scale = area.height() / (high - low) if high > low else 0.0
        radius = min(max(step / 5, 1.2), 3.5)
        for k, row in enumerate(self.rows):
            x = area.left() + (k + 0.5) * step
            before, after, alone = (
                QPointF(x, area.bottom() - (value - low) * scale)
                for value in (row.before[KEY], row.after[KEY], row.interpolated)
            )
            painter.setPen(QPen(AFTER if row.after[KEY] > row.before[KEY] else ALONE, 1))
            painter.drawLine(before, after)
            painter.setPen(Qt.PenStyle.NoPen)
            for colour, point in ((BEFORE, before), (AFTER, after)):
                painter.setBrush(colour)
                painter.drawEllipse(point, radius, radius)
            painter.setPen(QPen(ALONE, 1.5))
            painter.drawLine(alone - QPointF(1.6 * radius, 0), alone + QPointF(1.6 * radius, 0))
        self._write(painter, text, area, (low, high))

    def _write(self, painter: QPainter, text: QColor, area: QRectF, limits: tuple[float, float]) -> None:
        """The legend on top and the limits at the right."""
        text.setAlpha(170)
        metrics = painter.fontMetrics()
        x, y = MARGIN, MARGIN + metrics.ascent() - 1
        for word, colour in (
            ("SSIM", text),
            ("before", BEFORE),
            ("after", AFTER),
            ("interpolation alone", ALONE),
        ):
            painter.setPen(colour)
            painter.drawText(x, y, word)
            x += metrics.horizontalAdvance(f"{word}   ")
        painter.setPen(text)
        right = int(area.right()) + MARGIN
        painter.drawText(right, int(area.top()) + metrics.ascent() - 4, f"{limits[1]:.2f}")
        painter.drawText(right, int(area.bottom()) + 4, f"{limits[0]:.2f}")

    def _area(self) -> QRectF:
        """Where the pairs are drawn."""
        metrics = self.fontMetrics()
        side = metrics.horizontalAdvance("-0.00") + MARGIN
        top = metrics.height() + MARGIN
        return QRectF(self.rect()).adjusted(MARGIN, MARGIN + top, -side - MARGIN, -MARGIN - 3)
