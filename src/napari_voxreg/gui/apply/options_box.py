"""How transforms are applied: direction, grid, pixels, interpolation, background."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import QRegularExpression, Signal
from qtpy.QtGui import QRegularExpressionValidator
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLineEdit, QWidget

from ...registration.apply import DIRECTIONS, Background, Direction
from ...transforms import Interpolation
from ..preferences import preferences
from ..widgets.combo_box import SLIM, Choice, heading

GRID_TEXTS = ("target image", "fixed image", "moving image")
IMAGES: tuple[Interpolation, ...] = ("linear", "nearest", "cubic")
LABELS: tuple[Interpolation, ...] = ("nearest", "vote")
OWN = "background"
VALUE = rf"{OWN}|nan|-?\d+(\.\d*)?([eE]-?\d+)?"
NUMBERS = r"\s*(\d+(\.\d*)?|\.\d+)([\s,]+(\d+(\.\d*)?|\.\d+))*\s*"
TIPS = {
    "Direction": "moving → fixed brings what lies on the moving image onto the fixed one; fixed → moving the "
    "other way, through the inverse",
    "Grid": "Where warped images lie: on the grid of the image at which the direction ends, or another one",
    "Pixel size": "Of warped images, in world units: one number, or one for each axis; empty: as the grid",
    "Images": "Interpolation of images",
    "Labels": "Interpolation of labels: the nearest pixel, or a vote of those around, with smoother borders",
    "Outside": "Value outside an image: its background (transparent if pixels are floats), nan or a number",
}


class OptionsBox(QWidget):
    """Everything but what is applied to what.

    Signals
    -------
    changed()
        Something was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.direction, self.grid, self.images, self.labels, self.outside = (Choice() for _ in range(5))
        self.direction.addItems([direction.replace("->", "→") for direction in DIRECTIONS])
        self.images.addItems(IMAGES)
        self.labels.addItems(LABELS)
        self.outside.setEditable(True)
        self.outside.addItems([OWN, "nan", "0"])
        self.outside.setCurrentText(preferences().background)
        line = self.outside.lineEdit()
        assert line is not None  # it is editable
        line.setValidator(QRegularExpressionValidator(QRegularExpression(VALUE), self))
        self.pixel_size = QLineEdit()
        self.pixel_size.setPlaceholderText("as the grid")
        self.pixel_size.setMinimumWidth(SLIM)
        self.pixel_size.setValidator(QRegularExpressionValidator(QRegularExpression(NUMBERS), self))
        self.affine = QCheckBox("set the layer's affine, do not resample")
        self.affine.setToolTip(
            "The new layers have the pixels of the old ones, elsewhere; for affine results"
        )
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        boxes = (self.direction, self.grid, self.pixel_size, self.images, self.labels, self.outside)
        for (name, tip), box in zip(TIPS.items(), boxes, strict=True):
            box.setToolTip(tip)
            box.setAccessibleName(name)
            form.addRow(heading(name, box, tip), box)
        form.addRow(self.affine)
        self._layers: list[Layer] = []
        self._layer: Layer | None = None
        self._folder = False
        for choice in (self.direction, self.grid, self.images, self.labels, self.outside):
            choice.activated.connect(self.changed)
        self.grid.activated.connect(self._pick)
        self.pixel_size.textChanged.connect(self.changed)
        line.textChanged.connect(self.changed)
        self.affine.toggled.connect(self._follow)
        self.offer([])

    @property
    def grid_layer(self) -> Layer | None:
        """The layer whose grid is taken."""
        return self._layer

    @property
    def way(self) -> Direction:
        """The chosen direction."""
        return DIRECTIONS[self.direction.currentIndex()]

    def values(self) -> dict[str, Any]:
        """The choices as `LayerOptions` takes them; that of a layer's grid is missing."""
        row = self.grid.currentIndex()
        grids: tuple[Literal["fixed", "moving"] | None, ...] = (None, "fixed", "moving")
        return {
            "direction": self.way,
            "grid": grids[row] if row < len(grids) else None,
            "pixel_size": self._pixel_size(),
            "images": IMAGES[self.images.currentIndex()],
            "labels": LABELS[self.labels.currentIndex()],
            "background": self._background(),
            "resample": not (self.affine.isChecked() and self.affine.isEnabled()),
        }

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the grids of the viewer's images and labels, keeping the choice."""
        row = self.grid.currentIndex()
        self._layers = [layer for layer in layers if isinstance(layer, Image | Labels)][::-1]
        self.grid.clear()
        self.grid.addItems([*GRID_TEXTS, *(layer.name for layer in self._layers)])
        rows = [k for k, layer in enumerate(self._layers, start=len(GRID_TEXTS)) if layer is self._layer]
        if self._layer is not None:
            row = rows[0] if rows else 0
            self._layer = self._layer if rows else None
        self.grid.setCurrentIndex(max(row, 0))

    def choose_grid(self, layer: Layer) -> None:
        """Take the grid of a layer of the list."""
        row = next(k for k, one in enumerate(self._layers) if one is layer)
        self.grid.setCurrentIndex(row + len(GRID_TEXTS))
        self._pick()

    def allow(self, folder: bool, affine: bool) -> None:
        """Enable what can be chosen for a folder, and where the transform may be affine."""
        self.affine.setEnabled(affine and not folder)
        self.affine.setVisible(not folder)
        self._folder = folder
        self._follow()

    def reason(self) -> str:
        """What is chosen wrongly; empty if nothing is."""
        if not self.pixel_size.hasAcceptableInput() and self.pixel_size.text():
            return "Give the pixel size as one number, or one for each axis."
        if not re.fullmatch(VALUE, self.outside.currentText()):
            return f"Outside takes {OWN}, nan or a number."
        return ""

    def _pick(self) -> None:
        row = self.grid.currentIndex() - len(GRID_TEXTS)
        self._layer = self._layers[row] if row >= 0 else None
        self.changed.emit()

    def _follow(self) -> None:
        """Disable what does not matter without resampling."""
        resampled = not (self.affine.isChecked() and self.affine.isEnabled())
        for box in (self.grid, self.pixel_size, self.images, self.outside):
            box.setEnabled(resampled)
        self.labels.setEnabled(resampled and not self._folder)  # files do not say that they hold labels

    def _pixel_size(self) -> float | tuple[float, ...] | None:
        numbers = tuple(float(text) for text in re.split(r"[\s,]+", self.pixel_size.text().strip()) if text)
        return numbers[0] if len(numbers) == 1 else numbers or None

    def _background(self) -> Background:
        text = self.outside.currentText()
        return "own" if text == OWN else float(text)
