"""What a transform file of another program does not state itself: its format, and its two images."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from ...io.images import MEDICAL, PLAIN, TIFF
from ...io.transforms import FORMATS, needs_more
from ..widgets.combo_box import Choice, heading
from ..widgets.source_box import PathLine

CONTENT = "as its content shows"
IMAGES = f"Images ({' '.join(f'*{ending}' for ending in (*MEDICAL, *TIFF, *PLAIN))});;All files (*)"
TIP = "For a bare matrix, whose meaning depends on the program that wrote it"
FIXED = "The file of its fixed image; FSL's matrices need both"
MOVING = "The file of its moving image; FSL's matrices need both"


class ForeignBox(QWidget):
    """Format, fixed and moving image of the transform files.

    Signals
    -------
    changed()
        Something was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kind = Choice()
        self.kind.addItem(CONTENT, None)
        for name, one in FORMATS.items():
            self.kind.addItem(f"{name}: {one.title}", name)
        self.fixed, self.moving = (
            PathLine(f"{name} image of the transform file", "needed by FSL", IMAGES)
            for name in ("Fixed", "Moving")
        )
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.kind.setToolTip(TIP)
        self.kind.setAccessibleName("Format of the transform file")
        form.addRow(heading("Format", self.kind, TIP), self.kind)
        for name, line, tip in (("Fixed", self.fixed, FIXED), ("Moving", self.moving, MOVING)):
            form.addRow(heading(name, line, tip), line)
            line.changed.connect(self.changed)
        self.kind.activated.connect(self.changed)

    @property
    def format(self) -> str | None:
        """The chosen format; None where the content shows it."""
        name: str | None = self.kind.currentData()
        return name

    def choose(self, name: str | None) -> None:
        """Choose a format."""
        self.kind.setCurrentIndex(self.kind.findData(name))
        self.changed.emit()

    def is_needed(self, files: tuple[Path, ...]) -> bool:
        """Whether one of the files cannot be read without what is chosen here."""
        return any(needs_more(path) for path in files)
