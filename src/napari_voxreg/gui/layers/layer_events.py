"""Changes of a viewer's layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer

# Of all events of a layer, these decide whether it can be registered, and its name in the boxes.
CHANGES = ("name", "scale", "translate", "units", "axis_labels", "data")


class LayerWatch:
    """Calls back when layers are added, removed, reordered or changed.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers.
    changed : callable
        Called with all layers, bottom first.
    """

    def __init__(self, viewer: ViewerModel, changed: Callable[[list[Layer]], None]) -> None:
        self._list = viewer.layers
        self._changed = changed
        self._layers: list[Layer] = []
        self.on = False

    def start(self) -> None:
        """Connect, and call back at once."""
        if not self.on:
            self.on = True
            for name in ("inserted", "removed", "reordered"):
                getattr(self._list.events, name).connect(self._listed)
            self._listed()

    def stop(self) -> None:
        """Disconnect."""
        if self.on:
            self.on = False
            for name in ("inserted", "removed", "reordered"):
                getattr(self._list.events, name).disconnect(self._listed)
            self._follow([])

    def _listed(self, event: Any = None) -> None:
        self._follow(list(self._list))
        self._changed(self._layers)

    def _altered(self, event: Any = None) -> None:
        self._changed(self._layers)

    def _follow(self, layers: list[Layer]) -> None:
        # Only what has changed: connecting is slow, and every panel follows every layer.
        before, now = set(self._layers), set(layers)
        for layer in before - now:
            for name in CHANGES:
                getattr(layer.events, name).disconnect(self._altered)
        for layer in now - before:
            for name in CHANGES:
                getattr(layer.events, name).connect(self._altered)
        self._layers = layers
