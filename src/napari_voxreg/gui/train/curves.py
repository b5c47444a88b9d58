"""The losses of a training, drawn live."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from ..widgets.plots.painting import background

if TYPE_CHECKING:
    from ...train.events import Losses, Row

TRAINING, VALIDATION = QColor("#4aa8c9"), QColor("#e0825f")
TERMS = {"total": "total", "similarity": "similarity", "smoothness": "smoothness", "error": "error (px)"}
MARGIN = 6
BAND = 84  # pixels that a row of plots is high
MOST = 2000  # steps kept for the faint line

Line = Sequence[tuple[float, float]]


class LossCurves(QWidget):
    """A plot for each term of the loss: training and validation by epoch, and faintly every step.

    Drawn with QPainter: loading matplotlib would block the interface.

    Attributes
    ----------
    rows : list of Row
        The epochs shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._steps: list[tuple[int, Losses]] = []
        self._every = self._count = 1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.set_rows(())

    def sizeHint(self) -> QSize:
        """As many bands as there are rows of plots."""
        return QSize(200, BAND * len(self._bands()))

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show another history, without steps."""
        self.rows, self._steps, self._every = list(rows), [], 1
        self._changed()

    def add_row(self, row: Row) -> None:
        """Add an epoch, unless the history has it already."""
        if not self.rows or row.epoch > self.rows[-1].epoch:
            self.rows.append(row)
            self._changed()

    def add_step(self, step: int, losses: Losses) -> None:
        """Add a step; every second one is dropped whenever there are too many."""
        self._count += 1
        if self._count % self._every == 0:
            self._steps.append((step, losses))
            if len(self._steps) > MOST:
                self._steps = self._steps[::2]
                self._every *= 2
            self._changed()

    def lines(self, term: str) -> tuple[Line, Line, Line]:
        """Training and validation by epoch, and single steps, as (step, loss) where it is a number."""
        sides = ([(row.step, getattr(row, side)) for row in self.rows] for side in ("training", "validation"))
        first, second, third = (
            [(k, v) for k, losses in side if (v := _value(losses, term)) is not None]
            for side in (*sides, self._steps)
        )
        return first, second, third

    def paintEvent(self, event: Any) -> None:
        """Draw all plots."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for k, band in enumerate(self._bands()):
            width = (self.width() + 4) / len(band)
            for column, term in enumerate(band):
                frame = QRectF(column * width, k * BAND, width - 4, BAND - 4)
                self._draw(painter, frame.adjusted(0.5, 0.5, -0.5, -0.5), term, legend=k == 0 and column == 0)

    def _bands(self) -> list[list[str]]:
        """Rows of plots: the total alone, so that it is large, the other terms side by side."""
        present = [term for term in TERMS if any(self.lines(term))]
        return [band for band in (present[:1], present[1:3], present[3:]) if band]

    def _changed(self) -> None:
        self.setVisible(bool(self._bands()))
        self.updateGeometry()
        self.update()

    def _draw(self, painter: QPainter, frame: QRectF, term: str, legend: bool) -> None:
        """One plot with its title and limits."""
        text = background(painter, self, frame)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        training, validation, steps = self.lines(term)
        # A single batch may be far off, so steps set the limits only before the first epoch.
        values = [v for _, v in (*training, *validation)] or [v for _, v in steps]
        low, high = min(values), max(values)
        labels = f"{high:.3g}", f"{low:.3g}"
        metrics = painter.fontMetrics()
        side = max(map(metrics.horizontalAdvance, labels)) + MARGIN
        area = frame.adjusted(MARGIN, metrics.height() + MARGIN, -side - MARGIN, -MARGIN - 2)
        last = max((k for k, _ in (*training, *validation, *steps)), default=0)

        def place(point: tuple[float, float]) -> QPointF:
            up = (point[1] - low) / (high - low) if high > low else 0.5
            along = point[0] / max(last, 1)
            return QPointF(area.left() + area.width() * along, area.bottom() - area.height() * up)

        painter.save()
        painter.setClipRect(area.adjusted(-3, -3, 3, 3))
        pale = QColor(TRAINING)
        pale.setAlpha(90)
        painter.setPen(QPen(pale, 1))
        painter.drawPolyline(QPolygonF([place(point) for point in steps]))
        for line, colour in ((training, TRAINING), (validation, VALIDATION)):
            painter.setPen(QPen(colour, 1.5))
            painter.drawPolyline(QPolygonF([place(point) for point in line]))
            painter.setBrush(colour)
            for point in line[-1:]:
                painter.drawEllipse(place(point), 2.5, 2.5)
            painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.restore()
        self._write(painter, frame, area, text, (TERMS[term], *labels), legend)

    def _write(
        self,
        painter: QPainter,
        frame: QRectF,
        area: QRectF,
        text: QColor,
        words: tuple[str, ...],
        legend: bool,
    ) -> None:
        """Title, legend and limits."""
        text.setAlpha(190)
        metrics = painter.fontMetrics()
        x, y = int(frame.left()) + MARGIN, int(frame.top()) + MARGIN + metrics.ascent() - 2
        names = (("training", TRAINING), ("validation", VALIDATION)) if legend else ()
        for word, colour in ((words[0], text), *names):
            painter.setPen(colour)
            painter.drawText(x, y, word)
            x += metrics.horizontalAdvance(f"{word}   ")
        painter.setPen(text)
        right = int(area.right()) + MARGIN
        painter.drawText(right, int(area.top()) + metrics.ascent() - 4, words[1])
        painter.drawText(right, int(area.bottom()) + 3, words[2])


def _value(losses: Losses | None, term: str) -> float | None:
    """A term of the loss, where it is a number."""
    value: float | None = None if losses is None else getattr(losses, term)
    return value if value is not None and math.isfinite(value) else None
