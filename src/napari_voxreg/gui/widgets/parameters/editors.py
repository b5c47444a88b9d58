"""A magicgui widget for each kind of declared parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

# magicgui has no public base class for the Qt side of custom widgets.
from magicgui.backends._qtpy.widgets import ComboBox, QBaseRangedWidget, QBaseValueWidget
from magicgui.widgets import CheckBox
from magicgui.widgets.bases import CategoricalWidget, RangedWidget, ValueWidget
from qtpy.QtCore import QLocale
from qtpy.QtWidgets import QDoubleSpinBox, QSpinBox, QWidget

from ....core.params import Param, Params
from ....methods.base import WeightsParams
from ..combo_box import Choice, tame
from ..device_box import DeviceBox
from ..weights import weights_for
from .file_box import FileBox, FileList

LARGEST = 2**31 - 1
DECIMALS = 10


def create_editor(info: Param, params: Params) -> ValueWidget[Any]:
    """The editor of one parameter, with its present value, its help as a tooltip and its name in words.

    The Qt widget is its ``native``, named like the parameter.

    Parameters
    ----------
    info : Param
        The declaration of the parameter.
    params : Params
        The parameters to which it belongs.
    """
    editor = _editor(info, params)
    box = editor.native
    if isinstance(box, QSpinBox | QDoubleSpinBox):
        prefix, _, suffix = info.pattern.partition("{}")
        box.setPrefix(prefix)
        box.setSuffix(suffix)
        box.setSpecialValueText(info.special)
    editor.tooltip = info.help
    box.setObjectName(info.name)
    return editor


def _editor(info: Param, params: Params) -> ValueWidget[Any]:
    """The widget for a parameter; not by `create_widget`, which drops the options of custom backends."""
    name, label, value = info.name, words(info.name), getattr(params, info.name)
    if info.name == "device":
        return ValueWidget(
            value,
            name=name,
            label=label,
            widget_type=_DeviceBackend,
            backend_kwargs={"among": info.choices},
        )
    if info.choices:
        return CategoricalWidget(value, info.choices, name=name, label=label, widget_type=_ChoiceBackend)
    if info.kind is bool:
        check = CheckBox(value=value, name=name, label=label)
        check.text = ""  # its label stands before it, as with the other editors
        return check
    if info.kind is tuple:
        return ValueWidget(value, name=name, label=label, widget_type=_FileListBackend)
    if info.kind is Path:
        return ValueWidget(
            value,
            nullable=True,
            name=name,
            label=label,
            widget_type=_FileBackend,
            backend_kwargs=_file_options(info, params),
        )
    low, high = info.range or (-LARGEST, LARGEST)
    return RangedWidget(
        value,
        min=max(low, -LARGEST),
        max=min(high, LARGEST),
        step=1 if info.kind is int else None,  # None adapts it to the number
        name=name,
        label=label,
        widget_type=_IntBackend if info.kind is int else _FloatBackend,
    )


def words(name: str) -> str:
    """A parameter's name as a label."""
    return name.replace("_", " ").capitalize()


def _file_options(info: Param, params: Params) -> dict[str, Any]:
    """Options of the `FileBox` of a parameter."""
    # For weights, those of the user's training runs are offered.
    fitting = params.architectures if info.name == "weights" and isinstance(params, WeightsParams) else ()
    return {
        "suffixes": info.suffixes,
        "describe": None if info.describe is None else partial(info.describe, type(params)),
        "offers": partial(weights_for, fitting) if fitting else None,
    }


class NumberBox(QDoubleSpinBox):
    """A number with as many decimals as it needs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDecimals(DECIMALS)
        # A decimal point in every locale, as in scripts.
        self.setLocale(QLocale.c())

    def textFromValue(self, value: float) -> str:
        """Format without trailing zeros."""
        return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


class _NumberBackend(QBaseRangedWidget):
    """A number that is set when editing ends; the wheel changes it only while it has the focus."""

    def __init__(self, box: type[QSpinBox | NumberBox], parent: QWidget | None) -> None:
        super().__init__(box, parent=parent)
        spin: Any = self._qwidget
        spin.setKeyboardTracking(False)
        tame(spin)


class _IntBackend(_NumberBackend):
    """An integer; unlike magicgui's it can show a word in place of a number."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(QSpinBox, parent)

    def _pre_set_hook(self, value: float) -> int:
        return int(value)


class _FloatBackend(_NumberBackend):
    """A float; unlike magicgui's its decimals are not fixed by the step."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(NumberBox, parent)


class _ChoiceBackend(ComboBox):
    """A box that shrinks with its panel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        QBaseValueWidget.__init__(self, Choice, "", "", "", parent=parent)
        self._qwidget.currentIndexChanged.connect(self._emit_data)


class _DeviceBackend(QBaseValueWidget):
    """One of the devices of this machine."""

    _qwidget: DeviceBox

    def __init__(self, parent: QWidget | None = None, *, among: tuple[str, ...]) -> None:
        def box(parent: QWidget | None) -> DeviceBox:
            return DeviceBox(among, parent)

        super().__init__(box, "", "", "", parent=parent)  # type: ignore[arg-type]

    def _mgui_get_value(self) -> str:
        return self._qwidget.device

    def _mgui_set_value(self, value: str) -> None:
        self._qwidget.choose(value)

    def _mgui_bind_change_callback(self, callback: Callable[[Any], None]) -> None:
        self._qwidget.currentIndexChanged.connect(lambda index: callback(self._qwidget.device))


class _FileListBackend(QBaseValueWidget):
    """Files in order."""

    _qwidget: FileList

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(FileList, "", "", "", parent=parent)

    def _mgui_get_value(self) -> tuple[Path, ...]:
        return self._qwidget.paths

    def _mgui_set_value(self, value: Sequence[Path]) -> None:
        self._qwidget.show_paths(value)

    def _mgui_bind_change_callback(self, callback: Callable[[Any], None]) -> None:
        self._qwidget.changed.connect(lambda: callback(self._qwidget.paths))


class _FileBackend(QBaseValueWidget):
    """One file, or none."""

    _qwidget: FileBox

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        suffixes: tuple[str, ...],
        describe: partial[str] | None,
        offers: Callable[[], Sequence[Path]] | None,
    ) -> None:
        def box(parent: QWidget | None) -> FileBox:
            return FileBox(None, suffixes, describe, offers, parent)

        super().__init__(box, "", "", "", parent=parent)  # type: ignore[arg-type]

    def _mgui_get_value(self) -> Path | None:
        return self._qwidget.path

    def _mgui_set_value(self, value: Path | None) -> None:
        self._qwidget.choose(value)

    def _mgui_bind_change_callback(self, callback: Callable[[Any], None]) -> None:
        self._qwidget.changed.connect(lambda: callback(self._qwidget.path))
