"""Where a registration starts, and the landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari.layers import Layer, Points
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QWidget

from ...registration.result import Result
from ..widgets.combo_box import Choice
from ..widgets.layer_box import LayerBox

STARTS = {
    "layer positions": None,
    "centres": "centres",
    "centres of mass": "moments",
    "landmarks": "landmarks",
    "corners aligned": "corners",
}
ASK = "saved transform…"
TIPS = {
    "layer positions": "Both images where they lie in the world",
    "centres": "The middle of the moving image on the middle of the fixed one",
    "centres of mass": "The centres of mass of the intensities on each other",
    "landmarks": "The best affine map of the landmarks below",
    "corners aligned": "Rows and columns on each other, whatever the layers' poses",
    ASK: "A transform file: .h5, .tfm, .txt, .mat, .xfm",
}


class StartBox(QWidget):
    """Where to start from, and corresponding points.

    Signals
    -------
    changed()
        Another start or other points were chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._results: dict[str, Result] = {}
        self._files: dict[str, Path] = {}
        self._title = next(iter(STARTS))
        self.box = Choice()
        self.box.activated.connect(self._picked)
        self.fixed_points = LayerBox((Points,), "none", "Points on the fixed image")
        self.moving_points = LayerBox((Points,), "none", "Points on the moving image, in the same order")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Start", self.box)
        form.addRow("Fixed landmarks", self.fixed_points)
        form.addRow("Moving landmarks", self.moving_points)
        for points in self.boxes:
            points.chosen.connect(self.changed)
        self._fill()

    @property
    def boxes(self) -> tuple[LayerBox, LayerBox]:
        """Fixed and moving landmarks."""
        return (self.fixed_points, self.moving_points)

    @property
    def title(self) -> str:
        """The chosen start as it is listed."""
        return self._title

    @property
    def start(self) -> str | Result | Path | None:
        """The chosen start as `register` takes it, or the file of a transform."""
        if self._title in STARTS:
            return STARTS[self._title]
        return self._files[self._title] if self._title in self._files else self._results[self._title]

    def choose(self, title: str) -> None:
        """Choose a start that is listed."""
        if self.box.findText(title) < 0 or title == ASK:
            raise ValueError(f"There is no start {title!r} in the list.")
        self._title = title
        self._fill()
        self.changed.emit()

    def choose_file(self, path: Path) -> None:
        """Start from a saved transform."""
        title = f"file {path.parent.name}/{path.name}"
        self._files[title] = path
        self._fill()
        self.choose(title)

    def kept(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {"title": self._title, "files": dict(self._files)}

    def restore(self, kept: dict[str, Any]) -> None:
        """Choose what was chosen before."""
        self._files = dict(kept["files"])
        self._fill()
        self.choose(kept["title"])

    def offer(self, layers: Iterable[Layer]) -> None:
        """Take note of the viewer's present layers."""
        layers = list(layers)
        for box in self.boxes:
            box.offer(layers)

    def offer_results(self, results: dict[str, Result]) -> None:
        """Take note of the earlier results."""
        self._results = results
        self._fill()

    def _fill(self) -> None:
        titles = [*STARTS, *reversed(self._results), *self._files, ASK]
        self.box.clear()
        self.box.addItems(titles)
        for row, title in enumerate(titles):
            tip: Any = TIPS.get(title, "An earlier result, carried on" if title in self._results else title)
            self.box.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
        self.box.setCurrentText(self._title)
        self.box.setToolTip(self._title)

    def _picked(self, row: int) -> None:
        if self.box.itemText(row) != ASK:
            self.choose(self.box.itemText(row))
            return
        name, _ = QFileDialog.getOpenFileName(
            self, "A saved transform", "", "Transforms (*.h5 *.json *.tfm *.txt *.mat *.xfm);;All files (*)"
        )
        if name:
            self.choose_file(Path(name))
        else:
            self._fill()
