"""The Landmarks panel in a real viewer, driven by mouse and keyboard."""

import shlex
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMainWindow
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Grid, Image, load_result, load_transform
from napari_voxreg.cli import main as cli
from napari_voxreg.core.geometry import unit_factor
from napari_voxreg.core.progress import silent
from napari_voxreg.gui.doors import open_panel
from napari_voxreg.gui.landmarks import files as files_module
from napari_voxreg.gui.landmarks import placing as placing_module
from napari_voxreg.gui.layers.snapshots import data_to_world, snapshot
from napari_voxreg.gui.look.look import camera_of
from napari_voxreg.gui.register.checks import chosen_in
from napari_voxreg.gui.session.script import command_line, python_script
from napari_voxreg.gui.session.state import Run, session_state
from napari_voxreg.io.images import write_image
from napari_voxreg.io.points import PairFile

pytestmark = pytest.mark.usefixtures("warm_child")

SHAPE = (90, 100)
OFFSET = (3.0, -4.0)  # from fixed to moving, in mm


def texture(seed=0):
    return gaussian_filter(np.random.default_rng(seed).random(SHAPE), 2).astype(np.float32)


@pytest.fixture
def panel(viewer, qtbot):
    """The panel with two images, of which the moving one lies elsewhere, in other units."""
    viewer.window.resize(1000, 700)
    viewer.add_image(texture(), name="fixed", scale=(0.5, 0.5), units="mm")
    moving = np.roll(texture(), (6, -8), (0, 1))
    viewer.add_image(moving, name="moving", scale=(500, 500), units="um")
    panel = open_panel(viewer, "Landmarks")
    viewer.reset_view()
    qtbot.wait(50)
    return panel


def at(viewer, place):
    """Where a place of the world, in mm, is on the canvas."""
    canvas, camera = viewer.window._qt_viewer.canvas, camera_of(viewer)
    height, width = canvas.size
    place = np.asarray(place) * unit_factor("mm", str(viewer.dims.units[-1]))
    row, column = (place - np.array(camera.center)[-2:]) * camera.zoom
    return QPoint(round(width / 2 + column), round(height / 2 + row))


def click(viewer, place):
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.mouseMove(canvas, at(viewer, place))
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at(viewer, place))
    QTest.qWait(10)


def key(viewer, code):
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.window._qt_window.activateWindow()
    canvas.setFocus()
    QTest.qWait(20)
    if isinstance(code, QKeySequence):
        QTest.keySequence(canvas, code)
    else:
        QTest.keyClick(canvas, code)
    QTest.qWait(10)


def look_of(layer):
    """What a layer shows and where, as far as the panel could change it."""
    state = layer._get_state()
    return {name: repr(value) for name, value in state.items() if name != "data"}, layer.data, layer.visible


def test_pairs_are_placed_by_clicks_and_keys(panel, viewer, qtbot):
    images = [viewer.layers[name] for name in ("fixed", "moving")]
    before = [look_of(layer) for layer in images]
    assert panel.sentence.text().startswith("No landmarks yet")
    panel.fit_box.choose("translation")
    panel.buttons["Add pairs"].click()
    assert "landmark 1 in the fixed image" in panel.said.text()
    assert [layer.visible for layer in images] == [True, False]
    click(viewer, (10, 12))
    assert [layer.visible for layer in viewer.layers] == [False, True, False, True]
    assert panel.said.text().startswith("Landmark 1: click it in the moving image")
    assert len(panel.pairs.complete[0]) == 0  # it does not count yet
    click(viewer, np.add((10, 12), OFFSET))
    fixed, moving = viewer.layers["fixed landmarks"], viewer.layers["moving landmarks"]
    # napari's own tools take the mouse's place for that in the layer's units.
    assert fixed.units == moving.units == viewer.dims.units == images[1].units != images[0].units
    assert data_to_world(fixed)[0, 0] == data_to_world(images[0])[0, 0] * 1000
    assert fixed.text.values.tolist() == ["1"] and fixed.size[0] == pytest.approx(2.5)

    click(viewer, (30, 35))
    proposed = panel.pairs.moving.world[-1]
    np.testing.assert_allclose(proposed, np.add((30, 35), OFFSET), atol=0.5)  # by the fit to the first
    key(viewer, Qt.Key.Key_Return)
    numbers, first, second = panel.pairs.complete
    assert numbers.tolist() == [1, 2]
    np.testing.assert_allclose(first, [(10, 12), (30, 35)], atol=0.2)
    np.testing.assert_allclose(second - first, [OFFSET] * 2, atol=0.4)
    np.testing.assert_array_equal(fixed.face_color, moving.face_color)
    assert (fixed.face_color[0] != fixed.face_color[1]).any()

    click(viewer, (20, 20))
    key(viewer, Qt.Key.Key_Escape)  # skips the pair
    assert len(fixed.data) == len(moving.data) == 2 and panel.placing.on
    key(viewer, Qt.Key.Key_Escape)  # ends
    assert not panel.placing.on and not panel.buttons["Add pairs"].isChecked() and not panel.said.isVisible()
    for layer, (state, data, visible) in zip(images, before, strict=True):
        now = look_of(layer)
        assert [name for name in state if now[0][name] != state[name]] == []
        assert now[1] is data and now[2] == visible
    click(viewer, (20, 20))
    assert len(fixed.data) == 2


def test_all_choices_begin_at_one_place(panel, qtbot):
    boxes = (*panel.layers.boxes, panel.fit_box.box, panel.result_box)
    qtbot.waitUntil(lambda: len({box.mapTo(panel, QPoint(0, 0)).x() for box in boxes}) == 1, timeout=10_000)


def test_a_partner_is_found_by_a_local_search(panel, viewer, qtbot):
    panel.buttons["Add pairs"].click()
    click(viewer, (22, 25))
    assert panel.pairs.moving.world[0] == pytest.approx(panel.pairs.fixed.world[0])  # no fit: as they lie
    key(viewer, Qt.Key.Key_R)
    qtbot.waitUntil(lambda: "Refined" in panel.said.text(), timeout=20_000)
    assert panel.pairs.moving.world[0] - panel.pairs.fixed.world[0] == pytest.approx(OFFSET, abs=0.1)
    panel.buttons["Accept"].click()
    assert panel.pairs.complete[0].tolist() == [1] and panel.placing.on


def test_the_view_follows_the_point_through_the_slices_of_a_volume(viewer, qtbot, monkeypatch):
    volume = gaussian_filter(np.random.default_rng(0).random((14, 40, 40)), 2).astype(np.float32)
    place = {"scale": (3.0, 1.0, 1.0), "units": "mm"}
    for name in ("fixed", "moving"):
        viewer.add_image(volume, name=name, **place)
    panel = open_panel(viewer, "Landmarks")
    viewer.reset_view()
    viewer.dims.set_current_step(0, 5)
    far = (12.0, 60.0, 1.0)  # four slices on, and beyond the edge of the canvas
    monkeypatch.setattr(placing_module, "find_partner", lambda a, b, fixed, begin: (fixed + far, 0.8))

    def seen(point):
        """Whether a point lies in the slice and on the canvas."""
        centre, height = np.array(camera_of(viewer).center), viewer.window._qt_viewer.canvas.size[0]
        near = abs(point[1] - centre[-2]) < height / 2 / camera_of(viewer).zoom
        return viewer.dims.point[0] == pytest.approx(point[0]) and near

    panel.buttons["Add pairs"].click()
    click(viewer, (20, 20))
    assert viewer.dims.current_step[0] == 5
    for key_or_button in ("Accept", Qt.Key.Key_Escape):
        key(viewer, Qt.Key.Key_R)
        qtbot.waitUntil(lambda: "Refined" in panel.said.text(), timeout=20_000)
        fixed, moving = panel.pairs.fixed.world[-1], panel.pairs.moving.world[-1]
        assert viewer.dims.current_step[0] == 9 and seen(moving) and not seen(fixed)
        if key_or_button == "Accept":
            panel.buttons["Accept"].click()
        else:
            key(viewer, key_or_button)
        assert viewer.dims.current_step[0] == 5 and seen(fixed)
        assert viewer.layers["fixed"].visible and not viewer.layers["moving"].visible
        panel.fit_box.choose("affine")  # which one pair does not determine
        click(viewer, (fixed[1] + 2, fixed[2] + 2))


PLACES = np.array([(6.0, 8), (8, 40), (38, 9), (37, 41), (22, 24)])


@pytest.fixture
def placed(panel):
    """The panel with five pairs, of which the last is wrong."""
    pairs = panel._with_points()
    moving = PLACES + OFFSET
    moving[4] += (2, 1)
    pairs.replace_by(PairFile(PLACES, 1000 * moving))
    return panel


def cells(panel):
    contents = panel.table.contents
    return [line.split("\t") for line in contents.text(range(len(contents.rows))).split("\n")[1:]]


def test_errors_of_each_pair_and_the_way_to_it(placed, viewer, qtbot):
    panel = placed
    panel.fit_box.choose("translation")
    qtbot.waitUntil(lambda: "left out in turn" in panel.sentence.text())
    table = cells(panel)
    offset = np.array([(0, 0)] * 4 + [(2, 1)])
    np.testing.assert_allclose(
        [float(line[1]) for line in table], np.linalg.norm(offset - offset.mean(0), axis=1), rtol=0.01
    )
    assert [line[0] for line in table] == ["1", "2", "3", "4", "5 worst"]
    assert float(table[4][2]) == pytest.approx(np.hypot(2, 1), abs=0.01)
    assert "Translation fit to 5 pairs: residual mean" in panel.sentence.text()
    assert "largest 2.24 mm (landmark 5)" in panel.sentence.text()

    camera_of(viewer).zoom *= 4
    row = panel.table.visualRect(panel.table.contents.index(3, 1)).center()
    QTest.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=row)
    factor = unit_factor("mm", str(viewer.dims.units[-1]))
    np.testing.assert_allclose(np.array(camera_of(viewer).center)[-2:] / factor, PLACES[3], atol=1e-6)

    QTest.keyClick(panel.table, Qt.Key.Key_Delete)
    assert [line[0].split()[0] for line in cells(panel)] == ["1", "2", "3", "4"]
    np.testing.assert_allclose(panel.pairs.complete[1], np.delete(PLACES, 3, 0))
    panel.buttons["Undo"].click()
    np.testing.assert_allclose(panel.pairs.complete[1], PLACES)
    panel.fit_box.choose("homography")
    assert "largest" in panel.sentence.text()
    panel.pairs.remove(1)
    panel.pairs.remove(1)
    assert "A homography in 2D needs 4 pairs of points, and there are 3" in panel.sentence.text()
    assert not panel.buttons["Use as initial transform"].isEnabled()


@pytest.mark.parametrize("kind", ["homography", "thin plate"])
def test_nothing_is_seen_outside_the_moving_image(placed, viewer, qtbot, kind):
    moving = viewer.layers["moving"]
    moving.data = moving.data - 100  # in dB, say: 0 is brighter than all pixels
    moving.contrast_limits = -100.0, -99.0
    placed.fit_box.choose(kind)
    placed.previewing.click()
    qtbot.waitUntil(lambda: "preview: moving" in viewer.layers, timeout=20_000)
    shown = viewer.layers["preview: moving"]
    outside = np.isnan(shown.data)
    grid = placed.pairs.fixed.grid
    assert shown.data.shape == grid.shape  # small enough for each pixel to be there
    there = placed.pairs.moving.grid.contains(placed.fitted(grid.nodes())).reshape(grid.shape)
    assert 0.02 < outside.mean() < 0.5 and (outside == ~there).mean() > 0.99
    assert np.nanmax(shown.data) < -90
    assert shown.colormap.map(np.array([np.nan]))[0, 3] == 0  # napari draws nothing there


def test_points_without_a_partner_are_said(placed, viewer, qtbot):
    panel, moving = placed, viewer.layers["moving landmarks"]
    moving.selected_data = {1}
    moving.remove_selected()  # with napari's own tool
    assert panel.sentence.text().startswith(
        "Of 5 fixed and 4 moving points, number 2 has no moving point: add or delete one."
    )
    assert panel.pairs.complete[0].tolist() == [1, 3, 4, 5]
    np.testing.assert_allclose(panel.pairs.complete[2][1], PLACES[2] + OFFSET)
    assert not panel.buttons["Use as landmarks"].isEnabled()
    moving.add(np.add(PLACES[1], OFFSET) * 2)  # in its pixels: it gets the number that is missing
    assert panel.pairs.alone == "" and panel.pairs.complete[0].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(panel.pairs.complete[2][1], PLACES[1] + OFFSET)
    assert panel.buttons["Use as landmarks"].isEnabled()
    assert panel.pairs.moving.numbers.tolist() == [1, 2, 3, 4, 5]  # in order, by which Register pairs them
    np.testing.assert_allclose(moving.data[1], np.add(PLACES[1], OFFSET) * 2)
    viewer.layers.selection.active = moving
    key(viewer, Qt.Key.Key_A)  # selects all points
    moving.selected_data = {0}
    moving._copy_data()
    moving._paste_data()
    assert sorted(panel.pairs.moving.numbers) == [1, 2, 3, 4, 5, 6]  # a pasted point is none of a pair twice


def test_dragging_a_point_moves_the_preview_without_resampling(placed, viewer, qtbot):
    panel = placed
    images = [viewer.layers[name] for name in ("fixed", "moving")]
    before = [look_of(layer) for layer in images]
    panel.fit_box.choose("affine")
    panel.previewing.click()
    shown = viewer.layers["preview: moving"]
    assert shown.data is images[1].data and not images[1].visible and images[0].visible
    assert viewer.layers.selection.active is not shown

    def agrees():
        """Whether a pixel of the preview lies where the fit takes it from."""
        grid = panel.pairs.fixed.grid
        points = grid.to_world(np.array([[0.0, 0], [70, 20], [30, 80]]))
        there = panel.fitted(points)  # in mm of the moving world
        pixels = np.linalg.inv(data_to_world(images[1])) @ np.c_[there * 1000, np.ones(3)].T
        seen = data_to_world(shown) @ pixels
        return np.allclose(seen[:2].T / 1000, points)

    assert agrees()
    fixed = viewer.layers["fixed landmarks"]
    viewer.layers.selection.active = fixed
    fixed.mode = "select"
    QTest.qWait(20)
    affine, steps = shown.affine.affine_matrix.copy(), len(panel.pairs._done)
    canvas, left = viewer.window._qt_viewer.canvas.native, Qt.MouseButton.LeftButton
    QTest.mouseMove(canvas, at(viewer, PLACES[0]))
    QTest.mousePress(canvas, left, pos=at(viewer, PLACES[0]))
    seen = []
    for step in np.linspace(0, 1, 5)[1:]:
        QTest.mouseMove(canvas, at(viewer, PLACES[0] + step * np.array((4, 6))))
        QTest.qWait(20)
        seen.append(viewer.layers["preview: moving"].affine.affine_matrix.copy())
        assert agrees()
    QTest.mouseRelease(canvas, left, pos=at(viewer, PLACES[0] + (4, 6)))
    assert len({matrix.tobytes() for matrix in [affine, *seen]}) >= 4  # it followed the mouse
    assert viewer.layers["preview: moving"] is shown
    np.testing.assert_allclose(panel.pairs.fixed.world[0], PLACES[0] + (4, 6), atol=0.3)
    assert len(panel.pairs._done) == steps + 1
    key(viewer, QKeySequence("Ctrl+Z"))
    np.testing.assert_allclose(panel.pairs.fixed.world[0], PLACES[0], atol=1e-9)
    np.testing.assert_allclose(shown.affine.affine_matrix, affine)

    marks = viewer.layers["preview: moving landmarks"]
    world = marks.data * 0.5
    np.testing.assert_allclose(panel.fitted(world), panel.pairs.moving.world, atol=1e-6)
    click_on = np.array((15.0, 20))
    panel.buttons["Add pairs"].click()
    click(viewer, click_on)
    assert images[0].visible and shown.visible and fixed.visible and not images[1].visible
    key(viewer, Qt.Key.Key_Escape)
    assert len(viewer.layers["moving landmarks"].data) == 5  # though it is hidden
    click(viewer, click_on)
    click(viewer, click_on)  # seen there, it lies elsewhere
    np.testing.assert_allclose(
        panel.pairs.complete[2][-1], panel.fitted(panel.pairs.complete[1][-1:])[0], atol=0.5
    )
    panel.buttons["Add pairs"].click()

    panel.fit_box.choose("thin plate")
    qtbot.waitUntil(lambda: "resampled" in viewer.layers["preview: moving"].metadata, timeout=20_000)
    open_panel(viewer, "Results")
    qtbot.waitUntil(lambda: not panel.previewing.isChecked())
    assert [layer.name for layer in viewer.layers] == [
        "fixed",
        "moving",
        "fixed landmarks",
        "moving landmarks",
    ]
    for layer, (state, data, visible) in zip(images, before, strict=True):
        now = look_of(layer)
        assert [name for name in state if now[0][name] != state[name]] == []
        assert now[1] is data and now[2] == visible
    assert viewer.layers["moving landmarks"].visible


def test_the_tool_in_use_outlives_undo_redo_and_delete(placed, viewer):
    fixed, moving = viewer.layers["fixed landmarks"], viewer.layers["moving landmarks"]
    viewer.layers.selection.active = fixed
    fixed.mode, moving.mode = "select", "add"
    placed.pairs.place(1, PLACES[0] + 1)
    placed.buttons["Undo"].click()
    np.testing.assert_allclose(placed.pairs.complete[1], PLACES)
    placed.buttons["Redo"].click()
    placed.pairs.remove(2)
    assert (fixed.mode, moving.mode) == ("select", "add")
    fixed.visible = False
    placed.buttons["Undo"].click()
    assert not fixed.visible and len(fixed.data) == 5


def test_an_image_that_is_opened_again_takes_its_place(placed, viewer):
    moving = viewer.layers["moving"]
    viewer.layers.remove(moving)
    assert "Choose a fixed and a moving image." in placed.sentence.text()
    again = viewer.add_image(moving.data, name="again", scale=(500, 500), units="um")
    assert placed.layers.pair == (viewer.layers["fixed"], again)
    assert len(placed.pairs.complete[0]) == 5
    fixed = viewer.layers["fixed"]
    viewer.layers.remove(fixed)
    new = viewer.add_image(fixed.data, name="new", scale=(0.5, 0.5), units="mm")
    assert placed.layers.pair == (new, again)


def test_the_points_can_be_read_in_a_narrow_panel(placed, viewer, qtbot):
    placed.window().resizeDocks([placed.parent()], [300], Qt.Orientation.Horizontal)
    qtbot.wait(50)
    for box in placed.layers.boxes[2:]:
        assert box.fontMetrics().horizontalAdvance(box.currentText()) < box.width() - 40


def test_files_and_doors_to_register(placed, viewer, qtbot, tmp_path, monkeypatch):
    panel = placed
    path = tmp_path / "pairs.csv"
    monkeypatch.setattr(files_module.QFileDialog, "getSaveFileName", lambda *args: (str(path), ""))
    panel.buttons["Save points…"].click()
    assert panel.said.text() == f"Saved: {path}"
    assert path.read_text(encoding="utf-8").startswith(
        "number,fixed_row,fixed_column,moving_row,moving_column\n1,6.0,8.0,9000.0,"
    )
    panel.pairs.replace_by(PairFile(PLACES[:1], PLACES[:1]))
    monkeypatch.setattr(files_module.QFileDialog, "getOpenFileName", lambda *args: (str(path), ""))
    panel.buttons["Open points…"].click()
    np.testing.assert_allclose(panel.pairs.complete[1], PLACES)
    np.testing.assert_allclose(panel.pairs.complete[2][:4], PLACES[:4] + OFFSET)
    path.write_text("fixed,moving\n1,2\n")
    panel.buttons["Open points…"].click()
    assert "name no coordinates; call the columns x, y" in panel.said.text()
    path.write_text("fixed z,fixed y,fixed x,moving z,moving y,moving x\n1,2,3,4,5,6\n")
    panel.buttons["Open points…"].click()
    assert panel.said.text() == "The points are 3D and the images 2D; open others."

    panel.fit_box.choose("rigid")
    fitted = panel.fitted
    panel.buttons["Use as initial transform"].click()
    register = open_panel(viewer, "Register")
    qtbot.waitUntil(lambda: register.in_front)
    assert register.initial.title == "rigid fit to 5 landmarks" and register.reason() == ""
    chosen = chosen_in(viewer, register.pair, register.pixels, register.initial)
    assert chosen.inputs(silent)["initial"] is fitted
    params = METHODS["rigid"].parameters(None, {})
    result = SimpleNamespace(method="rigid", params=params, device="cpu")
    assert f"initial=load_transform({str(tmp_path / 'copy_initial.h5')!r})" in python_script(
        result, chosen, tmp_path / "copy.py"
    )
    np.testing.assert_allclose(load_transform(tmp_path / "copy_initial.h5")(PLACES), fitted(PLACES))

    panel.to_front()
    panel.buttons["Use as landmarks"].click()
    qtbot.waitUntil(lambda: register.in_front)
    boxes = [box.layer.name for box in register.initial.boxes]
    assert boxes == ["fixed landmarks", "moving landmarks"] and register.reason() == ""
    chosen = chosen_in(viewer, register.pair, register.pixels, register.initial)
    np.testing.assert_allclose(chosen.landmarks[0], PLACES)
    np.testing.assert_allclose(chosen.landmarks[1][:4], 1000 * (PLACES[:4] + OFFSET))
    panel.to_front()
    qtbot.waitUntil(lambda: panel.in_front)
    window = panel.window()
    assert isinstance(window, QMainWindow)
    window.resizeDocks([panel.parent()], [300], Qt.Orientation.Horizontal)
    qtbot.wait(50)
    assert panel.area.widget().minimumSizeHint().width() <= panel.area.viewport().width()


@pytest.mark.parametrize(("kind", "smoothing"), [("affine", 0.0), ("thin plate", 0.1)])
def test_a_fit_is_kept_as_a_result(placed, viewer, qtbot, tmp_path, kind, smoothing):
    panel, state = placed, session_state(viewer)
    panel.fit_box.choose(kind, smoothing)
    fitted, points = panel.fitted, np.random.default_rng(1).uniform(0, 40, (30, 2))
    register = open_panel(viewer, "Register")
    panel.to_front()
    with qtbot.waitSignal(register.finished, timeout=60_000):
        panel.buttons["Keep as result"].click()
        assert register.busy
        panel.buttons["Keep as result"].click()  # too soon
        assert panel.said.text() == "Register is at work; keep the fit when its run has ended."
    (run,) = state.runs
    assert state.current is run and run.result.method == "landmarks"
    assert register.initial.title == "layer positions"  # the next run starts as before
    assert run.result.params.as_dict() == {"fit": kind, "smoothing": smoothing, "pairs": 5}
    np.testing.assert_allclose(run.result.transform(points), fitted(points), atol=1e-9)
    assert run.result.verdict.outcome == "better"
    assert "1 landmarks warped: moving > fixed" in [layer.name for layer in viewer.layers]

    results = open_panel(viewer, "Results")
    assert results.table.contents.text([0]).split("\n")[1].startswith("1 landmarks")
    apply_panel = open_panel(viewer, "Apply")
    apply_panel.apply_last()
    qtbot.waitUntil(lambda: "applied" in viewer.layers[-1].name, timeout=20_000)
    assert not results.buttons["Copy as Python"].isHidden()
    script = python_script(run.result, run.chosen, tmp_path / "copy.py")
    assert "method='landmarks'" in script and "initial=load_transform(" in script
    words = shlex.split(command_line(run.result, run.chosen, tmp_path / "copy.sh"))
    assert cli.main([*words[1:-1], "cpu"]) == 0
    again = load_result(tmp_path / "copy_result")
    assert again.params == run.result.params
    np.testing.assert_allclose(again.transform(points), fitted(points), atol=1e-6)

    loaded = load_result(run.result.save(tmp_path / "kept"))
    assert loaded.method == "landmarks" and loaded.params == run.result.params
    np.testing.assert_allclose(loaded.transform(points), fitted(points), atol=1e-9)
    results.buttons["Undo"].click()
    assert not state.runs and "1 landmarks warped: moving > fixed" not in viewer.layers
    results.buttons["Redo"].click()
    assert state.runs == [run]


def test_the_error_of_a_result_at_the_landmarks(placed, viewer, qtbot, result_of):
    panel, state = placed, session_state(viewer)
    taken = [snapshot(viewer.layers[name]) for name in ("fixed", "moving")]
    result = result_of(*(one.image() for one in taken), Affine.translation((3.0, -2.0)))
    state.keep(Run(state.next_number(), result))
    panel.result_box.setCurrentIndex(1)
    assert [float(line[3]) for line in cells(panel)[:4]] == [2.0] * 4
    assert f"{panel.result_box.currentText()}: mean" in panel.sentence.text()
    state.delete(state.runs[0])
    assert panel.result_box.currentText() == "no result" and len(cells(panel)[0]) == 3


def turned(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def test_volumes_rotated_anisotropic_and_in_time(viewer, qtbot):
    rng = np.random.default_rng(0)
    volume = rng.random((2, 12, 30, 32), np.float32)
    place = {"scale": (1, 3, 0.5, 0.5), "translate": (0, 5, 1, 2), "units": ("s", "mm", "mm", "mm")}
    labels = ("t", "z", "y", "x")
    viewer.add_image(volume, name="fixed", axis_labels=labels, **place)
    rotate = np.eye(4)
    rotate[1:, 1:] = turned(20)
    viewer.add_image(volume, name="moving", axis_labels=labels, rotate=rotate, **place)
    viewer.dims.set_point(0, 1)
    panel = open_panel(viewer, "Landmarks")
    pairs = panel._with_points()
    assert "homography" not in [panel.fit_box.box.itemText(k) for k in range(panel.fit_box.box.count())]
    fixed = pairs.fixed.grid.to_world(rng.uniform(2, 10, (6, 3)))
    moving = fixed @ turned(20).T + (1, 2, 3)
    pairs.replace_by(PairFile(fixed, moving))
    np.testing.assert_allclose(pairs.complete[1], fixed, atol=1e-9)
    np.testing.assert_allclose(pairs.complete[2], moving, atol=1e-9)
    assert (pairs.fixed.points.data[:, 0] == 1).all()  # at the time that was shown
    index = snapshot(viewer.layers["moving"], viewer).grid().to_index(moving)
    np.testing.assert_allclose(pairs.moving.points.data[:, 1:], index, atol=1e-9)

    panel.fit_box.choose("translation")
    panel.previewing.click()
    assert viewer.layers["preview: moving"].data is volume  # moved without resampling
    panel.fit_box.choose("rigid")  # which napari cannot show in slices
    qtbot.waitUntil(lambda: "resampled" in viewer.layers["preview: moving"].metadata, timeout=5000)
    panel.previewing.click()
    assert [layer.visible for layer in viewer.layers] == [True] * 4


IJK = "# Markups fiducial file version = 4.6\n# CoordinateSystem = 2\n"


def test_indices_are_those_of_the_file_whatever_the_order_of_the_layers_axes(viewer, tmp_path):
    volume = np.random.default_rng(0).random((20, 24, 28), np.float32)
    directions = {"ras": np.diag([1.0, -1, -1]), "sagittal": np.eye(3)[[1, 2, 0]]}
    for name, direction in directions.items():
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = direction @ np.diag([1.0, 2, 3]), (7, 8, 9)
        write_image(Image(volume, Grid(volume.shape, affine, ("mm",) * 3)), tmp_path / f"{name}.mha")
        viewer.open(tmp_path / f"{name}.mha", plugin="napari-voxreg")
    panel = open_panel(viewer, "Landmarks")
    pairs = panel._with_points()
    (tmp_path / "a.txt").write_text("index\n2\n1 2 3\n10 3 4\n")
    (tmp_path / "b.txt").write_text("2\n1 2 3\n10 3 4\n")
    (tmp_path / "c.fcsv").write_text(f"{IJK}a,1,2,3\nb,10,3,4\n")
    for path in (tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.fcsv"):
        pairs.replace_by(PairFile(np.zeros((1, 3)), np.zeros((1, 3))))
        panel.files.dropped([path, path])
        # Index (z, y, x) = (3, 2, 1), by the directions above.
        np.testing.assert_allclose(pairs.complete[1][0], [7 + 3, 8 - 4, 9 - 3], atol=1e-5)
        np.testing.assert_allclose(pairs.complete[2][0], [7 + 4, 8 + 3, 9 + 3], atol=1e-5)
    # A layer that was moved has its pixels elsewhere.
    viewer.layers["ras"].translate = np.add(viewer.layers["ras"].translate, (100, 0, 0))
    pairs.fixed.forget()
    panel.files.open(tmp_path / "a.txt", tmp_path / "a.txt")
    np.testing.assert_allclose(pairs.complete[1][0], [107 + 3, 8 - 4, 9 - 3], atol=1e-5)


LABELS = ("left", "right", "top", "bottom", "middle")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("BigWarp (*.csv)", ["p.csv"]),
        ("Slicer markups, one file for each image (*.mrk.json)", ["p_fixed.mrk.json", "p_moving.mrk.json"]),
        ("Slicer fiducials, one file for each image (*.fcsv)", ["p_fixed.fcsv", "p_moving.fcsv"]),
        ("elastix points, one file for each image (*.txt)", ["p_fixed.txt", "p_moving.txt"]),
    ],
)
def test_pairs_of_other_programs_come_back(placed, viewer, tmp_path, monkeypatch, kind, names):
    panel = placed
    panel.pairs.replace_by(PairFile(PLACES, 1000 * (PLACES + OFFSET), LABELS))
    named = tmp_path / names[0].replace("_fixed", "")
    monkeypatch.setattr(files_module.QFileDialog, "getSaveFileName", lambda *args: (str(named), kind))
    panel.buttons["Save points…"].click()
    assert panel.said.text() == "Saved: " + " and ".join(str(tmp_path / name) for name in names)
    panel.pairs.replace_by(PairFile(PLACES[:1], PLACES[:1]))
    asked = iter(names)
    monkeypatch.setattr(
        files_module.QFileDialog, "getOpenFileName", lambda *args: (str(tmp_path / next(asked)), "")
    )
    panel.buttons["Open points…"].click()
    np.testing.assert_allclose(panel.pairs.complete[1], PLACES, atol=1e-9)
    np.testing.assert_allclose(panel.pairs.complete[2], PLACES + OFFSET, atol=1e-9)
    if "txt" not in names[0]:
        assert panel.pairs.for_file().labels == LABELS
        assert [row[0] for row in cells(panel)][:2] == ["1 left", "2 right"]
        panel.pairs.remove(1)
        assert panel.pairs.for_file().labels == LABELS[1:]
        panel.pairs.undo()
        assert panel.pairs.for_file().labels == LABELS
        panel.pairs.place(6, PLACES[0], PLACES[0] + OFFSET)
        assert panel.pairs.for_file().labels == (*LABELS, "6")


def test_points_of_two_layers_correspond_by_label_and_those_outside_are_said(panel, viewer, tmp_path):
    (tmp_path / "f.csv").write_text("x,y,label\n8,6,a\n40,8,b\n9,400,c\n")
    (tmp_path / "m.csv").write_text("x,y,label\n36000,11000,b\n4000,9000,a\n")
    for name in "fm":
        panel.files.dropped([tmp_path / f"{name}.csv"])
    fixed, moving = viewer.layers["f"], viewer.layers["m"]
    fixed.units = ("mm", "mm")
    assert fixed.features["label"].tolist() == ["a", "b", "c"]
    panel.layers.choose_points(fixed, moving)
    numbers, first, second = panel.pairs.complete
    assert numbers.tolist() == [1, 2]
    np.testing.assert_allclose(first, [[6, 8], [8, 40]])
    np.testing.assert_allclose(second, [[9, 4], [11, 36]])
    assert "number 3 has no moving point" in panel.sentence.text()
    panel.pairs.place(3, None, np.array([9.0, 30.0]))
    panel.pairs.place(3, np.array([400.0, 9.0]))
    assert "1 of the 3 fixed points lies outside the fixed image" in panel.sentence.text()


def test_pairs_dropped_on_the_canvas_are_the_landmarks(panel, viewer, qtbot, tmp_path):
    path = tmp_path / "landmarks.csv"
    path.write_text('"Pt-0","true","4000","9000","8","6"\n"Pt-1","false","1","2","3","4"\n')
    panel.files.dropped([path])
    np.testing.assert_allclose(panel.pairs.complete[1], PLACES[:1])
    np.testing.assert_allclose(panel.pairs.complete[2], PLACES[:1] + OFFSET)
    assert panel.said.text() == "1 point of landmarks.csv is left out: inactive in BigWarp."
    (tmp_path / "a.fcsv").write_text(
        "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n1,8,6,0\n"
    )
    panel.files.dropped([tmp_path / "a.fcsv"])
    # In the units of the viewer.
    assert viewer.layers["a"].data.tolist() == [[6000, 8000]]
    assert [str(unit) for unit in viewer.layers["a"].units] == ["micrometer"] * 2
