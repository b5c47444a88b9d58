"""The images and Points layers of the Landmarks panel."""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Image, Layer, Points
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from ..layers.guess import common_ndim, guess_pair, is_result
from ..layers.point_files import LANDMARKS
from ..widgets.combo_box import heading
from ..widgets.layers.layer_box import LayerBox

MOVING_POINTS = "Moving points"
WIDEST_LABEL = f"{MOVING_POINTS}    "  # the theme's letters are wider than those that are measured


class LayersBox(QWidget):
    """Fixed and moving image, and a Points layer for each.

    Until the user chooses, the newest pair is guessed, and the newest layers that hold landmarks. An image
    that is opened takes the place of one that has gone.

    Signals
    -------
    changed()
        Another layer was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._settled = self._guessing = False
        self._known: list[Layer] = []
        self.fixed = LayerBox((Image,), "choose", "Fixed image")
        self.moving = LayerBox((Image,), "choose", "Moving image")
        self.fixed_points = LayerBox((Points,), "new layer", "Landmarks on the fixed image")
        self.moving_points = LayerBox((Points,), "new layer", "Landmarks on the moving image")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        points = "A Points layer; made if there is none"
        for text, box, tip in (
            ("Fixed", self.fixed, "The image that stays"),
            ("Moving", self.moving, "The image that is brought onto it"),
            ("Fixed points", self.fixed_points, points),
            (MOVING_POINTS, self.moving_points, points),
        ):
            form.addRow(heading(text, box, tip, WIDEST_LABEL), box)
        for box in self.boxes:
            box.chosen.connect(self._chosen)

    @property
    def boxes(self) -> tuple[LayerBox, LayerBox, LayerBox, LayerBox]:
        """Fixed and moving image, fixed and moving points."""
        return self.fixed, self.moving, self.fixed_points, self.moving_points

    @property
    def pair(self) -> tuple[Layer, Layer] | None:
        """The two images, if both are chosen."""
        fixed, moving = self.fixed.layer, self.moving.layer
        return None if fixed is None or moving is None else (fixed, moving)

    def reason(self) -> str:
        """Why no landmarks can be placed; empty if they can."""
        pair, points = self.pair, (self.fixed_points.layer, self.moving_points.layer)
        if pair is None:
            return "Choose a fixed and a moving image."
        if pair[0] is pair[1]:
            return "Fixed and moving are the same layer; choose two."
        if points[0] is not None and points[0] is points[1]:
            return "Fixed and moving landmarks are the same layer; choose two."
        try:
            common_ndim(*pair)
        except ValueError as error:
            return str(error)
        return ""

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's current layers."""
        given = [layer for layer in layers if not is_result(layer)]
        before = [box.layer for box in self.boxes]
        self._guessing = True  # a choice that ends with its layer is not the user's
        for box in self.boxes:
            box.offer(given)
        images = [layer for layer in given if isinstance(layer, Image)]
        if self.pair is None:
            self._settled = False
        points = self.fixed_points.layer, self.moving_points.layer
        arrived = [layer for layer in images if not any(layer is one for one in self._known)]
        self._known = images
        places = self.fixed, self.moving
        kept = [box.layer for box in places if box.layer is not None]
        if not self._settled and (points == (None, None) or (arrived and not kept)):
            for box, layer in zip(places, guess_pair(images), strict=True):
                if box.layer is not layer:
                    box.choose(layer)
        elif arrived and len(kept) == 1:  # whose landmarks are there
            next(box for box in places if box.layer is None).choose(arrived[-1])
        for box, which in ((self.fixed_points, "fixed"), (self.moving_points, "moving")):
            known = [one for one in given if one.metadata.get(LANDMARKS) == which and isinstance(one, Points)]
            if box.layer is None and known and not any(one is known[-1] for one in before):
                box.choose(known[-1])
        self._guessing = False
        if any(box.layer is not one for box, one in zip(self.boxes, before, strict=True)):
            self.changed.emit()

    def choose_points(self, fixed: Points, moving: Points) -> None:
        """Choose two Points layers of the list."""
        self._guessing = True
        self.fixed_points.choose(fixed)
        self.moving_points.choose(moving)
        self._guessing = False
        self.changed.emit()

    def _chosen(self) -> None:
        if not self._guessing:
            self._settled = True
            self.changed.emit()
