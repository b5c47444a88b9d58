"""Which layers of a result are shown."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget

from ..layers.result_layers import KINDS, Show

TEXTS = {
    "warped": ("warped image", "The moving image on the fixed grid, all channels"),
    "arrows": ("arrows", "Where each pixel is sampled from: colour tells how far away, no arrow is long"),
    "grid": ("deformation grid", "A regular grid, deformed"),
    "magnitude": ("displacement", "How far each pixel is displaced"),
    "jacobian": ("Jacobian", "Local change of volume: red grows, blue shrinks, yellow is folding"),
    "ssim": ("SSIM map", "Local structural similarity, with its values before and after"),
    "extras": ("network details", "Further outputs of a network: velocity, affine map, steps, saliency"),
}
FIRST = Show(arrows=False, ssim=False)  # whether the images match is seen best without drawings over them


class ShowBox(QWidget):
    """A check box for each kind of result layer, in two columns.

    Signals
    -------
    toggled(kind, on)
        The user has checked or unchecked a kind, or a checked kind is to be shown in another way.
    """

    toggled = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__()
        self._boxes: dict[str, QCheckBox] = {}
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for k, kind in enumerate(KINDS):
            title, tip = TEXTS[kind]
            box = self._boxes[kind] = QCheckBox(title)
            box.setToolTip(tip)
            box.clicked.connect(lambda on, kind=kind: self.toggled.emit(kind, on))
            layout.addWidget(box, k // 2, k % 2)
        self.affine = QCheckBox("with affine part")
        self.affine.setToolTip("Displacement and Jacobian of the whole motion, not of the deformation alone")
        self.affine.clicked.connect(self._again)
        layout.addWidget(self.affine, len(KINDS) // 2, len(KINDS) % 2)
        self.choose(FIRST)

    @property
    def show_choice(self) -> Show:
        """The checked layers."""
        return Show(
            **{kind: box.isChecked() for kind, box in self._boxes.items()}, affine=self.affine.isChecked()
        )

    def choose(self, show: Show) -> None:
        """Check these layers only."""
        for kind, box in self._boxes.items():
            box.setChecked(getattr(show, kind))
        self.affine.setChecked(show.affine)

    def offer(self, kinds: Iterable[str]) -> None:
        """Enable some kinds only."""
        kinds = tuple(kinds)
        for kind, box in self._boxes.items():
            box.setEnabled(kind in kinds)

    def _again(self) -> None:
        for kind in ("magnitude", "jacobian"):
            if self._boxes[kind].isChecked():
                self.toggled.emit(kind, True)
