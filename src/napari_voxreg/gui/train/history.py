"""The loss curves of a run, live or earlier, and saving them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..background.worker import Runner
from .curves import LossCurves
from .job import CURVES, save_curves

if TYPE_CHECKING:
    from ...train.events import Row


class HistoryBox(QWidget):
    """The curves of one run.

    Attributes
    ----------
    curves : LossCurves
        The plots.
    folder : Path or None
        Of the run.

    Signals
    -------
    saved(sentence), failed(sentence)
        The curves were saved, or not.
    """

    saved = Signal(str)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.folder: Path | None = None
        self.curves = LossCurves()
        self.title = QLabel()
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.save_button = QPushButton("Save curves…")
        self.save_button.setToolTip("Save the loss curves as PNG, SVG or CSV")
        self._saver = Runner()
        row = QHBoxLayout()
        row.addWidget(self.title, 1)
        row.addWidget(self.save_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.curves)
        self.save_button.clicked.connect(self._choose_file)
        self.hide()

    def show_run(self, folder: Path, rows: Sequence[Row]) -> None:
        """Show the curves of a run."""
        self.folder = folder
        self.curves.set_rows(rows)
        self.title.setText(folder.name)
        self.title.setToolTip(str(folder))
        self.show()

    def save(self, path: Path) -> None:
        """Save the curves of the run as PNG, SVG or CSV; `saved` or `failed` follows."""
        folder = self.folder
        if folder is None:
            return
        self._saver.start(
            lambda progress: save_curves(folder, path),
            report=lambda report: None,
            done=lambda where: self.saved.emit(f"Saved the curves: {where}."),
            failed=lambda error: self.failed.emit(str(error)),
            warned=lambda text: None,
        )

    def stop(self) -> None:
        """Abandon saving; uses nothing of Qt."""
        self._saver.cancel()

    def _choose_file(self) -> None:
        suggested = str(Path.home() / f"{self.title.text()}.png")
        name, _ = QFileDialog.getSaveFileName(self, "Save the curves", suggested, CURVES)
        if name:
            self.save(Path(name))
