"""A form for a method's parameters, made from their declaration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QLocale, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ..params import Param, Params
from .choice import Choice, tame
from .fold import Fold

LARGEST = 2**31 - 1
DECIMALS = 10


class ParamsForm(QWidget):
    """The parameters of one method, the advanced ones folded away.

    Signals
    -------
    changed()
        A value was changed by the user.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._readers: dict[str, Callable[[], Any]] = {}
        self._content: QWidget | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    def set_up(self, params: Params) -> None:
        """Show the parameters of a method.

        Parameters
        ----------
        params : Params
            Declares the parameters and gives their values.
        """
        if self._content is not None:
            self._layout.removeWidget(self._content)
            self._content.hide()
            self._content.deleteLater()
        self._readers = {}
        self._content = QWidget()
        layout = QVBoxLayout(self._content)
        layout.setContentsMargins(0, 0, 0, 0)
        infos = params.infos()
        layout.addWidget(self._rows([i for i in infos if not i.advanced], params))
        advanced = [i for i in infos if i.advanced]
        if advanced:
            layout.addWidget(Fold("Advanced", self._rows(advanced, params)))
        self._layout.addWidget(self._content)

    def values(self) -> dict[str, Any]:
        """The present values by name."""
        return {name: read() for name, read in self._readers.items()}

    def _rows(self, infos: list[Param], params: Params) -> QWidget:
        """Labels and editors."""
        rows = QWidget()
        form = QFormLayout(rows)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        for info in infos:
            editor, self._readers[info.name] = _editor(info, getattr(params, info.name), self.changed.emit)
            editor.setObjectName(info.name)
            editor.setToolTip(info.help)
            label = QLabel(words(info.name))
            label.setToolTip(info.help)
            label.setBuddy(editor)
            form.addRow(label, editor)
        return rows


class FileList(QWidget):
    """Paths in order, with buttons to add, remove and move them.

    Signals
    -------
    changed()
        The list was changed.
    """

    changed = Signal()

    def __init__(self, paths: tuple[Path, ...]) -> None:
        super().__init__()
        self._paths = list(paths)
        self._list = QListWidget()
        self._list.setFixedHeight(64)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._list)
        buttons = QHBoxLayout()
        for text, tip, slot in (
            ("+", "Add files at the end", self._ask),
            ("−", "Take the chosen file off the list", self._remove),
            ("▲", "Move the chosen file up", lambda: self._move(-1)),
            ("▼", "Move the chosen file down", lambda: self._move(1)),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(slot)
            button.setMinimumWidth(24)
            buttons.addWidget(button)
        layout.addLayout(buttons)
        self._show(0)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files in order."""
        return tuple(self._paths)

    def add(self, paths: list[Path]) -> None:
        """Add files at the end."""
        self._paths += paths
        self._show(len(self._paths) - 1)
        self.changed.emit()

    def _ask(self) -> None:
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
    """One path, or none.

    Signals
    -------
    changed()
        The path was changed.
    """

    changed = Signal()

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._line = QLineEdit("" if path is None else str(path))
        self._line.setPlaceholderText("none")
        self._line.editingFinished.connect(self.changed)
        browse = QPushButton("…")
        browse.setToolTip("Choose a file")
        browse.clicked.connect(self._ask)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line, 1)
        layout.addWidget(browse)

    @property
    def path(self) -> Path | None:
        """The file."""
        text = self._line.text().strip()
        return Path(text) if text else None

    def _ask(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose a file")
        if name:
            self._line.setText(name)
            self.changed.emit()


class NumberBox(QDoubleSpinBox):
    """A number with as many decimals as it needs."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(DECIMALS)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        # The point is the decimal sign wherever the user lives, as in the script that repeats the run.
        self.setLocale(QLocale.c())

    def textFromValue(self, value: float) -> str:
        """Without zeros at the end."""
        return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def words(name: str) -> str:
    """A parameter's name as a label."""
    return name.replace("_", " ").capitalize()


def _editor(info: Param, value: Any, changed: Callable[[], None]) -> tuple[QWidget, Callable[[], Any]]:
    """The editor of one parameter, and what reads its value."""
    if info.choices:
        combo = Choice()
        combo.addItems(info.choices)
        combo.setCurrentText(value)
        combo.currentIndexChanged.connect(changed)
        return combo, combo.currentText
    if info.kind is bool:
        check = QCheckBox()
        check.setChecked(value)
        check.toggled.connect(changed)
        return check, check.isChecked
    if info.kind is tuple:
        files = FileList(value)
        files.changed.connect(changed)
        return files, lambda: files.paths
    if info.kind is Path:
        file = FileBox(value)
        file.changed.connect(changed)
        return file, lambda: file.path
    box: Any = QSpinBox() if info.kind is int else NumberBox()
    low, high = info.range or (-LARGEST, LARGEST)
    box.setRange(info.kind(max(low, -LARGEST)), info.kind(min(high, LARGEST)))
    box.setKeyboardTracking(False)
    box.setValue(value)
    box.valueChanged.connect(changed)
    tame(box)
    return box, box.value
