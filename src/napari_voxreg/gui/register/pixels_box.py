"""Which pixels of an image are registered: a colour channel, a level of a multiscale layer."""

from __future__ import annotations

import math

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtWidgets import QFormLayout, QWidget

from ..layers.snapshots import LayerSnapshot
from ..widgets.combo_box import Choice, heading

CHANNELS: dict[str, int | str] = {"luminance": "luminance", "0 (red)": 0, "1 (green)": 1, "2 (blue)": 2}
ENOUGH = 2**22  # pixels of a level; finer ones are not chosen by default


class PixelsBox(QWidget):
    """Channel and level, each shown only if the chosen layers have several."""

    def __init__(self) -> None:
        super().__init__()
        self._shapes: list[tuple[int, ...]] = []
        self.channel_box, self.level_box = Choice(), Choice()
        self.channel_box.addItems(list(CHANNELS))
        self.level_box.setToolTip("The level that is registered; the result is shown at full resolution")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._labels = {
            self.channel_box: heading("Colour", self.channel_box, "The channel to register; all are warped"),
            self.level_box: heading("Resolution", self.level_box, "The level to register"),
        }
        for box, label in self._labels.items():
            form.addRow(label, box)
        self.offer(None, None)

    @property
    def channel(self) -> int | str | None:
        """As `register` takes it."""
        return CHANNELS[self.channel_box.currentText()] if self.coloured else None

    def choose(self, channel: int | str) -> None:
        """Choose the channel to register, or "luminance"."""
        self.channel_box.setCurrentIndex(list(CHANNELS.values()).index(channel))

    def offer(self, fixed: Layer | None, moving: Layer | None) -> None:
        """Update for the chosen layers."""
        layers = [layer for layer in (fixed, moving) if isinstance(layer, Image)]
        self.coloured = any(layer.rgb for layer in layers)
        shapes = next((list(map(tuple, layer.level_shapes)) for layer in layers if layer.multiscale), [])
        if shapes != self._shapes:
            self._shapes = shapes
            self.level_box.clear()
            self.level_box.addItems([" × ".join(map(str, shape)) for shape in shapes])
            fitting = [k for k, shape in enumerate(shapes) if math.prod(shape) <= ENOUGH]
            self.level_box.setCurrentIndex(fitting[0] if fitting else len(shapes) - 1)
        for box, visible in ((self.channel_box, self.coloured), (self.level_box, bool(shapes))):
            box.setVisible(visible)
            self._labels[box].setVisible(visible)
        self.setVisible(self.coloured or bool(shapes))

    def levels(self, fixed: LayerSnapshot, moving: LayerSnapshot) -> tuple[int, int]:
        """The levels of both layers to register, with pixels as similar in size as possible."""
        chosen = max(self.level_box.currentIndex(), 0)
        if len(fixed.levels) > 1:
            return chosen, _nearest_level(moving, fixed.grid(chosen).in_units(moving.grid().units).spacing)
        return 0, chosen if len(moving.levels) > 1 else 0


def _nearest_level(image: LayerSnapshot, spacing: np.ndarray) -> int:
    """The level whose pixels come closest to a size."""
    sizes = [math.prod(image.grid(level).spacing) for level in range(len(image.levels))]
    return int(np.argmin(np.abs(np.log(np.array(sizes) / math.prod(spacing)))))
