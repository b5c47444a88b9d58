"""A form for a method's parameters, made from their declaration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QLocale, Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...core.params import Param, Params
from ...methods.base import WeightsParams
from .combo_box import Choice, tame
from .file_box import FileBox, FileList
from .fold import Fold
from .weights import weights_for

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

    def set_up(self, params: Params, apart: Mapping[str, Sequence[str]] | None = None) -> None:
        """Show the parameters of a method.

        Parameters
        ----------
        params : Params
            Declares the parameters and gives their values.
        apart : mapping of str to sequence of str, optional
            Parameters that are folded away under titles of their own.
        """
        if self._content is not None:
            self._layout.removeWidget(self._content)
            self._content.hide()
            self._content.deleteLater()
        self._readers = {}
        self._content = QWidget()
        layout = QVBoxLayout(self._content)
        layout.setContentsMargins(0, 0, 0, 0)
        groups = {} if apart is None else apart
        grouped = {name for names in groups.values() for name in names}
        infos = [i for i in params.infos() if i.name not in grouped]
        layout.addWidget(self._rows([i for i in infos if not i.advanced], params))
        advanced = [i for i in infos if i.advanced]
        if advanced:
            layout.addWidget(Fold("Advanced", self._rows(advanced, params)))
        for title, names in groups.items():
            rows = self._rows([i for i in params.infos() if i.name in names], params)
            layout.addWidget(Fold(title, rows))
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
            editor, self._readers[info.name] = _editor(info, params, self.changed.emit)
            editor.setObjectName(info.name)
            editor.setToolTip(info.help)
            label = QLabel(words(info.name))
            label.setToolTip(info.help)
            label.setBuddy(editor)
            form.addRow(label, editor)
        return rows


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


def _editor(info: Param, params: Params, changed: Callable[[], None]) -> tuple[QWidget, Callable[[], Any]]:
    """The editor of one parameter, and what reads its value."""
    value = getattr(params, info.name)
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
        says = None if info.says is None else partial(info.says, type(params))
        # Where weights are asked for, those of one's own training runs are offered.
        fitting = params.architectures if info.name == "weights" and isinstance(params, WeightsParams) else ()
        file = FileBox(value, info.suffixes, says, partial(weights_for, fitting) if fitting else None)
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
