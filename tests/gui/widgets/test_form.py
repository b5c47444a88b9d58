"""The form that is made from a method's declared parameters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QCheckBox, QComboBox, QSpinBox, QWidget

from napari_voxreg.core.params import Params, param
from napari_voxreg.gui.widgets.parameters.editors import NumberBox
from napari_voxreg.gui.widgets.parameters.file_box import FileBox, FileList
from napari_voxreg.gui.widgets.parameters.form import ParamsForm
from napari_voxreg.methods import METHODS


@dataclass(frozen=True, kw_only=True)
class Every(Params):
    """One parameter of each kind."""

    metric: Literal["correlation", "mean squares"] = param("mean squares", "What is compared.")
    levels: int = param(3, "How many levels.", range=(1, 8))
    step: float = param(1e-6, "How far at once.", range=(0, 10))
    symmetric: bool = param(True, "Both ways.")
    files: tuple[Path, ...] = param((), "In order.")
    start: Path | None = param(None, "A file.", advanced=True)


@pytest.fixture
def form(qtbot):
    made = ParamsForm()
    qtbot.addWidget(made)
    made.set_up(Every())
    return made


def test_shows_the_defaults_and_reads_them_back(form):
    assert Every.from_dict(form.values()) == Every()


def test_editors_change_the_values(form, qtbot):
    with qtbot.waitSignals([form.changed] * 5):
        form.findChild(QComboBox, "metric").setCurrentText("correlation")
        form.findChild(QSpinBox, "levels").setValue(5)
        form.findChild(NumberBox, "step").setValue(0.25)
        form.findChild(QCheckBox, "symmetric").setChecked(False)
        form.findChild(FileList, "files").add([Path("a.txt"), Path("b.txt")])
    expected = Every(
        metric="correlation", levels=5, step=0.25, symmetric=False, files=(Path("a.txt"), Path("b.txt"))
    )
    assert Every.from_dict(form.values()) == expected


def test_ranges_and_help_come_from_the_declaration(form):
    levels = form.findChild(QSpinBox, "levels")
    levels.setValue(100)
    assert levels.value() == 8
    assert levels.toolTip() == "How many levels."
    assert form.findChild(NumberBox, "step").text() == "0.000001"


def test_advanced_parameters_are_folded(form):
    form.show()
    start = form.findChild(FileBox, "start")
    assert start.path is None
    assert not start.isVisible()
    assert form.findChild(QSpinBox, "levels").isVisible()


def test_files_are_moved_and_removed_in_order(qtbot):
    files = FileList()
    qtbot.addWidget(files)
    files.show_paths((Path("a"), Path("b"), Path("c")))
    files._list.setCurrentRow(2)
    files._move(-1)
    assert files.paths == (Path("a"), Path("c"), Path("b"))
    files._list.setCurrentRow(0)
    files._remove()
    assert files.paths == (Path("c"), Path("b"))


def test_the_wheel_passes_over_a_box_without_focus(form):
    levels = form.findChild(QSpinBox, "levels")
    middle = QPointF(levels.rect().center())
    wheel = QWheelEvent(
        middle,
        levels.mapToGlobal(middle),
        QPoint(),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(levels, wheel)
    assert levels.value() == 3


@pytest.mark.parametrize("name", METHODS)
def test_every_preset_of_every_method_survives_the_form(name, qtbot):
    form = ParamsForm()
    qtbot.addWidget(form)
    for preset in METHODS[name].presets:
        params = METHODS[name].parameters(preset)
        form.set_up(params)
        assert METHODS[name].params.from_dict(form.values()) == params
        assert all(
            child.toolTip() for child in form.findChildren(QWidget) if child.objectName() in form.values()
        )
