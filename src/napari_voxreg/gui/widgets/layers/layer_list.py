"""A list of the viewer's layers with check boxes."""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Layer
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QSizePolicy, QWidget

ROWS = 5  # without a scroll bar
SPACE = 6  # pixels between the lines of two rows
# napari's theme has no style for these boxes; the default's edge can hardly be seen on it.
STYLE = (
    "QListView::indicator {width: 11px; height: 11px; border: 1px solid #8a9099; border-radius: 2px;}"
    "QListView::indicator:checked {background-color: #2a6f97; image: url(theme_dark:/check.svg);}"
)


class LayerList(QListWidget):
    """Layers, the topmost first; checks stay with their layers.

    Parameters
    ----------
    name, tip : str
        For screen readers, and the tooltip.

    Signals
    -------
    altered()
        Other layers were checked by the user.
    """

    altered = Signal()

    def __init__(self, name: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setToolTip(tip)
        # Else it would compete with the space below the panel's content.
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setStyleSheet(STYLE)
        self._row = QSize(0, self.fontMetrics().lineSpacing() + SPACE)
        self.setFixedHeight(ROWS * self._row.height() + 2 * self.frameWidth())
        self._layers: list[Layer] = []
        self._checked: list[Layer] = []
        self.itemChanged.connect(self._check)

    @property
    def layers(self) -> list[Layer]:
        """The checked layers, the topmost first."""
        return [layer for layer in self._layers if any(layer is one for one in self._checked)]

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer these layers, the topmost first, keeping the checks."""
        self._layers = list(layers)[::-1]
        self._checked = self.layers
        self._show()

    def check(self, layers: Iterable[Layer]) -> None:
        """Check these layers only."""
        self._checked = list(layers)
        self._show()

    def _show(self) -> None:
        self.blockSignals(True)
        self.clear()
        for layer in self._layers:
            item = QListWidgetItem(layer.name, self)
            item.setSizeHint(self._row)
            item.setToolTip(f"{layer.name}: {type(layer).__name__}, {layer.ndim}D")
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            checked = any(layer is one for one in self._checked)
            item.setCheckState(Qt.CheckState.Checked if checked else Qt.CheckState.Unchecked)
        self.blockSignals(False)

    def _check(self, item: QListWidgetItem) -> None:
        layer = self._layers[self.row(item)]
        self._checked = [one for one in self._checked if one is not layer]
        if item.checkState() == Qt.CheckState.Checked:
            self._checked.append(layer)
        self.altered.emit()
