"""The page of napari's Preferences: shown, remembered, and used."""

import os

import numpy as np
import pytest
import yaml
from napari import settings
from napari._qt.dialogs.preferences_dialog import PreferencesDialog
from npe2 import PluginManager
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QCheckBox, QComboBox, QSpinBox

from napari_voxreg import METHODS
from napari_voxreg.core import process, threads
from napari_voxreg.gui.apply.panel import ApplyWidget
from napari_voxreg.gui.background.worker import Runner
from napari_voxreg.gui.layers import sample_data
from napari_voxreg.gui.look.look import MODES
from napari_voxreg.gui.preferences import NO_LOOK, PLUGIN, Unsaved, preferences
from napari_voxreg.gui.register.panel import RegisterWidget
from napari_voxreg.gui.results.panel import ResultsWidget
from napari_voxreg.gui.session.state import session_state

pytestmark = pytest.mark.usefixtures("warm_child")


def declared():
    manifest = PluginManager.instance().get_manifest(PLUGIN)
    return manifest.contributions.configurations["registration"].properties


def test_the_page_offers_what_there_is(viewer):
    properties = declared()
    assert properties["method"].enum == list(METHODS)
    assert properties["look"].enum == [*MODES, NO_LOOK]
    assert {name: one.default for name, one in properties.items()} == vars(Unsaved())
    assert all(one.description and one.title for one in properties.values())


def test_what_is_chosen_on_the_page_is_used_and_remembered(viewer, qtbot, tmp_path):
    dialog = PreferencesDialog()
    qtbot.addWidget(dialog)
    dialog.show()
    names = [dialog._list.item(row).text() for row in range(dialog._list.count())]
    dialog._list.setCurrentRow(names.index("VoxReg"))
    page = dialog._stack.currentWidget()

    def choose(kind, value):
        boxes = [box for box in page.findChildren(kind) if box.isVisibleTo(page)]
        if kind is QComboBox:
            box = next(box for box in boxes if box.findText(value) >= 0)
            box.setFocus()
            box.setCurrentText(value)
        elif kind is QSpinBox:
            boxes[0].setValue(value)
        else:
            boxes[0].setChecked(value)

    for value in ("rigid", "cpu", "nan", "checkerboard"):
        choose(QComboBox, value)
    choose(QSpinBox, 2)
    choose(QCheckBox, True)
    dialog.accept()
    QTest.qWait(50)

    written = yaml.safe_load((tmp_path / f"{PLUGIN}.yaml").read_text())["registration"]
    chosen = {"method": "rigid", "device": "cpu", "background": "nan", "look": "checkerboard", "threads": 2}
    assert written == {**chosen, "keep_earlier": True}
    settings._clear_plugin_settings_cache()  # another session
    panel = RegisterWidget(viewer)
    assert panel.method.method == "rigid" and panel.method.device_box.device == "cpu"
    assert panel.show_box.show_choice.outside == "nan"
    assert ApplyWidget(viewer).options.outside.currentText() == "nan"
    state = session_state(viewer)
    assert state.look == "checkerboard" and state.keep_earlier
    assert ResultsWidget(viewer).earlier.isChecked()
    found = []
    Runner().start(
        lambda progress: process.call(seen_threads),
        report=print,
        done=found.append,
        failed=found.append,
        warned=print,
    )
    qtbot.waitUntil(lambda: bool(found), timeout=60_000)
    assert found == [("2", 2, 2)]


def seen_threads(progress):
    """What the child process computes with."""
    import SimpleITK as sitk
    import torch

    limit = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    return os.environ["OMP_NUM_THREADS"], torch.get_num_threads(), limit


def test_threads_are_limited_and_set_free_again():
    before = os.environ.get("OMP_NUM_THREADS")
    threads.use(3)
    assert process.call(seen_threads) == ("3", 3, 3)
    threads.use(0)
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_what_is_chosen_in_a_panel_is_a_preference(viewer):
    panel, results = RegisterWidget(viewer), ResultsWidget(viewer)
    panel.after.look_row.chosen.emit("swipe")
    assert preferences().look == "swipe"
    panel.after.look_row.chosen.emit("")  # the button once more
    assert preferences().look == NO_LOOK and session_state(viewer).look == ""
    results.earlier.click()
    assert preferences().keep_earlier


def test_downloads_are_kept_in_the_preferred_folder(viewer, monkeypatch, tmp_path):
    asked = []

    def fetch(pair, progress, cache, server):
        asked.append(cache)
        raise ValueError("no server")

    monkeypatch.setattr(sample_data, "fetch", fetch)
    for given, expected in (("", None), (str(tmp_path / "kept"), tmp_path / "kept")):
        preferences().cache_folder = given
        with pytest.raises(ValueError, match="no server"):
            sample_data.head_2d()
        assert asked.pop() == expected
    assert not np.any(asked)
