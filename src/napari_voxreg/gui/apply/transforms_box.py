"""Which transforms are applied: results of the session and files, composed in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QPushButton, QWidget

from ...registration.result import Result
from ..session.files import TRANSFORMS
from ..widgets.combo_box import Choice, heading

SAVED = "saved transform…"
NONE = "none"
TIP = "A result of this session, or a transform file of any program, which can be dropped here"
THEN = "Follows the one above, whose moving image is its fixed image; images are resampled once"


class TransformsBox(QWidget):
    """One transform, and with + others that follow it.

    Signals
    -------
    changed()
        Other transforms were chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._results: dict[str, Result] = {}
        self._files: dict[str, Path] = {}
        self._titles: list[str] = [NONE]
        self._guessed = True
        self.boxes: list[Choice] = []
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setColumnStretch(1, 1)
        self._rebuild()

    @property
    def chosen(self) -> tuple[Result | Path, ...]:
        """The chosen transforms, in the order in which points of the fixed image go through them."""
        known: dict[str, Result | Path] = {**self._results, **self._files}
        return tuple(known[title] for title in self._titles if title in known)

    @property
    def title(self) -> str:
        """The chosen transforms in a few words, for the names of layers."""
        return " + ".join(title for title in self._titles if title != NONE)

    @property
    def linear(self) -> bool:
        """Whether the chosen transforms may be affine; that of a file is not known before it is read."""
        return all(isinstance(one, Path) or one.transform.linear for one in self.chosen)

    def offer(self, results: Mapping[str, Result], current: str) -> None:
        """Offer the results of the session by title; the current one is chosen until the user chooses."""
        self._results = dict(results)
        known = {*self._results, *self._files}
        self._titles = [title for title in self._titles if title in known] or [NONE]
        if self._guessed or self._titles == [NONE]:
            self._titles = [current or NONE]
            self._guessed = True
        self._rebuild()
        self.changed.emit()

    def choose(self, *titles: str) -> None:
        """Choose results of the list, in order."""
        self._guessed = False
        self._titles = list(titles) or [NONE]
        self._rebuild()
        self.changed.emit()

    def choose_file(self, path: Path, row: int = 0) -> None:
        """Choose a saved transform, in one of the rows."""
        title = path.name if path.is_dir() else f"{path.parent.name}/{path.name}"
        self._files[title] = path
        self.choose(*self._titles[:row], title, *self._titles[row + 1 :])

    def choose_files(self, paths: Sequence[Path]) -> None:
        """Choose saved transforms instead of all others, in the order in which points go through them."""
        for row, path in enumerate(paths):
            self.choose_file(path, row)
        self.choose(*self._titles[: len(paths)])

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of the chosen transforms that are files."""
        return tuple(one for one in self.chosen if isinstance(one, Path))

    def add_row(self) -> None:
        """Add another transform, none at first."""
        self.choose(*self._titles, NONE)

    def _rebuild(self) -> None:
        """Show a row for each transform."""
        while item := self._layout.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        self.boxes = []
        for row, title in enumerate(self._titles):
            box = Choice()
            box.addItems([NONE, *reversed(self._results), *self._files, SAVED])
            box.setCurrentText(title)
            box.setToolTip(title if title != NONE else TIP)
            box.setAccessibleName(f"Transform {row + 1}")
            box.activated.connect(lambda index, row=row: self._picked(row))
            button = QPushButton("−" if row else "+")
            button.setToolTip("Leave this transform out" if row else "Compose with another transform")
            button.setFixedWidth(28)
            button.clicked.connect(
                (lambda on, row=row: self._remove(row)) if row else (lambda on: self.add_row())
            )
            name, tip = ("Then", THEN) if row else ("Transform", TIP)
            for column, widget in enumerate((heading(name, box, tip), box, button)):
                self._layout.addWidget(widget, row, column)
            self.boxes.append(box)

    def _picked(self, row: int) -> None:
        title = self.boxes[row].currentText()
        if title == SAVED:
            name, _ = QFileDialog.getOpenFileName(self, "Choose a transform", "", TRANSFORMS)
            if name:
                self.choose_file(Path(name), row)
            else:
                self._rebuild()
            return
        self.choose(*self._titles[:row], title, *self._titles[row + 1 :])

    def _remove(self, row: int) -> None:
        self.choose(*self._titles[:row], *self._titles[row + 1 :])
