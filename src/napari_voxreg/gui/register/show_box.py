"""Which result layers are added."""

from __future__ import annotations

from dataclasses import fields

from qtpy.QtWidgets import QCheckBox, QGridLayout, QWidget

from ..layers.result_layers import Show

TEXTS = {
    "warped": ("warped image", "The moving image on the fixed grid, all channels"),
    "arrows": ("arrows", "Where each pixel is sampled from, coloured by distance"),
    "grid": ("deformation grid", "A regular grid, deformed"),
    "magnitude": ("flow magnitude", "How far each pixel is displaced"),
    "jacobian": ("Jacobian", "Local change of volume: red grows, blue shrinks, yellow is folding"),
    "ssim": ("SSIM map", "Local structural similarity, with its values before and after"),
    "extras": ("network details", "Further outputs of a network: velocity, affine map, steps, saliency"),
}


class ShowBox(QWidget):
    """A check box for each kind of result layer, in two columns."""

    def __init__(self) -> None:
        super().__init__()
        self._boxes: dict[str, QCheckBox] = {}
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for k, field in enumerate(fields(Show)):
            title, tip = TEXTS[field.name]
            box = self._boxes[field.name] = QCheckBox(title)
            box.setToolTip(tip)
            layout.addWidget(box, k // 2, k % 2)
        self.choose(Show())

    @property
    def show_choice(self) -> Show:
        """The checked layers."""
        return Show(**{name: box.isChecked() for name, box in self._boxes.items()})

    def choose(self, show: Show) -> None:
        """Check these layers only."""
        for name, box in self._boxes.items():
            box.setChecked(getattr(show, name))
