"""The layers to register: fixed and moving, with a mask each."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import ref

from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QWidget

from ..layers.guess import guess_pair, is_result, named_pair
from ..widgets.combo_box import heading
from ..widgets.layers.layer_box import LayerBox

Pair = tuple[ref[Layer] | None, ref[Layer] | None]
NOTHING: Pair = (None, None)


class PairBox(QWidget):
    """Boxes for the fixed and the moving image and their masks.

    Until the user chooses, a pair is guessed, and gives way to a newer one: two images that are named fixed
    and moving (a sample), or any two that have arrived since. Result layers are never guessed.

    Attributes
    ----------
    settled : bool
        Whether the user has chosen, and nothing is guessed any more.

    Signals
    -------
    changed()
        Another layer was chosen.
    dropped(box, paths)
        Files were dropped on the fixed or the moving box.
    """

    changed = Signal()
    dropped = Signal(object, list)

    def __init__(self) -> None:
        super().__init__()
        self.settled = False
        self._guessing = False
        self._known: list[Layer] = []
        self._guessed_from: list[Layer] = []
        self._passed: list[Layer] = []  # never guessed
        self.fixed = LayerBox((Image,), "choose, or drop a file", "Fixed image", drops=True)
        self.moving = LayerBox((Image,), "choose, or drop a file", "Moving image", drops=True)
        self.fixed_mask = LayerBox((Labels, Shapes, Image), "none", "Mask of the fixed image")
        self.moving_mask = LayerBox((Labels, Shapes, Image), "none", "Mask of the moving image")
        masks = QHBoxLayout()
        masks.addWidget(self.fixed_mask, 1)
        masks.addWidget(self.moving_mask, 1)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(heading("Fixed", self.fixed, "The image that stays"), self.fixed)
        form.addRow(
            heading("Moving", self.moving, "The image that is warped onto the fixed one"), self.moving
        )
        tip = "Only pixels under a mask count; for the fixed (left) and the moving image (right)"
        form.addRow(heading("Masks", self.fixed_mask, tip), masks)
        for box in (self.fixed, self.moving):
            box.chosen.connect(self._settle)
            box.dropped.connect(lambda paths, box=box: self.dropped.emit(box, paths))
        for box in (self.fixed_mask, self.moving_mask):
            box.chosen.connect(self.changed)

    @property
    def boxes(self) -> tuple[LayerBox, ...]:
        """Fixed, moving, fixed mask, moving mask."""
        return (self.fixed, self.moving, self.fixed_mask, self.moving_mask)

    @property
    def references(self) -> Pair:
        """The chosen pair, fixed and moving, which may go."""
        fixed, moving = self.fixed.layer, self.moving.layer
        return fixed and ref(fixed), moving and ref(moving)

    def choose_fixed(self, layer: Layer | None) -> None:
        """Choose the fixed image; the two change places if it was the moving one."""
        self._choose_one(self.fixed, self.moving, layer)

    def choose_moving(self, layer: Layer | None) -> None:
        """Choose the moving image; the two change places if it was the fixed one."""
        self._choose_one(self.moving, self.fixed, layer)

    def clear(self) -> None:
        """Choose no pair; only images that arrive from now on are guessed, until the user chooses."""
        for box in self.boxes:
            box.choose(None)
        self.settled = False
        self._passed = [layer for layer in self._known if isinstance(layer, Image)]

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's current layers."""
        layers = list(layers)
        new = [layer for layer in layers if not any(layer is known for known in self._known)]
        self._known = layers
        self._guessing = True  # a choice that changes as its layer is removed is not the user's
        for box in self.boxes:
            box.offer(layers)
        images = [layer for layer in layers if isinstance(layer, Image) and not is_result(layer)]
        arrived = [layer for layer in images if any(layer is n for n in new)]
        self._passed = [layer for layer in self._passed if any(layer is there for there in images)]
        images = [layer for layer in images if not any(layer is passed for passed in self._passed)]
        if self.fixed.layer is None and self.moving.layer is None:
            self.settled = False
        if self.settled:
            self._fill(arrived)
        else:
            self._guess(images, arrived)
        self._guessing = False

    def _choose_one(self, box: LayerBox, other: LayerBox, layer: Layer | None) -> None:
        if isinstance(layer, Image):
            before = box.layer
            box.choose(layer)
            if other.layer is layer:
                other.choose(before)

    def _guess(self, images: list[Layer], arrived: list[Layer]) -> None:
        """Choose a pair if there is none, or if a newer one has arrived."""
        named = named_pair(images) or ()
        complete = self.fixed.layer is not None and self.moving.layer is not None
        newer = [layer for layer in images if not any(layer is known for known in self._guessed_from)]
        if complete and any(layer is one for layer in arrived for one in named):
            newer = images
        if complete and len(newer) < 2:
            return
        fixed, moving = guess_pair(newer if complete else images)
        if fixed is not None and moving is not None:
            self._guessed_from = images
        self.fixed.choose(fixed)
        self.moving.choose(moving)

    def _fill(self, arrived: list[Layer]) -> None:
        """Choose an image that has just arrived where one is missing."""
        for box, other in ((self.fixed, self.moving), (self.moving, self.fixed)):
            if box.layer is None:
                fitting = [layer for layer in arrived if layer is not other.layer]
                if fitting:
                    box.choose(fitting[-1])

    def _settle(self) -> None:
        if not self._guessing:
            self.settled, self._passed = True, []
        self.changed.emit()
