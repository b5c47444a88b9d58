"""Boxes for parameters that are files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ....core import process
from ...background.worker import Runner
from ..sentence import Sentence


class FileList(QWidget):
    """Paths in order, with buttons to add, remove and move them.

    Signals
    -------
    changed()
        The list was changed.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: list[Path] = []
        self._list = QListWidget()
        self._list.setFixedHeight(64)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._list)
        buttons = QHBoxLayout()
        for text, tip, slot in (
            ("+", "Add files at the end", self._choose_files),
            ("−", "Remove the chosen file from the list", self._remove),
            ("▲", "Move the chosen file up", lambda: self._move(-1)),
            ("▼", "Move the chosen file down", lambda: self._move(1)),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(slot)
            button.setMinimumWidth(24)
            buttons.addWidget(button)
        layout.addLayout(buttons)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files in order."""
        return tuple(self._paths)

    def show_paths(self, paths: Sequence[Path]) -> None:
        """Show other files, without a signal."""
        self._paths = list(paths)
        self._show(0)

    def add(self, paths: list[Path]) -> None:
        """Add files at the end."""
        self._paths += paths
        self._show(len(self._paths) - 1)
        self.changed.emit()

    def _choose_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(
            self, "Parameter files", "", "Parameter files (*.txt *.toml);;All files (*)"
        )
        if names:
            self.add([Path(name) for name in names])

    def _remove(self) -> None:
        row = self._list.currentRow()
        if row >= 0:
            del self._paths[row]
            self._show(min(row, len(self._paths) - 1))
            self.changed.emit()

    def _move(self, by: int) -> None:
        row = self._list.currentRow()
        if row >= 0 and 0 <= row + by < len(self._paths):
            self._paths.insert(row + by, self._paths.pop(row))
            self._show(row + by)
            self.changed.emit()

    def _show(self, row: int) -> None:
        self._list.clear()
        for path in self._paths:
            item = QListWidgetItem(path.name, self._list)
            item.setToolTip(str(path))
        self._list.setCurrentRow(row)


class FileBox(QWidget):
    """One path, or none, with a description of the file where there is a function for it.

    Parameters
    ----------
    path : Path or None
        The initial path.
    suffixes : tuple of str
        Of the files that the dialog offers; all if empty.
    describe : callable, optional
        ``describe(path, progress=...)`` describes a file in a line, or raises a `ValueError`; it is called in
        the child process of `core.process`.
    offers : callable, optional
        Returns files to choose from, listed under a button by the names of their folders. Called in a thread.

    Signals
    -------
    changed()
        The path was changed.
    described(sentence)
        The description is shown.
    """

    changed = Signal()
    described = Signal(str)

    def __init__(
        self,
        path: Path | None,
        suffixes: tuple[str, ...] = (),
        describe: partial[str] | None = None,
        offers: Callable[[], Sequence[Path]] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._suffixes, self._describe = suffixes, describe
        self._line = QLineEdit("" if path is None else str(path))
        self._line.setPlaceholderText("none" if describe is None else "as shipped")
        self._line.setClearButtonEnabled(True)
        self._line.setAccessibleName("File")
        self._line.setToolTip("Path of a file; empty for none" if describe is None else "Path of the weights")
        self._line.editingFinished.connect(self._altered)
        self._line.textChanged.connect(self._typed)
        browse = QPushButton("…" if describe is None else "Load…")
        browse.setToolTip("Choose a file")
        browse.clicked.connect(self._choose_file)
        self._sentence = Sentence()
        row = QHBoxLayout()
        row.addWidget(self._line, 1)
        row.addWidget(browse)
        self._offers, self._lister = offers, Runner()
        if offers is not None:
            row.addWidget(self._runs_button())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self._sentence)
        self._seen = self.path
        self._runner = Runner()
        for runner in (self._runner, self._lister):
            self.destroyed.connect(runner.cancel)
        self._update_description()

    @property
    def path(self) -> Path | None:
        """The file."""
        text = self._line.text().strip()
        return Path(text) if text else None

    def choose(self, path: Path | None) -> None:
        """Choose another file, as if the user had."""
        self._line.setText("" if path is None else str(path))
        self._altered()

    def _choose_file(self) -> None:
        kinds = f"({' '.join(f'*{suffix}' for suffix in self._suffixes)});;All files (*)"
        shown = f"Files {kinds}" if self._suffixes else ""
        start = "" if self.path is None else str(self.path.parent)
        name, _ = QFileDialog.getOpenFileName(self, "Choose a file", start, shown)
        if name:
            self.choose(Path(name))

    def _runs_button(self) -> QPushButton:
        """A button whose menu lists the files offered when it is opened."""
        button = QPushButton("Runs")
        button.setToolTip("Choose the weights of one of your training runs")
        self._menu = QMenu(button)
        self._menu.aboutToShow.connect(self._list)
        button.setMenu(self._menu)
        return button

    def _list(self) -> None:
        """Fill the menu off the main thread: the folder of runs may be large or remote."""
        offers = self._offers
        assert offers is not None  # else there is no menu
        self._fill("Looking for runs…", ())
        self._lister.start(
            lambda progress: offers(),
            report=lambda report: None,
            done=lambda files: self._fill("No finished training run for this method yet", files),
            failed=lambda error: self._fill(str(error).split("\n")[0], ()),
            warned=lambda text: None,
        )

    def _fill(self, nothing: str, files: Sequence[Path]) -> None:
        self._menu.clear()
        for file in files:
            self._menu.addAction(file.parent.name, partial(self.choose, file))
        if not files:
            entry = QAction(nothing, self._menu)
            entry.setEnabled(False)
            self._menu.addAction(entry)

    def _typed(self, text: str) -> None:
        """Handle the line's clear button, which does not end editing."""
        if not text:
            self._altered()

    def _altered(self) -> None:
        """Emit `changed` once per path."""
        if self.path != self._seen:
            self._seen = self.path
            self._update_description()
            self.changed.emit()

    def _update_description(self) -> None:
        """Describe the file, if there is a function for it."""
        self._runner.cancel()
        self._sentence.say("", "quiet")
        describe, path = self._describe, self.path
        if describe is None or path is None:
            return
        self._sentence.say("Reading the file…", "quiet")
        self._runner.start(
            lambda progress: process.call(describe.func, *describe.args, path, progress=progress),
            report=lambda report: None,
            done=lambda sentence: self._show(sentence, "quiet"),
            failed=lambda error: self._show(str(error).split("\n")[0], "failed"),
            warned=lambda text: None,
        )

    def _show(self, sentence: str, tone: str) -> None:
        self._sentence.say(sentence, tone)
        self.described.emit(sentence)
