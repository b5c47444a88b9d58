"""The method, its preset, device and parameters."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QFormLayout, QStyledItemDelegate, QVBoxLayout, QWidget

from ...core.params import Params
from ...methods import METHODS
from ...methods.availability import installed
from ...methods.base import Method
from ..preferences import preferences
from .combo_box import Choice, heading
from .device_box import DeviceBox
from .fold import Fold
from .install_box import InstallBox
from .parameters.form import ParamsForm
from .sentence import COLOURS


class MethodBox(QWidget):
    """Method, preset, device where the method has a choice, and the parameters in a collapsible section.

    Changes are kept for each preset of each method; the device is common to all methods.

    Signals
    -------
    changed()
        Another method, preset or parameter was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._edited: dict[tuple[str, str], dict[str, Any]] = {}
        self.method_box = Choice()
        self.preset_box = Choice()
        self.device_box = DeviceBox()
        self.install = InstallBox()
        self.form = ParamsForm()
        self.fold = Fold("Parameters", self.form, "Parameters of the method; the preset sets them")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(heading("Method", self.method_box, "The registration method"), self.method_box)
        tip = "A set of parameter values for a kind of pair; your changes are kept for each preset"
        self.preset_box.setToolTip(tip)
        form.addRow(heading("Preset", self.preset_box, tip), self.preset_box)
        self._device_label = heading("Device", self.device_box, self.device_box.toolTip())
        form.addRow(self._device_label, self.device_box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.install)
        layout.addWidget(self.fold)
        # Without this delegate napari's style sheet ignores the colours of single entries.
        self.method_box.setItemDelegate(QStyledItemDelegate(self.method_box))
        for name, method in METHODS.items():
            self.method_box.addItem(method.title, name)
            self._mark(method)
        self.method_box.currentIndexChanged.connect(self._method_changed)
        self.preset_box.currentIndexChanged.connect(self._preset_changed)
        self.form.changed.connect(self._edit)
        self.install.found.connect(self._found)
        self.choose(preferences().method)

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.method_box.currentData())

    @property
    def preset(self) -> str:
        """The preset's name."""
        return str(self.preset_box.currentText())

    @property
    def device(self) -> str:
        """As `register` takes it; "auto" for a method without the choice."""
        return self.device_box.device if METHODS[self.method].device else "auto"

    def params(self) -> Params:
        """All parameters of the form.

        Raises
        ------
        ValueError
            If a value is not allowed.
        """
        return METHODS[self.method].params.from_dict(self.form.values())

    def choose(self, method: str, preset: str | None = None, **changes: Any) -> None:
        """Choose a method, a preset (by default the first), and parameters that differ from it."""
        preset = next(iter(METHODS[method].presets)) if preset is None else preset
        METHODS[method].parameters(preset, changes)  # refuses unknown parameters
        if changes:
            self._edited[method, preset] = changes
        self.method_box.setCurrentIndex(self.method_box.findData(method))
        self._method_changed()
        self.preset_box.setCurrentText(preset)
        self._preset_changed()

    def choose_device(self, device: str) -> None:
        """Choose "auto", "cpu", "cuda" or "mps"; a run refuses a device that is absent."""
        self.device_box.choose(device)

    def kept(self) -> dict[str, Any]:
        """The choices, for `restore`."""
        return {
            "method": self.method,
            "preset": self.preset,
            "device": self.device_box.device,
            "edited": dict(self._edited),
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Restore earlier choices."""
        self._edited = dict(kept["edited"])
        self.choose_device(kept["device"])
        self.choose(kept["method"], kept["preset"])

    def _mark(self, method: Method) -> None:
        """Grey a method that is not installed; choosing it shows how to install it."""
        there = installed(method)
        place = self.method_box.findData(method.name)
        self.method_box.setItemText(place, method.title if there else f"{method.title} (Install…)")
        grey = None if there else QBrush(QColor(COLOURS["quiet"]))
        self.method_box.setItemData(place, grey, Qt.ItemDataRole.ForegroundRole)

    def _found(self, method: Method) -> None:
        """A method has just been installed."""
        self._mark(method)
        self.changed.emit()

    def _method_changed(self) -> None:
        method = METHODS[self.method]
        self.install.offer(method)
        self.method_box.setToolTip(method.reference)
        self.preset_box.blockSignals(True)
        self.preset_box.clear()
        self.preset_box.addItems(list(method.presets))
        self.preset_box.blockSignals(False)
        for widget in (self._device_label, self.device_box):
            widget.setVisible(method.device)
        self._preset_changed()

    def _preset_changed(self) -> None:
        method = METHODS[self.method]
        self.form.set_up(method.parameters(self.preset, self._edited.get((self.method, self.preset))))
        self.changed.emit()

    def _edit(self) -> None:
        self._edited[self.method, self.preset] = self.form.values()
        self.changed.emit()
