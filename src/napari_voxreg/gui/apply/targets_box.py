"""To what transforms are applied: checked layers, or a folder of files."""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from ..widgets.combo_box import Choice, heading
from ..widgets.layers.layer_list import LayerList
from ..widgets.source_box import PathLine

LAYERS, FOLDER = "layers", "a folder of files"


class TargetsBox(QWidget):
    """A list of all layers with check boxes, or two folders.

    Signals
    -------
    changed()
        Other layers or folders were chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kind = Choice()
        self.kind.addItems([LAYERS, FOLDER])
        tip = "Layers of this viewer, or all images and points in a folder"
        self.kind.setToolTip(tip)
        self.kind.setAccessibleName("Apply to")
        self.list = LayerList(
            "Layers to which the transform is applied",
            "Each checked layer gives a new layer; none is changed",
        )
        self.source, self.output = (
            PathLine("From folder", "with images and points"),
            PathLine("Into folder", "a new or empty folder"),
        )
        self._folders = QWidget()
        form = QFormLayout(self._folders)
        form.setContentsMargins(0, 0, 0, 0)
        tips = ("Images and points (CSV, Slicer, elastix)", "Gets files of the same names")
        for name, line, text in zip(("From", "Into"), (self.source, self.output), tips, strict=True):
            form.addRow(heading(name, line, text), line)
            line.changed.connect(self.changed)
        self._folders.hide()
        row = QFormLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addRow(heading("Apply to", self.kind, tip), self.kind)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.list)
        layout.addWidget(self._folders)
        self.kind.activated.connect(self._turn)
        self.list.altered.connect(self.changed)

    @property
    def folder(self) -> bool:
        """Whether a folder is chosen, and not layers."""
        return self.kind.currentText() == FOLDER

    @property
    def layers(self) -> list[Layer]:
        """The checked layers, the topmost first."""
        return self.list.layers

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer all layers, the topmost first, keeping the checks."""
        self.list.offer(layers)

    def check(self, layers: Iterable[Layer]) -> None:
        """Check these layers only."""
        self.kind.setCurrentText(LAYERS)
        self.list.check(layers)
        self._turn()

    def choose_folder(self) -> None:
        """Apply to a folder."""
        self.kind.setCurrentText(FOLDER)
        self._turn()

    def reason(self) -> str:
        """Why there is nothing to apply to; empty if there is."""
        if not self.folder:
            return "" if self.layers else "Check the layers to which the transform is applied."
        if self.source.path is None or not self.source.path.is_dir():
            return "Choose a folder with images or tables of points."
        return "" if self.output.path is not None else "Choose the folder for the results."

    def _turn(self) -> None:
        self.list.setVisible(not self.folder)
        self._folders.setVisible(self.folder)
        self.changed.emit()
