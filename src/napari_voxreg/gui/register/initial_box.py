"""The initial transform of a registration, and the landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from weakref import ref

from napari.components import ViewerModel
from napari.layers import Layer, Points
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QWidget

from ...registration.result import Result
from ...transforms import Affine
from ..by_hand.pose import HandPose
from ..by_hand.section import PoseSection
from ..session.chosen import Fitted
from ..session.files import TRANSFORMS
from ..widgets.combo_box import Choice, heading
from ..widgets.fold import Fold
from ..widgets.layers.layer_box import LayerBox
from .pair_box import NOTHING, Pair

INITIAL = {
    "layer positions": None,
    "centres": "centres",
    "centres of mass": "moments",
    "landmarks": "landmarks",
    "corners aligned": "corners",
}
SAVED = "saved transform…"
BY_HAND = "by hand"
TIPS = {
    "layer positions": "Both images at their current positions in the world",
    "centres": "Aligns the centres of both images",
    "centres of mass": "Aligns the centres of mass of the intensities",
    "landmarks": "The best affine map of the landmarks below",
    "corners aligned": "Aligns the first pixels and the array axes, whatever the layers' poses",
    BY_HAND: "The pose that was set by hand",
    SAVED: "A transform file: .h5, .tfm, .txt, .mat, .xfm",
}


class InitialBox(QWidget):
    """The initial transform, the pose by hand, and corresponding points.

    A transform is chosen for a pair, and not for the next one; it comes back with its pair. A rule, such as
    centres, stays.

    Parameters
    ----------
    pose : HandPose
    viewer : napari viewer

    Signals
    -------
    changed()
        Another initial transform or other landmarks were chosen.
    """

    changed = Signal()

    def __init__(self, pose: HandPose, viewer: ViewerModel) -> None:
        super().__init__()
        self.pose = pose
        self.by_hand = PoseSection(pose, viewer)
        self._results: dict[str, Result] = {}
        self._files: dict[str, Path] = {}
        self._fits: dict[str, Fitted] = {}
        self._title = next(iter(INITIAL))
        self._pair = NOTHING
        self._elsewhere: dict[Pair, tuple[str, dict[str, Fitted]]] = {}  # choice and fits of other pairs
        self.box = Choice()
        self.box.activated.connect(self._picked)
        self.fixed_points = LayerBox((Points,), "none", "Points on the fixed image")
        self.moving_points = LayerBox((Points,), "none", "Points on the moving image, in the same order")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(heading("Transform", self.box, "From where the registration starts"), self.box)
        self.hand_fold = Fold(
            "Pose by hand", self.by_hand, "Move, rotate, scale or flip the moving image yourself"
        )
        form.addRow(self.hand_fold)
        pose.changed.connect(self._posed)
        tip = "Corresponding points of both images, in the same order; they also decide the verdict"
        form.addRow(heading("Fixed landmarks", self.fixed_points, tip), self.fixed_points)
        form.addRow(heading("Moving landmarks", self.moving_points, tip), self.moving_points)
        for points in self.boxes:
            points.chosen.connect(self.changed)
        self._fill()

    @property
    def boxes(self) -> tuple[LayerBox, LayerBox]:
        """Fixed and moving landmarks."""
        return (self.fixed_points, self.moving_points)

    @property
    def title(self) -> str:
        """The chosen initial transform as it is listed."""
        return self._title

    @property
    def initial(self) -> str | Result | Fitted | Path | None:
        """The chosen initial transform as `register` takes it, a fitted one, or the file of one."""
        if self._title in INITIAL:
            return INITIAL[self._title]
        if self._title in self._fits:
            return self._fits[self._title]
        return self._files[self._title] if self._title in self._files else self._results[self._title]

    def choose(self, title: str) -> None:
        """Choose an initial transform of the list."""
        if self.box.findText(title) < 0 or title == SAVED:
            raise ValueError(
                f"There is no initial transform {title!r} in the list; choose one of its entries."
            )
        self._title = title
        if title != BY_HAND:
            self.pose.end()
            self.pose.start = self._start()
        self._fill()
        self.changed.emit()

    def choose_file(self, path: Path) -> None:
        """Choose a saved transform."""
        title = f"file {path.parent.name}/{path.name}"
        self._files[title] = path
        self._fill()
        self.choose(title)

    def choose_fit(self, fitted: Fitted) -> None:
        """Choose a transform that was fitted to landmarks, or a pose by hand."""
        if fitted.title == BY_HAND and isinstance(fitted.transform, Affine):
            self.pose.take(fitted.transform)
            return
        self._fits[fitted.title] = fitted
        self._fill()
        self.choose(fitted.title)

    def choose_points(self, points: tuple[Layer, Layer]) -> None:
        """Choose the landmarks of the fixed and the moving image."""
        for box, layer in zip(self.boxes, points, strict=True):
            box.choose(layer)

    def kept(self) -> dict[str, Any]:
        """The choices, for `restore`."""
        pairs = {**self._elsewhere, self._pair: (self._title, dict(self._fits))}
        return {"rule": self._rule, "files": dict(self._files), "pairs": pairs}

    def restore(self, kept: dict[str, Any]) -> None:
        """Restore earlier choices, as far as they are about this pair."""
        self._files, self._elsewhere = dict(kept["files"]), dict(kept["pairs"])
        title, self._fits = self._elsewhere.pop(self._pair, (kept["rule"], {}))
        if BY_HAND in self._fits:
            self.choose_fit(self._fits[BY_HAND])
        self._fill()
        self.choose(title)

    def set_pair(self, fixed: Layer | None, moving: Layer | None) -> None:
        """Choose for this pair; the pose by hand of another one is forgotten."""
        self.pose.set_pair(fixed, moving)
        if self.by_hand.isVisible():
            self.by_hand.offer()
        pair = fixed and ref(fixed), moving and ref(moving)
        if pair != self._pair:
            self._change_pair(pair)

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's current layers."""
        layers = list(layers)
        for box in self.boxes:
            box.offer(layers)

    def offer_results(self, results: dict[str, Result]) -> None:
        """Offer the earlier results."""
        self._results = results
        self._fill()

    @property
    def _rule(self) -> str:
        """The title that holds for any pair."""
        return self._title if self._title in INITIAL else next(iter(INITIAL))

    def _change_pair(self, pair: Pair) -> None:
        """Choose what was chosen for another pair, or none of the transforms."""
        alive = [key for key in self._elsewhere if all(one is not None and one() is not None for one in key)]
        there = {key: self._elsewhere[key] for key in alive}
        title = self._title  # without a pair, it is for the first that comes
        if None not in self._pair:
            there[self._pair] = title, self._fits
            title = self._rule
        known, self._fits = there.pop(pair, (title, {}))
        self._elsewhere, self._pair = there, pair
        self._fill()
        if known not in INITIAL and self.box.findText(known) >= 0:
            title = known
        if title != self._title:
            self.choose(title)

    def _start(self) -> Affine | None:
        """The chosen transform, if a pose by hand can start from it."""
        chosen = self.initial
        if not isinstance(chosen, Result | Fitted) or self.pose.reason():
            return None
        transform, frame = chosen.transform, self.pose.frame
        known = transform.linear and chosen.fixed.units == frame.fixed.units
        return Affine(transform.matrix) if known and transform.matrix is not None else None

    def _posed(self) -> None:
        """The pose by hand is the initial transform, until it is reset."""
        if self.pose.transform is None:
            self._fits.pop(BY_HAND, None)
            if self._title == BY_HAND:
                self.choose(next(iter(INITIAL)))
            return
        self._fits[BY_HAND] = Fitted(BY_HAND, self.pose.transform, self.pose.frame.fixed)
        if self._title != BY_HAND:
            self._fill()
            self.choose(BY_HAND)

    def _fill(self) -> None:
        titles = [*INITIAL, *reversed(self._results), *self._fits, *self._files, SAVED]
        self.box.clear()
        self.box.addItems(titles)
        for row, title in enumerate(titles):
            other = "Fitted to landmarks" if title in self._fits else title
            tip: Any = TIPS.get(title, "An earlier result" if title in self._results else other)
            self.box.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
        self.box.setCurrentText(self._title)
        self.box.setToolTip(self._title)

    def _picked(self, row: int) -> None:
        title = self.box.itemText(row)
        if title == BY_HAND:
            self.pose.show()
        if title != SAVED:
            self.choose(title)
            return
        name, _ = QFileDialog.getOpenFileName(self, "A saved transform", "", TRANSFORMS)
        if name:
            self.choose_file(Path(name))
        else:
            self._fill()
