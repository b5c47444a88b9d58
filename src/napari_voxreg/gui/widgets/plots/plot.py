"""A matplotlib plot in a panel."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from ...background.preload import load_plots
from ...background.worker import Runner
from .painting import framed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

PERIOD = 400  # milliseconds between two drawings, at least
SMALLEST = 50  # pixels of a side, below which the margins would meet
MARGIN = 8  # pixels around the axes and their numbers
POINTS = 72 / 100  # per pixel of the screen, at matplotlib's default resolution


class Plot(QWidget):
    """A plot in the colours of the theme.

    It is drawn only while visible, and not too often, so that the interface is never blocked. matplotlib is
    loaded in a thread before the first drawing.

    Parameters
    ----------
    height : int
        Of the plot, in pixels.
    draw : callable
        Draws on empty axes.

    Signals
    -------
    clicked(x), hovered(x)
        Where the mouse was pressed, or is, along the plot's axis.
    """

    clicked = Signal(float)
    hovered = Signal(float)

    def __init__(self, height: int, draw: Callable[[Axes], None]) -> None:
        super().__init__()
        self._height, self._draw = height, draw
        self._canvas: FigureCanvasQTAgg | None = None
        self._last = -math.inf
        self._loader = Runner()
        self._loading = False
        self.destroyed.connect(self._loader.cancel)  # the worker may outlive the plot
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._show)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)

    def sizeHint(self) -> QSize:
        """A band of the panel's width."""
        return QSize(200, self._height)

    def refresh(self) -> None:
        """Redraw soon."""
        if not self._loading:
            self._loading = True
            self._loader.start(
                lambda progress: load_plots(),
                report=lambda report: None,
                done=lambda nothing: self.refresh(),
                failed=lambda error: self.refresh(),  # drawing raises the same
                warned=lambda text: None,
            )
        if not self._loader.busy and not self._timer.isActive():
            passed = min(1000 * (time.monotonic() - self._last), PERIOD)
            self._timer.start(round(PERIOD - passed))

    def value_at(self, x: float) -> float | None:
        """The value on the plot's axis at x pixels from the left; None before the first drawing."""
        if self._canvas is None:
            return None
        (axes,) = self._canvas.figure.axes
        # By fractions: the canvas may not have its final size yet, nor be drawn.
        box, (low, high) = axes.get_position(), axes.get_xlim()
        return float(low + (x / max(self.width(), 1) - box.x0) / box.width * (high - low))

    def mousePressEvent(self, event: Any) -> None:
        """Emit `clicked`."""
        self._emit(self.clicked, event)

    def mouseMoveEvent(self, event: Any) -> None:
        """Emit `hovered`."""
        self._emit(self.hovered, event)

    def showEvent(self, event: Any) -> None:
        """Draw what has changed while hidden."""
        super().showEvent(event)
        self.refresh()

    def resizeEvent(self, event: Any) -> None:
        """Keep the margins."""
        super().resizeEvent(event)
        self.refresh()

    def changeEvent(self, event: Any) -> None:
        """Apply the colours of another theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self.refresh()

    def paintEvent(self, event: Any) -> None:
        """Draw the background, the same as in other plots."""
        framed(self)

    def _emit(self, signal: Any, event: Any) -> None:
        value = self.value_at(event.position().x())
        if value is not None:
            signal.emit(value)

    def _show(self) -> None:
        """Draw if visible, and laid out: a resize follows where it is not."""
        if not self.isVisible() or min(self.width(), self.height()) < SMALLEST:
            return
        if self._canvas is None:
            self._canvas = self._new_canvas()
        figure = self._canvas.figure
        figure.clear()
        axes = figure.add_subplot()
        self._draw(axes)
        self._dress(axes)
        self._canvas.draw_idle()
        self._last = time.monotonic()

    def _new_canvas(self) -> FigureCanvasQTAgg:
        """A transparent canvas that leaves the mouse to this widget."""
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        canvas = FigureCanvasQTAgg(Figure(facecolor="none"))
        canvas.setStyleSheet("background: transparent;")
        canvas.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent, False)
        canvas.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        layout = self.layout()
        assert layout is not None  # made above
        layout.addWidget(canvas)
        layout.activate()
        return canvas

    def _dress(self, axes: Axes) -> None:
        """Set the axes' font size, the theme's colours, and margins for the numbers."""
        # Not by rcParams, which all threads share: another one may be saving a figure.
        metrics, colour = self.fontMetrics(), self.palette().color(QPalette.ColorRole.WindowText)
        size = 0.9 * self.fontInfo().pixelSize() * POINTS
        axes.set_facecolor("none")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(colors=colour.name(), labelsize=size, length=0, pad=4)
        axes.tick_params(left=False, labelleft=False, labelright=True)
        legend = axes.get_legend()
        if legend is not None:
            for text in legend.get_texts():
                text.set_color(colour.name())
                text.set_fontsize(size)
        width, height = max(self.width(), 1), max(self.height(), 1)
        texts = ["-0.00", *(label.get_text() for label in axes.get_yticklabels())]
        right = max(map(metrics.horizontalAdvance, texts)) if len(axes.get_yticks()) else 0
        top = metrics.height() if legend is not None else 0
        bottom = metrics.height() if len(axes.get_xticks()) else 0
        axes.figure.subplots_adjust(
            left=MARGIN / width,
            right=max(1 - (MARGIN + right) / width, 0.1),
            bottom=(MARGIN + bottom) / height,
            top=max(1 - (MARGIN + top) / height, 0.1),
        )
