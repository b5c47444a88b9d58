"""The source of pairs: a folder, a list or a file, typed, chosen or dropped."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...io.guards import user_path
from ...io.pairs import Pair, PairSet, open_pairs
from ..background.worker import Runner
from .combo_box import SLIM, Choice, heading
from .sentence import Sentence

SIDES = {"all": "All pairs", "validation": "Validation pairs only", "training": "Training pairs only"}
FILES = "Pairs (*.csv *.h5 *.hdf5);;All files (*)"


class PathLine(QWidget):
    """One path, with buttons to choose it; files and folders can be dropped.

    Parameters
    ----------
    name : str
        What the path is of, for screen readers.
    hint : str
        Shown while the line is empty: what that means.
    files : str
        The filter of a file dialog; folders only if empty.

    Signals
    -------
    changed()
        Another path.
    """

    changed = Signal()

    def __init__(self, name: str, hint: str, files: str = "") -> None:
        super().__init__()
        self._files = files
        self._seen: Path | None = None
        self.line = QLineEdit()
        self.line.setMinimumWidth(SLIM)
        self.line.setPlaceholderText(hint)
        self.line.setAccessibleName(name)
        self.line.setToolTip(f"{name}: {hint}")
        self.line.setClearButtonEnabled(True)
        self.line.setAcceptDrops(False)  # else it would insert the URL as text
        self.line.editingFinished.connect(self._altered)
        self.line.textChanged.connect(lambda text: None if text else self._altered())
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.line, 1)
        button = QPushButton("…")
        row.addWidget(button)
        if files:
            # Two buttons would take the width of the path in a narrow panel.
            button.setToolTip("Choose a folder or a file")
            menu = QMenu(button)
            menu.addAction("Folder…", self._choose_folder)
            menu.addAction("File…", self._choose_file)
            button.setMenu(menu)
        else:
            button.setToolTip("Choose a folder")
            button.clicked.connect(self._choose_folder)
        self.setAcceptDrops(True)

    @property
    def path(self) -> Path | None:
        """The path, None if the line is empty."""
        text = self.line.text().strip()
        try:
            return user_path(text) if text else None
        except ValueError:  # the name of a user that is half typed
            return Path(text)

    def choose(self, path: Path | str | None) -> None:
        """Choose another path, as if the user had."""
        self.line.setText("" if path is None else str(path))
        self._altered()

    def dragEnterEvent(self, event: Any) -> None:
        """Accept files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Choose the first local path."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.choose(paths[0])

    def _choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Choose a folder", str(self.path or ""))
        if name:
            self.choose(name)

    def _choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose a file", str(self.path or ""), self._files)
        if name:
            self.choose(name)

    def _altered(self) -> None:
        if self.path != self._seen:
            self._seen = self.path
            self.line.setToolTip(self.line.text())
            self.changed.emit()


class SourceBox(QWidget):
    """A set of pairs, with a summary as soon as it is chosen.

    Attributes
    ----------
    source, moving : PathLine
        As `open_pairs` takes them.
    pairs : PairSet or None
        The pairs found; None during the search, and if there are none.

    Signals
    -------
    changed()
        Other pairs, or none.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.pairs: PairSet | None = None
        self.source = PathLine("Pairs", "a folder, a CSV or an HDF5 file", FILES)
        self.moving = PathLine("Moving images", "only if in a separate folder")
        self.side = Choice()
        for name, title in SIDES.items():
            self.side.addItem(title, name)
        self.sentence = Sentence()
        self.sentence.hide()
        form = self.form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        tip = (
            "A folder with the subfolders fixed and moving, with lists of paths or with images, a CSV, an "
            "HDF5 pair file; or the folder of fixed images, with that of the moving ones below"
        )
        form.addRow(heading("Pairs", self.source, tip), self.source)
        tip = "The folder of the moving images, if Pairs is that of the fixed ones"
        form.addRow(heading("Moving", self.moving, tip), self.moving)
        tip = "Which of the pairs are used, where the source divides them"
        self.side.setToolTip(tip)
        form.addRow(heading("Use", self.side, tip), self.side)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.sentence)
        self._runner = Runner()
        self._failure = ""
        self.source.changed.connect(self.search)
        self.moving.changed.connect(self.search)
        self.side.currentIndexChanged.connect(self.changed)

    @property
    def chosen(self) -> tuple[Pair, ...]:
        """The pairs to use."""
        return () if self.pairs is None else getattr(self.pairs, str(self.side.currentData()))

    def choose(self, source: Path | str | None, moving: Path | str | None = None, side: str = "all") -> None:
        """Choose a source, as if the user had; `changed` follows after the search."""
        self.side.setCurrentIndex(self.side.findData(side))
        self.moving.choose(moving)
        self.source.choose(source)

    def reason(self) -> str:
        """Why there are no pairs to use; empty if there are."""
        if missing := self.missing():
            return missing
        if self.pairs is None:
            return "Looking for pairs…" if self._runner.busy else self._failure
        if not self.chosen:
            return f"There are no {SIDES[str(self.side.currentData())].lower()}; use all pairs."
        return ""

    def missing(self) -> str:
        """What must be chosen before pairs can be found; empty if nothing."""
        return "" if self.source.path else "Choose the pairs: a folder, a CSV or an HDF5 file."

    def opener(self) -> Callable[[], PairSet]:
        """The function that finds the pairs of the current choices, to be called off the main thread."""
        return partial(open_pairs, self.source.path or "", self.moving.path)

    def stop(self) -> None:
        """Stop searching; uses nothing of Qt."""
        self._runner.cancel()

    def search(self) -> None:
        """Find the pairs off the main thread: a folder may be remote."""
        self.pairs = None
        self._runner.cancel()
        self.sentence.say("", "quiet")
        if not self.missing():
            opener = self.opener()
            self._runner.start(
                lambda progress: opener(),
                report=lambda report: None,
                done=self._found,
                failed=self._failed,
                warned=lambda text: None,
            )
        self.changed.emit()

    def _found(self, pairs: PairSet) -> None:
        self.pairs = pairs
        counts = f"{len(pairs.training)} for training, {len(pairs.validation)} for validation."
        self.sentence.say(f"{len(pairs.all)} pairs: {counts}", "quiet")
        self.sentence.setToolTip("\n".join(pairs.notes))
        self.changed.emit()

    def _failed(self, error: Exception) -> None:
        self._failure = str(error).split("\n")[0]
        self.changed.emit()
