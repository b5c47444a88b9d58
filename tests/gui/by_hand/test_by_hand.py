"""The pose of the moving image, set by hand in a real viewer."""

import subprocess
import sys

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMessageBox
from scipy.ndimage import gaussian_filter

from napari_voxreg import load_result
from napari_voxreg.core.geometry import Grid, apply_affine
from napari_voxreg.core.geometry import Image as VoxregImage
from napari_voxreg.gui.by_hand import section as section_module
from napari_voxreg.gui.layers.snapshots import data_to_world, image_from_layer
from napari_voxreg.gui.look.look import camera_of
from napari_voxreg.gui.register.panel import RegisterWidget
from napari_voxreg.gui.session import actions
from napari_voxreg.gui.session.script import python_script
from napari_voxreg.gui.session.state import session_state
from napari_voxreg.transforms import Affine, warp

pytestmark = pytest.mark.usefixtures("warm_child")

TURNED = {"rotate": 20.0, "shear": [0.1], "affine": [[1, 0.1, 4], [0, 1, 2], [0, 0, 1]]}
PAIRS = {
    "2D": ({}, {}),
    "anisotropic, other units": (
        {"scale": (0.5, 2.0), "units": "um"},
        {"scale": (5e-4, 2e-3), "units": "mm"},
    ),
    "rotated": ({"rotate": -30.0, "translate": (3, 5)}, TURNED),
    "3D": ({"scale": (3.0, 1.0, 1.0)}, {"scale": (1.5, 1.0, 1.0), "translate": (4, 1, 0)}),
}


def texture(shape, seed=1):
    rng = np.random.default_rng(seed)
    return sum(gaussian_filter(rng.normal(size=shape), s) * s for s in (1.5, 3)).astype(np.float32)


def opened(viewer, qtbot, kind="2D"):
    """The panel with a pair, its fold open."""
    for name, placed in zip(("visit 2019", "visit 2021"), PAIRS[kind], strict=True):
        shape = (16, 40, 48) if kind == "3D" else (48, 64)
        viewer.add_image(texture(shape), name=name, **placed)
    panel = RegisterWidget(viewer)
    viewer.window.add_dock_widget(panel, name="Register")
    panel.initial_fold.open = panel.initial.hand_fold.open = True
    up = panel.initial.by_hand.buttons["up"]
    qtbot.waitUntil(lambda: up.isEnabled() and not up.visibleRegion().isEmpty(), timeout=20_000)
    return panel


@pytest.fixture
def panel(viewer, qtbot):
    return opened(viewer, qtbot)


def press(panel, *names):
    for name in names:
        button = panel.initial.by_hand.buttons[name]
        while button.visibleRegion().isEmpty():  # the layout is deferred
            panel.area.ensureWidgetVisible(button)
            QTest.qWait(20)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def seen(panel, points):
    """Where pixels of the moving layer are seen, in the viewer's world."""
    return apply_affine(data_to_world(panel.pair.moving.layer), np.asarray(points, float))


def finish(panel, qtbot, button):
    with qtbot.waitSignal(panel.finished, timeout=60_000, raising=False) as blocker:
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert blocker.signal_triggered, panel.outcome.sentence.text()
    return blocker.args[0]


@pytest.mark.parametrize("kind", PAIRS)
def test_the_transform_is_the_motion_that_is_seen(viewer, qtbot, kind):
    panel = opened(viewer, qtbot, kind)
    fixed, moving = viewer.layers
    corners = np.array([[0] * moving.ndim, np.array(moving.data.shape) - 1.0])
    before, pixels, place = seen(panel, corners), moving.data.copy(), moving.affine.affine_matrix.copy()
    middle = before.mean(axis=0)
    press(panel, "rotate", "grow", "down", "right", "right")

    after = seen(panel, corners)
    unit = 1000.0 if kind.startswith("anisotropic") else 1.0  # of the fixed layer in one of the moving one
    chosen = panel.initial.initial
    np.testing.assert_allclose(chosen.transform(after * unit), before * unit, atol=1e-9)
    assert panel.initial.title == "by hand"
    sizes = fixed.scale[-2:] / unit
    np.testing.assert_allclose((after.mean(axis=0) - middle)[-2:], sizes * [1, 2], atol=1e-9)
    lengths = [np.linalg.norm(points[1] - points[0]) for points in (before, after)]
    assert lengths[1] / lengths[0] == pytest.approx(1.05)

    press(panel, "reset")
    np.testing.assert_array_equal(moving.affine.affine_matrix, place)
    np.testing.assert_array_equal(moving.data, pixels)
    assert panel.initial.title == "layer positions"


def test_the_arrows_are_those_of_the_screen_also_by_keys(panel, viewer):
    section = panel.initial.by_hand
    section.step.setValue(2.0)
    start = seen(panel, [[0, 0]])
    press(panel, "up")
    np.testing.assert_allclose(seen(panel, [[0, 0]]) - start, [[-2, 0]], atol=1e-9)
    QTest.keyClick(section.buttons["up"], Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_allclose(seen(panel, [[0, 0]]) - start, [[-2, 20]], atol=1e-9)
    viewer.camera.orientation2d = ("up", "left")
    press(panel, "down")
    np.testing.assert_allclose(seen(panel, [[0, 0]]) - start, [[-4, 20]], atol=1e-9)
    press(panel, "reset")
    section.angle.setValue(90)
    viewer.camera.orientation2d = ("down", "right")
    corner = seen(panel, [[0, 0]])
    press(panel, "rotate")  # clockwise: the corner at the upper left comes to the upper right
    middle = np.array([23.5, 31.5])
    expected = middle + np.array([1, -1]) * (corner - middle)[0, ::-1]
    np.testing.assert_allclose(seen(panel, [[0, 0]]), [expected], atol=1e-9)
    assert "rotated by 90.00°" in section.said.text()


def test_nothing_is_resampled_or_copied_while_the_pose_changes(panel, viewer):
    moving = viewer.layers[1]
    data, count = moving.data, len(viewer.layers)
    for _ in range(5):
        press(panel, "rotate", "right")
    assert moving.data is data and len(viewer.layers) == count


def test_a_flip_is_asked_first(panel, monkeypatch):
    asked = []

    def answer(which):
        def question(parent, title, text):
            asked.append(text)
            return which

        return question

    start = seen(panel, [[0, 0]])
    monkeypatch.setattr(section_module.QMessageBox, "question", answer(QMessageBox.StandardButton.No))
    press(panel, "flip left-right")
    np.testing.assert_array_equal(seen(panel, [[0, 0]]), start)
    assert panel.pose.transform is None
    monkeypatch.setattr(section_module.QMessageBox, "question", answer(QMessageBox.StandardButton.Yes))
    press(panel, "flip left-right")
    np.testing.assert_allclose(seen(panel, [[0, 0]]), [[0, 63]], atol=1e-9)
    assert "flipped" in panel.initial.by_hand.said.text()
    assert len(asked) == 2 and "mirror image" in asked[0]


def test_centre_on_centre(viewer, qtbot):
    panel = opened(viewer, qtbot, "3D")
    press(panel, "rotate", "centre")
    fixed, moving = (image_from_layer(layer).grid.centre for layer in viewer.layers)
    np.testing.assert_allclose(moving, fixed, atol=1e-9)
    np.testing.assert_allclose(panel.pose.centre, fixed, atol=1e-9)


def test_a_rotation_out_of_the_slice_is_seen_in_3d(viewer, qtbot):
    panel = opened(viewer, qtbot, "3D")
    assert panel.initial.by_hand.axis.currentText() == "z"
    press(panel, "rotate")
    assert viewer.dims.ndisplay == 2
    panel.initial.by_hand.axis.setCurrentText("x")
    press(panel, "rotate")
    assert viewer.dims.ndisplay == 3
    press(panel, "farther")
    assert "rotated by 7.07°" in panel.initial.by_hand.said.text()


def drag(viewer, layer, start, stop):
    """Drag in napari's transform mode, from one world point to another."""
    viewer.reset_view()
    viewer.layers.selection.active = layer
    layer.mode = "transform"
    QTest.qWait(200)  # until the canvas has its size
    canvas, camera, left = viewer.window._qt_viewer.canvas, camera_of(viewer), Qt.MouseButton.LeftButton
    middle = np.array(canvas.size) / 2

    def at(point):
        row, column = middle + (np.array(point) - camera.center[-2:]) * camera.zoom
        return QPoint(round(column), round(row))

    QTest.mouseMove(canvas.native, at(start))
    QTest.mousePress(canvas.native, left, pos=at(start))
    for share in (0.5, 1.0):
        QTest.mouseMove(canvas.native, at(np.array(start) + share * np.subtract(stop, start)))
        QTest.qWait(50)
    QTest.mouseRelease(canvas.native, left, pos=at(stop))
    QTest.qWait(20)


def test_a_drag_in_naparis_transform_mode_is_a_pose_by_hand(panel, viewer):
    moving = viewer.layers[1]
    place = moving.affine.affine_matrix.copy()
    drag(viewer, moving, (24, 32), (30, 27))
    moved = panel.pose.transform
    assert moved is not None
    np.testing.assert_allclose(moved([[0, 0]]), [[-6, 5]], atol=0.3)
    assert panel.initial.title == "by hand"
    press(panel, "down")  # goes on from there
    np.testing.assert_allclose(panel.pose.transform([[0, 0]]) - moved([[0, 0]]), [[-1, 0]], atol=1e-9)
    moving._reset_affine()  # Alt and a click on napari's button
    np.testing.assert_allclose(panel.pose.transform.matrix, np.eye(3), atol=1e-12)
    press(panel, "reset")
    np.testing.assert_array_equal(moving.affine.affine_matrix, place)


def test_a_drag_while_the_section_is_closed_is_another_place(panel, viewer):
    panel.initial.hand_fold.open = False
    drag(viewer, viewer.layers[1], (24, 32), (30, 27))
    assert panel.pose.transform is None and panel.initial.title == "layer positions"
    panel.initial.hand_fold.open = True
    press(panel, "down", "reset")
    np.testing.assert_allclose(seen(panel, [[0, 0]]), [[6, -5]], atol=0.3)


def look_of(layer: Layer):
    return layer.visible, layer.blending, layer.affine.affine_matrix.tolist()


@pytest.mark.parametrize("how", ["other entry", "other pair", "removed", "closed", "behind"])
def test_the_layers_are_as_they_were(panel, viewer, qtbot, how):
    fixed, moving = viewer.layers
    moving.blending = "opaque"
    before = [look_of(layer) for layer in (fixed, moving)]
    press(panel, "rotate", "right")
    assert moving.blending == "additive" and not np.allclose(moving.affine.affine_matrix, np.eye(3))
    if how == "other entry":
        panel.initial.choose("centres")
        assert panel.initial.box.findText("by hand") >= 0
    elif how == "other pair":
        other = viewer.add_image(texture((48, 64), 3), name="other")
        panel.pair.moving.choose(other)
        assert panel.initial.box.findText("by hand") < 0
    elif how == "removed":
        viewer.layers.remove(fixed)
    elif how == "closed":
        viewer.window.remove_dock_widget(panel)
    else:
        panel.hide()
    assert [look_of(layer) for layer in (fixed, moving)] == before
    if how == "behind":
        panel.show()
        qtbot.waitUntil(lambda: not np.allclose(moving.affine.affine_matrix, np.eye(3)))


def test_a_run_starts_from_the_pose_and_counts_from_the_layers_place(panel, viewer, qtbot, tmp_path):
    fixed, moving = viewer.layers
    truth = Affine.translation([0.0, 9.0])
    moving.data = warp(
        VoxregImage(fixed.data, Grid.from_spacing((48, 64))), truth.inverse(), Grid.from_spacing((48, 64))
    ).data
    place = moving.affine.affine_matrix.copy()
    panel.initial.by_hand.step.setValue(8.0)
    press(panel, "left")
    panel.method.choose("translation")
    result = finish(panel, qtbot, panel.bar.button)
    np.testing.assert_allclose(result.transform([[5.0, 5.0]]), [[5.0, 14.0]], atol=0.1)
    np.testing.assert_array_equal(moving.affine.affine_matrix, place)
    assert not moving.visible and result.verdict.outcome == "better"
    run = session_state(viewer).current
    np.testing.assert_array_equal(run.chosen.moving.grid().affine, np.eye(3))

    # The script gives the same; both layers and the pose are written beside it.
    script = python_script(result, run.chosen, tmp_path / "register.py")
    (tmp_path / "register.py").write_text(f"{script}\nresult.save({str(tmp_path / 'again')!r})\n")
    subprocess.run([sys.executable, str(tmp_path / "register.py")], check=True)
    again = load_result(tmp_path / "again")
    np.testing.assert_array_equal(again.transform.matrix, result.transform.matrix)

    # The next step starts from the same pose, and the moving layer is seen again.
    press(panel, "left")
    np.testing.assert_allclose(panel.pose.transform([[0.0, 0.0]]), [[0.0, 16.0]], atol=1e-9)
    assert moving.visible


def test_the_pose_is_kept_as_a_result(panel, viewer, qtbot, tmp_path, monkeypatch):
    fixed, moving = viewer.layers
    press(panel, "right", "rotate")
    pose = panel.pose.transform
    result = finish(panel, qtbot, panel.initial.by_hand.buttons["keep"])
    assert result.method == "by hand"
    np.testing.assert_array_equal(result.transform.matrix, pose.matrix)
    assert result.verdict.outcome == "worse" and panel.outcome.sentence.text().startswith("Worse")
    assert any(layer.name.startswith("1 by hand warped") for layer in viewer.layers)
    names = {}
    exec(python_script(result, session_state(viewer).current.chosen, tmp_path / "kept.py"), names)
    np.testing.assert_array_equal(names["result"].transform.matrix, pose.matrix)
    assert np.allclose(moving.affine.affine_matrix, np.eye(3)) and not moving.visible

    monkeypatch.setattr(actions.QFileDialog, "getSaveFileName", lambda *args: (str(tmp_path / "out"), ""))
    QTest.mouseClick(panel.after.save_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.outcome.saved.text().startswith("Saved"), timeout=20_000)
    loaded = load_result(tmp_path / "out")
    np.testing.assert_array_equal(loaded.transform.matrix, pose.matrix)
    assert loaded.method == "by hand"

    panel.repeat(session_state(viewer).current)
    assert panel.initial.title == "by hand"
    QTest.mouseClick(panel.after.undo_button, Qt.MouseButton.LeftButton)
    assert moving.visible and list(viewer.layers) == [fixed, moving]


def test_a_pose_starts_from_a_chosen_result(panel, viewer, qtbot):
    panel.method.choose("translation")
    viewer.layers[1].data = np.roll(viewer.layers[0].data, 3, 1)
    result = finish(panel, qtbot, panel.bar.button)
    panel.initial.choose("visit 2021 > visit 2019, translation")
    press(panel, "down")
    expected = result.transform.matrix @ Affine.translation([-1.0, 0.0]).matrix
    np.testing.assert_allclose(panel.pose.transform.matrix, expected, atol=1e-9)


def test_the_pose_outlives_the_panel(panel, viewer, qtbot):
    press(panel, "right")
    pose = panel.pose.transform.matrix
    viewer.window.remove_dock_widget(panel)
    again = RegisterWidget(viewer)
    viewer.window.add_dock_widget(again, name="Register")
    assert again.initial.title == "by hand"
    np.testing.assert_array_equal(again.pose.transform.matrix, pose)


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")  # napari's, of the layers themselves
def test_oblique_slices_are_refused_in_one_sentence(viewer, qtbot):
    for angle in (0.2, 0.4):
        affine = np.eye(4)
        affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        viewer.add_image(texture((1, 40, 48)), affine=affine)
    panel = RegisterWidget(viewer)
    viewer.window.add_dock_widget(panel, name="Register")
    panel.initial_fold.open = panel.initial.hand_fold.open = True
    section = panel.initial.by_hand
    qtbot.waitUntil(lambda: section.trouble.text().startswith("Slices that lie obliquely"), timeout=20_000)
    assert not any(button.isEnabled() for button in section.buttons.values())
