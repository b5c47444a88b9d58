"""The form that is made from a method's declared parameters."""

import gc
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
from napari_voxreg.methods.networks.voxelmorph import VoxelMorphParams


@dataclass(frozen=True, kw_only=True)
class Every(Params):
    """One parameter of each kind."""

    metric: Literal["correlation", "mean squares"] = param("mean squares", "What is compared.")
    levels: int = param(3, "How many levels.", range=(1, 8))
    step: float = param(1e-6, "How far at once.", range=(0, 10))
    symmetric: bool = param(True, "Both ways.")
    files: tuple[Path, ...] = param((), "In order.")
    start: Path | None = param(None, "A file.", advanced=True)
    spacing: float = param(0.0, "How far apart.", range=(0, 10), special="auto")
    steps: int = param(0, "How many.", range=(0, 10), special="all")
    precision: int = param(20, "How precise.", range=(1, 1000), pattern="1/{} pixel")


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


def test_zero_is_a_word_where_it_has_a_meaning_and_a_number_stands_in_its_pattern(form):
    spacing, steps = form.findChild(NumberBox, "spacing"), form.findChild(QSpinBox, "steps")
    assert (spacing.text(), steps.text()) == ("auto", "all")
    assert form.findChild(QSpinBox, "precision").text() == "1/20 pixel"
    spacing.setValue(2.5)
    steps.setValue(3)
    assert (spacing.text(), steps.text()) == ("2.5", "3")
    assert (form.values()["spacing"], form.values()["steps"], form.values()["precision"]) == (2.5, 3, 20)


@pytest.mark.slow
def test_another_method_s_form_can_take_its_place_at_any_time(form, qtbot):
    for _ in range(3):
        for params in (VoxelMorphParams(), Every()):
            form.set_up(params)
            gc.collect()
            qtbot.wait(1)
            gc.collect()
    assert Every.from_dict(form.values()) == Every()


def test_typed_numbers_count_when_the_typing_has_ended(form, qtbot):
    steps = form.findChild(NumberBox, "step")
    seen = []
    form.changed.connect(lambda: seen.append(form.values()["step"]))
    steps.selectAll()
    qtbot.keyClicks(steps, "0.25")
    assert seen == []
    qtbot.keyClick(steps, Qt.Key.Key_Return)
    assert seen == [0.25]


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
