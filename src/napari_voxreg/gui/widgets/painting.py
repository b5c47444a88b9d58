"""What plots that are painted by hand begin with."""

from __future__ import annotations

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import QWidget


def framed(widget: QWidget) -> tuple[QPainter, QColor, QRectF]:
    """A painter on a widget whose ground is drawn, the colour of its text, and where the ground is."""
    painter = QPainter(widget)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    frame = QRectF(widget.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
    return painter, ground(painter, widget, frame), frame


def ground(painter: QPainter, widget: QWidget, frame: QRectF) -> QColor:
    """Draw the faint rounded ground of a plot; returns the colour of the widget's text."""
    text = widget.palette().color(QPalette.ColorRole.WindowText)
    faint = QColor(text)
    faint.setAlpha(30)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(faint)
    painter.drawRoundedRect(frame, 3, 3)
    return text
