"""Which of the user's layers are hidden for a while, and shown again exactly as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari.layers import Layer


class Visibility:
    """Shows and hides layers on behalf of several modes.

    Parameters
    ----------
    order : sequence of str
        The modes, that with precedence last.

    Attributes
    ----------
    wishes : dict
        For each mode, which layers it shows or hides.
    """

    def __init__(self, order: Sequence[str]) -> None:
        self._order = order
        self.wishes: dict[str, Mapping[Layer, bool]] = {}
        self._before: dict[Layer, bool] = {}

    def wish(self, mode: str, layers: Mapping[Layer, bool]) -> None:
        """Have a mode show and hide these layers, and no others; none ends the mode."""
        if layers:
            self.wishes[mode] = dict(layers)
        else:
            self.wishes.pop(mode, None)
        wanted: dict[Layer, bool] = {}
        for one in sorted(self.wishes, key=self._order.index):
            wanted |= self.wishes[one]
        for layer in [layer for layer in self._before if layer not in wanted]:
            layer.visible = self._before.pop(layer)
        for layer, visible in wanted.items():
            self._before.setdefault(layer, layer.visible)
            layer.visible = visible
