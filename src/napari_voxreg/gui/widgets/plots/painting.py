"""The background of plots that are drawn with QPainter."""

from __future__ import annotations

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import QWidget


def framed(widget: QWidget) -> tuple[QPainter, QColor, QRectF]:
    """Draw a widget's background; returns the painter, the text colour and the background's rectangle."""
    painter = QPainter(widget)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    frame = QRectF(widget.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
    return painter, background(painter, widget, frame), frame


def background(painter: QPainter, widget: QWidget, frame: QRectF) -> QColor:
    """Draw the faint rounded background of a plot; returns the colour of the widget's text."""
    text = widget.palette().color(QPalette.ColorRole.WindowText)
    faint = QColor(text)
    faint.setAlpha(30)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(faint)
    painter.drawRoundedRect(frame, 3, 3)
    return text
