"""A form for declared parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from ....core.params import Param, Params
from ..fold import Fold
from .editors import create_editor, words


class ParamsForm(QWidget):
    """A row per parameter, the advanced ones in a collapsible section.

    Attributes
    ----------
    editors : dict of str to magicgui.widgets.bases.ValueWidget
        Of each parameter, by its name.

    Signals
    -------
    changed()
        A value was changed by the user.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.editors: dict[str, ValueWidget[Any]] = {}
        self._content: QWidget | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    def set_up(self, params: Params, groups: Mapping[str, Sequence[str]] | None = None) -> None:
        """Show the parameters of a method.

        Parameters
        ----------
        params : Params
            Declares the parameters and gives their values.
        groups : mapping of str to sequence of str, optional
            Names of parameters in collapsible sections of their own, by the titles of these.
        """
        if self._content is not None:
            # It keeps its parent until then, else Python might collect it in pieces.
            self._content.hide()
            self._content.deleteLater()
        self.editors = {}
        self._content = QWidget()
        layout = QVBoxLayout(self._content)
        layout.setContentsMargins(0, 0, 0, 0)
        groups = {} if groups is None else groups
        grouped = {name for names in groups.values() for name in names}
        infos = [i for i in params.infos() if i.name not in grouped]
        layout.addWidget(self._rows([i for i in infos if not i.advanced], params))
        advanced = [i for i in infos if i.advanced]
        if advanced:
            tip = "Parameters that rarely need changing"
            layout.addWidget(Fold("Advanced", self._rows(advanced, params), tip))
        for title, names in groups.items():
            rows = self._rows([i for i in params.infos() if i.name in names], params)
            layout.addWidget(Fold(title, rows, f"{title}: {', '.join(map(words, names))}"))
        self._layout.addWidget(self._content)

    def values(self) -> dict[str, Any]:
        """The current values by name."""
        return {name: editor.value for name, editor in self.editors.items()}

    def show_row(self, name: str, shown: bool) -> None:
        """Show or hide a parameter with its label."""
        box = self.editors[name].native
        form = box.parentWidget().layout()
        assert isinstance(form, QFormLayout)  # made by `_rows`
        label = form.labelForField(box)
        assert label is not None  # as above
        for widget in (box, label):
            widget.setVisible(shown)

    def _rows(self, infos: list[Param], params: Params) -> QWidget:
        """Labels and editors."""
        rows = QWidget()
        form = QFormLayout(rows)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        for info in infos:
            editor = self.editors[info.name] = create_editor(info, params)
            editor.changed.connect(self._emit)
            label = QLabel(editor.label)
            label.setToolTip(info.help)
            label.setBuddy(editor.native)
            form.addRow(label, editor.native)
        return rows

    def _emit(self) -> None:
        self.changed.emit()
