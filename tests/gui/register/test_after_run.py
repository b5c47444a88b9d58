"""What follows a run: the first view, layers made at once, undo, scripts."""

import os
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest
from scipy.ndimage import gaussian_filter, shift

from napari_voxreg import load_result
from napari_voxreg.gui.look.look import CHECKERBOARD, OVERLAY
from napari_voxreg.gui.register.panel import RegisterWidget
from napari_voxreg.gui.session import actions
from napari_voxreg.io.images import read_image

pytestmark = pytest.mark.usefixtures("warm_child")

SHAPE = (64, 72)


def scene(step=(0, 0)):
    noise = gaussian_filter(np.random.default_rng(1).normal(size=SHAPE), 3)
    return shift(noise / np.ptp(noise), step, order=1, mode="nearest").astype(np.float32)


@pytest.fixture
def panel(viewer):
    """The panel in its dock, with a pair of layers, and a quick method."""
    viewer.add_image(scene(), name="fixed", scale=(0.5, 0.5), units="mm")
    viewer.add_image(scene((2, -3)), name="moving", scale=(0.5, 0.5), units="mm")
    widget = RegisterWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Register")
    widget.method.choose("translation")
    return widget


def test_no_button_of_a_result_is_there_before_one(panel, qtbot):
    qtbot.waitUntil(panel.bar.button.isVisible, timeout=20_000)
    assert not panel.after.isVisible()


def run(panel, qtbot):
    with qtbot.waitSignal(panel.finished, timeout=60_000, raising=False) as blocker:
        panel.bar.button.click()
    assert blocker.signal_triggered, panel.outcome.sentence.text()
    return blocker.args[0]


def names(viewer):
    """The names of the layers, and whether they are seen."""
    return {layer.name: layer.visible for layer in viewer.layers}


def check(panel, kind):
    """Click a box under Show."""
    panel.show_box._boxes[kind].click()


def test_the_first_view_is_the_match_and_other_layers_come_without_a_run(panel, viewer, qtbot, monkeypatch):
    result = run(panel, qtbot)
    pair = "moving > fixed"
    warped = f"1 translation warped: {pair}"
    assert names(viewer) == {"fixed": True, "moving": False, warped: True}
    look = panel.after.look
    assert look.mode == OVERLAY and look.layers == (viewer.layers["fixed"], viewer.layers[warped])
    assert panel.after.look_row.buttons[OVERLAY].isChecked()

    monkeypatch.setattr("napari_voxreg.gui.register.job.register", None)  # no run any more
    check(panel, "arrows")
    check(panel, "magnitude")
    name, drawn = (f"1 translation {what} without affine (mm): {pair}" for what in ("displacement", "arrows"))
    qtbot.waitUntil(lambda: {name, drawn} <= set(names(viewer)), timeout=20_000)
    assert viewer.layers[name].data.max() == 0 == len(viewer.layers[drawn].data)
    assert panel.outcome.saved.text().startswith("This motion is all affine")
    panel.show_box.affine.click()
    name = f"1 translation displacement (mm): {pair}"
    qtbot.waitUntil(lambda: name in names(viewer), timeout=20_000)
    assert viewer.layers[name].data.mean() == pytest.approx(np.hypot(1, 1.5), abs=0.1)
    qtbot.waitUntil(lambda: len(viewer.layers) == 5, timeout=20_000)
    assert len(viewer.layers[f"1 translation arrows (mm): {pair}"].data) > 100
    buttons = panel.after.look_row.buttons
    assert look.mode == "" and not buttons[OVERLAY].isChecked()  # the map is seen, and not the match
    buttons[OVERLAY].click()
    assert look.mode == OVERLAY and not names(viewer)[name]
    assert not panel.show_box.show_choice.magnitude and panel.show_box.show_choice.arrows
    check(panel, "magnitude")
    assert look.mode == "" and names(viewer)[name]
    check(panel, "magnitude")
    assert look.mode == OVERLAY and not names(viewer)[name]
    check(panel, "arrows")
    assert not names(viewer)[f"1 translation arrows (mm): {pair}"]
    layer = viewer.layers[f"1 translation arrows (mm): {pair}"]
    check(panel, "arrows")
    assert layer.visible and len(viewer.layers) == 5  # the same layer again

    assert np.isnan(viewer.layers[warped].data).any()  # outside the moving image
    QTest.keyClicks(panel.show_box.outside.lineEdit(), "\b" * 10 + "0.25")
    QTest.keyClick(panel.show_box.outside.lineEdit(), Qt.Key.Key_Return)
    qtbot.waitUntil(
        lambda: warped in names(viewer) and (viewer.layers[warped].data == 0.25).any(), timeout=20_000
    )
    assert not np.isnan(viewer.layers[warped].data).any() and look.mode == OVERLAY

    buttons[CHECKERBOARD].click()
    object.__setattr__(result, "trace", (3.0, 2.0, 1.0))
    panel.after.undo_button.click()
    assert names(viewer) == {"fixed": True, "moving": True} and panel.result is None
    assert panel.outcome.sentence.text() == "" and look.mode == ""
    qtbot.wait(100)  # as a user would
    panel.after.redo_button.click()
    qtbot.waitUntil(lambda: warped in names(viewer), timeout=20_000)
    assert panel.result is result and names(viewer)["moving"] is False
    assert look.mode == CHECKERBOARD  # which was chosen last
    curve = panel.bar.curve
    assert curve.isVisible() and curve.values == [3, 2, 1]
    monkeypatch.undo()
    run(panel, qtbot)
    assert [name for name in names(viewer) if "warped" in name] == [f"2 translation warped: {pair}"]
    panel.after.undo_button.click()
    qtbot.waitUntil(lambda: warped in names(viewer), timeout=20_000)
    assert panel.result is result and panel.outcome.sentence.text().startswith("Better")
    assert curve.isVisible() and curve.values == [3, 2, 1]
    panel.after.undo_button.click()
    assert not curve.isVisible()


def test_the_copied_script_gives_the_same_transform(panel, viewer, qtbot, tmp_path, monkeypatch):
    result = run(panel, qtbot)
    path = tmp_path / "register.py"
    monkeypatch.setattr(actions.QFileDialog, "getSaveFileName", lambda *args: (str(path), ""))
    panel.after.python_button.click()
    qtbot.waitUntil(lambda: panel.outcome.saved.text().startswith("Copied"), timeout=10_000)
    script = path.read_text(encoding="utf-8")
    assert QGuiApplication.clipboard().text() == script
    assert {file.name for file in tmp_path.iterdir()} == {
        *("register.py", "register_fixed.npy", "register_moving.npy")
    }
    path.write_text(script + f"result.save({str(tmp_path / 'again')!r})\n")
    subprocess.run([sys.executable, path], check=True, capture_output=True, env=os.environ)
    points = np.random.default_rng(0).uniform(0, 30, (50, 2))
    again = load_result(tmp_path / "again").transform
    np.testing.assert_array_equal(again(points), result.transform(points))

    panel._actions.copy_command(panel._state.current)
    qtbot.waitUntil(lambda: QGuiApplication.clipboard().text().startswith("napari-voxreg"), timeout=10_000)
    command = QGuiApplication.clipboard().text().split()
    assert command[:2] == ["napari-voxreg", "register"] and "translation" in command
    np.testing.assert_array_equal(read_image(command[2]).data, scene())


def test_a_result_can_be_taken_back_at_once(panel, viewer, qtbot):
    """Mesa crashes at the next drawing if programs are deleted in another widget's context."""
    warped = "1 translation warped: moving > fixed"
    run(panel, qtbot)
    qtbot.wait(300)
    run(panel, qtbot)
    panel.after.undo_button.click()
    qtbot.waitUntil(lambda: warped in names(viewer), timeout=20_000)
    qtbot.wait(300)
    assert names(viewer)[warped]
