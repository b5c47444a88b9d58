"""Boxes that choose a layer, and accept files dropped on them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import Signal

from ..combo_box import Choice


class LayerBox(Choice):
    """Choose one layer of certain kinds, or none.

    The choice is a layer, not a name or an index: it survives renaming, reordering and new layers, and ends
    with its layer.

    Parameters
    ----------
    kinds : tuple of type
        Which layers are offered.
    none : str
        The text of no choice.
    role : str
        The purpose of the layer, for the tooltip.
    drops : bool
        Whether files can be dropped.

    Signals
    -------
    chosen()
        A layer was chosen, by the user or by a program, or the chosen one was removed.
    dropped(paths)
        Files were dropped: a list of `Path`.
    """

    chosen = Signal()
    dropped = Signal(list)

    def __init__(self, kinds: tuple[type[Layer], ...], none: str, role: str, drops: bool = False) -> None:
        super().__init__()
        self._kinds = kinds
        self._none = none
        self._role = role
        self._layers: list[Layer] = []
        self._layer: Layer | None = None
        self.setAccessibleName(role)
        self.setAcceptDrops(drops)
        self.offer([])
        self.activated.connect(self._picked)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        return self._layer

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer of the list, or none."""
        if layer is not None and not any(layer is offered for offered in self._layers):
            raise ValueError(f"The layer {layer.name!r} cannot be chosen here; choose one of the list.")
        self._layer = layer
        self._show()
        self.chosen.emit()

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the suitable layers, the topmost first, keeping the choice."""
        self._layers = [layer for layer in layers if isinstance(layer, self._kinds)][::-1]
        self.clear()
        self.addItems([self._none, *(layer.name for layer in self._layers)])
        kept = any(self._layer is layer for layer in self._layers)
        if self._layer is not None and not kept:
            self.choose(None)
        self._show()

    def _picked(self, row: int) -> None:
        self.choose(self._layers[row - 1] if row > 0 else None)

    def _show(self) -> None:
        rows = [row for row, layer in enumerate(self._layers, start=1) if layer is self._layer]
        self.setCurrentIndex(rows[0] if rows else 0)
        self.setToolTip(f"{self._role}: {self.currentText()}")

    def dragEnterEvent(self, event: Any) -> None:
        """Accept files."""
        if _paths(event):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Handle the files before napari's window does."""
        event.acceptProposedAction()
        self.dropped.emit(_paths(event))


def _paths(event: Any) -> list[Path]:
    """The local files of a drop."""
    return [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
