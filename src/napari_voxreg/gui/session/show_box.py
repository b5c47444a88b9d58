"""Which layers of a result are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from qtpy.QtCore import QRegularExpression, Signal
from qtpy.QtGui import QRegularExpressionValidator
from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget

from ..layers.result_layers import BACKGROUND, KINDS, MOVING, ON_REQUEST, OPAQUE, Show
from ..preferences import preferences
from ..widgets.combo_box import Choice, heading

TEXTS = {
    "warped": ("warped image", "The moving image on the fixed grid, all channels"),
    "arrows": ("arrows", "Where each pixel is sampled from: colour tells how far away, no arrow is long"),
    "grid": ("deformation grid", "A regular grid, deformed"),
    "magnitude": ("displacement", "How far each pixel is displaced"),
    "jacobian": ("Jacobian", "Local change of volume: red grows, blue shrinks, yellow is folding"),
    "ssim": ("SSIM map", "Local structural similarity, with its values before and after"),
    "extras": ("network details", "Further outputs of a network: velocity, affine map, steps, saliency"),
    "strain": (
        "strain",
        "Largest principal Green-Lagrange strain, the largest eigenvalue of (FᵀF - I)/2 with F = dT/dx: "
        "red elongates, blue shortens in every direction",
    ),
    "curl": (
        "curl",
        "Local rotation, twice the sine of its angle. In 2D red is counter-clockwise and blue clockwise; "
        "in volumes it is the length of the curl",
    ),
    "consistency": (
        "inverse error",
        "Inverse-consistency error: by how much mapping to the moving image and back misses",
    ),
}
OUTSIDE = (BACKGROUND, "nan", "0")
VALUE = rf"{BACKGROUND}|nan|-?\d+(\.\d*)?"
FIRST = Show(arrows=False, ssim=False)  # whether the images match is seen best without drawings over them


class ShowBox(QWidget):
    """A check box for each kind of result layer, in two columns.

    Parameters
    ----------
    more : bool
        Whether there are also boxes for what is made on request only.

    Signals
    -------
    toggled(kind, on)
        The user has checked or unchecked a kind, or a checked kind is to be shown in another way.
    """

    toggled = Signal(str, bool)

    def __init__(self, more: bool = False) -> None:
        super().__init__()
        kinds = [kind for kind in KINDS if more or kind not in ON_REQUEST]
        self._boxes: dict[str, QCheckBox] = {}
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for k, kind in enumerate(kinds):
            title, tip = TEXTS[kind]
            box = self._boxes[kind] = QCheckBox(title)
            box.setToolTip(tip)
            box.clicked.connect(lambda on, kind=kind: self.toggled.emit(kind, on))
            layout.addWidget(box, k // 2, k % 2)
        self.affine = QCheckBox("with affine part")
        self.affine.setToolTip(
            "Arrows, displacement, Jacobian, strain and curl of the whole motion, not of deformation alone"
        )
        self.affine.clicked.connect(self._again)
        layout.addWidget(self.affine, len(kinds) // 2, len(kinds) % 2)
        self.outside = Choice()
        self.outside.setEditable(True)
        self.outside.addItems(OUTSIDE)
        tip = "Outside the moving image: its background (transparent for floating-point pixels), or a number"
        line = self.outside.lineEdit()
        assert line is not None  # it is editable
        line.setValidator(QRegularExpressionValidator(QRegularExpression(VALUE), self))
        self.outside.setToolTip(tip)
        self.outside.textActivated.connect(lambda text: self._outside())
        line.editingFinished.connect(self._outside)
        self._last = BACKGROUND
        row = len(kinds) // 2 + 1
        layout.addWidget(heading("Outside", self.outside, tip), row, 0)
        layout.addWidget(self.outside, row, 1)
        self.choose(replace(FIRST, outside=preferences().background))

    @property
    def show_choice(self) -> Show:
        """The checked layers."""
        checked = {kind: box.isChecked() for kind, box in self._boxes.items()}
        return Show(**checked, affine=self.affine.isChecked(), outside=self._last)

    def choose(self, show: Show) -> None:
        """Check these layers only."""
        for kind, box in self._boxes.items():
            box.setChecked(getattr(show, kind))
        self.affine.setChecked(show.affine)
        self._last = show.outside
        self.outside.setCurrentText(show.outside)

    def follow_map(self, kind: str, on: bool) -> None:
        """Check or uncheck a map that was shown or hidden elsewhere; others stay chosen for the next run."""
        if kind in OPAQUE and kind in self._boxes:
            self._boxes[kind].setChecked(on)

    def offer(self, kinds: Iterable[str]) -> None:
        """Enable some kinds only."""
        kinds = tuple(kinds)
        for kind, box in self._boxes.items():
            box.setEnabled(kind in kinds)

    def _outside(self) -> None:
        """Take another value outside the image, or keep the last one if it is none."""
        text = self.outside.currentText()
        if text == self._last:
            return
        if re.fullmatch(VALUE, text):
            self._last = text
            if self._boxes["warped"].isChecked():
                self.toggled.emit("warped", True)
        else:
            self.outside.setCurrentText(self._last)

    def _again(self) -> None:
        for kind in MOVING:
            if kind in self._boxes and self._boxes[kind].isChecked():
                self.toggled.emit(kind, True)
