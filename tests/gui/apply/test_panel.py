"""The Apply panel in a real viewer: results and files on layers of every kind, and on a folder."""

from __future__ import annotations

import time
from weakref import ref

import numpy as np
import pytest
from napari._app_model import get_app_model
from napari.layers import Labels, Points, Shapes
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Displacement, Image, apply, save_transform
from napari_voxreg.core.params import Params
from napari_voxreg.gui.apply import job as job_module
from napari_voxreg.gui.apply.panel import is_transform
from napari_voxreg.gui.apply.targets_box import FOLDER
from napari_voxreg.gui.doors import open_panel
from napari_voxreg.gui.layers.snapshots import image_from_layer, snapshot
from napari_voxreg.gui.session.chosen import Chosen
from napari_voxreg.gui.session.state import Run, session_state
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.methods.base import Method
from napari_voxreg.transforms import chain

SHAPE = (60, 70)
PLACE = {"scale": (0.5, 0.5), "units": "mm"}


def texture(seed):
    return gaussian_filter(np.random.default_rng(seed).random(SHAPE), 2).astype(np.float32)


@pytest.fixture
def pair(viewer, monkeypatch):
    """The layers of a pair, and a method that never runs."""
    method = Method("known", "The known", Params, lambda *args: None, {"default": {}}, "rigid")
    monkeypatch.setitem(METHODS, "known", method)
    return [viewer.add_image(texture(k), name=name, **PLACE) for k, name in enumerate(("fixed", "moving"))]


@pytest.fixture
def add_run(viewer, pair, result_of):
    """Adds runs of the pair with these transforms."""

    def add(transform):
        taken = [snapshot(layer, viewer) for layer in pair]
        state = session_state(viewer)
        result = result_of(*(one.image() for one in taken), transform)
        chosen = Chosen(*taken, None, None, None, None, None, (0, 0))
        run = Run(state.next_number(), result, chosen, *map(ref, pair))
        state.keep(run)
        return run

    return add


@pytest.fixture
def panel(viewer, pair):
    return open_panel(viewer, "Apply")


def bent(grid):
    field = np.zeros((*SHAPE, 2))
    field[20:40, 20:40, 0] = 1.0
    return chain(Displacement(gaussian_filter(field, (4, 4, 0)), grid), Affine.translation((1.0, 0.5)))


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def check(panel, *names):
    """Click the check boxes of these layers only, as a user does."""
    boxes = panel.targets.list
    for row in range(boxes.count()):
        item = boxes.item(row)
        if (item.checkState() == Qt.CheckState.Checked) != (item.text() in names):
            boxes.scrollToItem(item)
            middle = boxes.visualItemRect(item)
            where = QPoint(middle.left() + 10, middle.center().y())
            QTest.mouseClick(boxes.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert sorted(layer.name for layer in panel.targets.layers) == sorted(names)


def press(panel, qtbot):
    with qtbot.waitSignal(panel.finished, timeout=20_000) as caught:
        click(panel.bar.button)
    return caught.args[0]


def test_a_result_moves_layers_of_every_kind_and_changes_none(panel, viewer, qtbot, add_run):
    assert "Register a pair" in panel.bar.reason.text() and not panel.bar.button.isEnabled()
    points = viewer.add_points([[20.0, 30.0], [35.0, 41.0]], name="cells", face_color="red", **PLACE)
    box = np.array([[10.0, 10.0], [10.0, 20.0], [20.0, 20.0], [20.0, 10.0]])
    viewer.add_shapes([box], name="region", edge_color="cyan", **PLACE)
    labels = viewer.add_labels((texture(3) > 0.5).astype(int) * 4, name="nuclei", **PLACE)
    run = add_run(bent(image_from_layer(viewer.layers["fixed"]).grid))
    before = labels.data.copy(), points.data.copy()
    check(panel, "moving", "cells", "region", "nuclei")
    done = press(panel, qtbot)
    new = [viewer.layers[f"{name} applied 1 known"] for name in ("moving", "cells", "region", "nuclei")]
    assert [type(layer) for layer in new[1:]] == [Points, Shapes, Labels] and len(viewer.layers) == 9
    moving = image_from_layer(viewer.layers["moving"])
    assert np.array_equal(new[0].data, apply(run.result, moving, background="own"), equal_nan=True)
    world = apply(run.result, points.data * 0.5).points
    assert np.allclose(new[1].data * 0.5, world) and np.array_equal(new[1].face_color, points.face_color)
    assert set(np.unique(new[3].data)) <= {0, 4}
    assert np.array_equal(before[0], labels.data) and np.array_equal(before[1], points.data)
    assert panel.said.text().startswith("4 new layers.") and "misses by" in panel.said.text()
    assert len(done.layers) == 4 and not panel.busy


def test_direction_grid_pixels_and_interpolation(panel, viewer, qtbot, add_run):
    run = add_run(bent(image_from_layer(viewer.layers["fixed"]).grid))
    other = viewer.add_image(texture(5)[:30], name="other", scale=(0.8, 0.7), units="mm")
    check(panel, "fixed")
    panel.options.direction.setCurrentIndex(1)
    panel.options.choose_grid(other)
    QTest.keyClicks(panel.options.pixel_size, "0.4")
    panel.options.images.setCurrentText("cubic")
    panel.options.outside.setCurrentText("-1")
    press(panel, qtbot)
    new = viewer.layers["fixed applied 1 known inverse"]
    expected = apply(
        run.result,
        image_from_layer(viewer.layers["fixed"]),
        direction="fixed -> moving",
        grid=image_from_layer(other).grid,
        pixel_size=0.4,
        interpolation="cubic",
        background=-1,
    ).image
    assert np.array_equal(new.data, expected.data)
    assert image_from_layer(new).grid.same_as(expected.grid)
    panel.options.pixel_size.setText("0.4 0.4 0.4")
    with qtbot.waitSignal(panel.failed):
        click(panel.bar.button)
    assert "pixel size cannot be" in panel.said.text()
    panel.options.outside.setCurrentText("white")
    assert "Outside takes" in panel.bar.reason.text()


def test_a_saved_file_and_several_composed(panel, viewer, qtbot, add_run, tmp_path, monkeypatch):
    grid = image_from_layer(viewer.layers["fixed"]).grid
    path = save_transform(bent(grid), tmp_path / "bent.h5", grid)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args: (str(path), ""))
    box = panel.transforms.boxes[0]
    box.setCurrentText("saved transform…")
    box.activated.emit(box.currentIndex())
    assert panel.transforms.chosen == (path,)
    run = add_run(Affine.translation((-2.0, 0.0)))
    assert panel.transforms.chosen == (path,)  # the user's choice stays
    panel.transforms.add_row()
    second = panel.transforms.boxes[1]
    second.setCurrentIndex(1)
    second.activated.emit(1)
    assert panel.transforms.chosen == (path, run.result)
    check(panel, "moving")
    press(panel, qtbot)
    new = viewer.layers["moving applied bent + 1 known"]
    expected = apply([path, run.result], image_from_layer(viewer.layers["moving"]), background="own")
    assert np.array_equal(new.data, expected, equal_nan=True)
    panel.transforms._remove(1)
    path.write_bytes(b"cut off")
    with qtbot.waitSignal(panel.failed):
        click(panel.bar.button)
    assert "bent.h5 is not the file" in panel.said.text()


def drop(panel, *paths):
    """Drop files on the panel, as a file manager does."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    where, buttons = QPointF(5, 5), Qt.MouseButton.LeftButton
    arguments = (Qt.DropAction.CopyAction, mime, buttons, Qt.KeyboardModifier.NoModifier)
    enter = QDragEnterEvent(where.toPoint(), *arguments)
    panel.dragEnterEvent(enter)
    assert enter.isAccepted()
    panel.dropEvent(QDropEvent(where, *arguments))


def test_files_of_other_programs_are_dropped_and_applied(panel, viewer, qtbot, tmp_path):
    fixed = image_from_layer(viewer.layers["fixed"])
    transform = bent(fixed.grid)
    save_transform(transform, tmp_path / "a_", fixed.grid, format="ants")
    assert not panel.foreign_fold.isVisible()
    drop(panel, tmp_path / "a_0GenericAffine.mat", tmp_path / "a_1Warp.nii.gz")  # in any order
    files = tuple(tmp_path / name for name in ("a_1Warp.nii.gz", "a_0GenericAffine.mat"))
    assert panel.transforms.chosen == files and panel.foreign_fold.isVisible()
    assert not panel.foreign_fold.open
    write_image(fixed, tmp_path / "fixed.mha")
    panel.foreign.fixed.choose(tmp_path / "fixed.mha")
    check(panel, "moving")
    press(panel, qtbot)
    expected = apply(transform, image_from_layer(viewer.layers["moving"]), grid=fixed.grid, background="own")
    new = viewer.layers["moving applied a_1Warp.nii + a_0GenericAffine"]
    assert np.allclose(new.data, expected, equal_nan=True, atol=1e-4)
    drop(panel, tmp_path / "fixed.mha")
    assert "not a field of displacements" in panel.said.text() or "not a transform file" in panel.said.text()
    assert panel.transforms.chosen == files


def test_transforms_dropped_on_the_viewer_go_to_the_panel_in_front(panel, viewer, tmp_path):
    fixed = image_from_layer(viewer.layers["fixed"])
    path = save_transform(Affine.translation((2.0, 1.0)), tmp_path / "t.tfm")
    image = write_image(fixed, tmp_path / "image.nii.gz")
    shown = (widget for widget in QApplication.allWidgets() if widget.isVisible())
    (canvas,) = (widget for widget in shown if type(widget).__name__ == "QtViewer")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    keys = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(canvas, QDragEnterEvent(QPoint(50, 50), *keys))
    QApplication.sendEvent(canvas, QDropEvent(QPointF(50, 50), *keys))
    assert panel.transforms.chosen == (path,) and len(viewer.layers) == 2
    assert is_transform(path) and not is_transform(image) and not is_transform(tmp_path)


def test_a_bare_matrix_asks_for_its_format(panel, viewer, qtbot, tmp_path):
    fixed = image_from_layer(viewer.layers["fixed"])
    matrix = np.array([[1, 0, 2.0], [0, 1, 1.0], [0, 0, 1]])
    np.savetxt(tmp_path / "m.txt", matrix)
    write_image(fixed, tmp_path / "fixed.mha")
    drop(panel, tmp_path / "m.txt")
    assert panel.foreign_fold.open and panel.transforms.chosen == (tmp_path / "m.txt",)
    panel.foreign.fixed.choose(tmp_path / "fixed.mha")
    check(panel, "moving")
    with qtbot.waitSignal(panel.failed, timeout=20_000):
        click(panel.bar.button)
    assert "Format in the Apply panel" in panel.said.text()
    panel.foreign.choose("matrix")
    press(panel, qtbot)
    moving = image_from_layer(viewer.layers["moving"])
    expected = apply(Affine(matrix), moving, grid=fixed.grid, background="own")
    assert np.allclose(viewer.layers["moving applied m"].data, expected, equal_nan=True, atol=1e-5)


def test_an_affine_result_may_be_set_without_resampling(panel, viewer, qtbot, add_run):
    add_run(Affine.translation((3.0, -2.0)))
    check(panel, "moving")
    panel.options.affine.click()
    assert not panel.options.grid.isEnabled()
    press(panel, qtbot)
    new = viewer.layers["moving applied 1 known"]
    assert new.data is viewer.layers["moving"].data
    assert np.allclose(new.affine.translate, (-3.0, 2.0))
    add_run(bent(image_from_layer(viewer.layers["fixed"]).grid))
    panel.transforms.choose("2 known: moving > fixed")
    assert not panel.options.affine.isEnabled() and panel.options.grid.isEnabled()


def test_a_folder_and_cancel(panel, viewer, qtbot, add_run, tmp_path, monkeypatch):
    run = add_run(Affine.translation((3.0, -2.0)))
    folder, out = tmp_path / "in", tmp_path / "out"
    moving = image_from_layer(viewer.layers["moving"])
    for name in "ab":
        write_image(moving, folder / f"{name}.mha")
    panel.targets.choose_folder()
    assert panel.targets.kind.currentText() == FOLDER and "Choose a folder" in panel.bar.reason.text()
    panel.targets.source.choose(folder)
    assert "folder for the results" in panel.bar.reason.text()
    panel.targets.output.choose(out)
    press(panel, qtbot)
    assert "Wrote 2 of 2 files" in panel.said.text()
    written = read_image(out / "b.mha")
    expected = apply(run.result, Image(moving.data, moving.grid), background="own")
    assert np.array_equal(written.data, expected, equal_nan=True)
    with qtbot.waitSignal(panel.failed):
        click(panel.bar.button)
    assert "is there already" in panel.said.text()

    def slow(*args):
        *_, progress = args
        while True:
            time.sleep(0.005)
            progress(0.5, "b.mha")

    monkeypatch.setattr(job_module, "apply_to_folder", slow)
    click(panel.bar.button)
    qtbot.waitUntil(lambda: panel.bar.stage.text() == "b.mha")
    assert panel.busy and panel.bar.bar.value() == 500
    click(panel.bar.cancel_button)
    assert not panel.busy and panel.said.text().startswith("Cancelled") and panel.bar.button.isEnabled()


def test_one_layer_that_cannot_be_applied_does_not_lose_the_others(panel, viewer, qtbot, add_run):
    viewer.add_points([[500.0, 500.0]], name="far", **PLACE)
    add_run(bent(image_from_layer(viewer.layers["fixed"]).grid))
    panel.options.direction.setCurrentIndex(1)
    check(panel, "fixed", "far")
    press(panel, qtbot)
    assert (
        "fixed applied 1 known inverse" in viewer.layers
        and "Left out far: None of the points" in panel.said.text()
    )
    check(panel, "far")
    with qtbot.waitSignal(panel.failed):
        click(panel.bar.button)
    assert panel.said.text().startswith("far: None of the points")
    for number in range(2, 11):
        viewer.add_points([[500.0, 500.0]] * number, name=f"far{number}", **PLACE)
    check(panel, "fixed", *(f"far{number}" for number in range(2, 11)))
    press(panel, qtbot)
    said = panel.said.text()
    assert said.count("None of the points lies inside") == 1
    assert "Left out far2, far3, far4, far5, far6, far7 and 3 more: None of the points" in said


def test_the_context_menu_applies_the_last_transform(viewer, pair, qtbot, add_run):
    viewer.add_points([[20.0, 30.0]], name="cells", **PLACE)
    open_panel(viewer, "Results")  # any panel of ours
    app = get_app_model()
    entries = [
        item.command
        for item in app.menus.get_menu("napari/layers/context")
        if item.group == "8_voxreg" and item.command.id.endswith("apply_last")
    ]
    assert [entry.title for entry in entries] == ["Apply last transform (VoxReg)"]
    viewer.layers.selection = {viewer.layers["cells"]}
    app.commands.execute_command(entries[0].id)
    panel = open_panel(viewer, "Apply")
    assert "Register a pair" in panel.said.text()
    add_run(Affine.translation((1.0, 0.5)))
    with qtbot.waitSignal(panel.finished, timeout=20_000):
        app.commands.execute_command(entries[0].id)
    assert np.allclose(viewer.layers["cells applied 1 known"].data, [[18.0, 29.0]])
    assert panel.in_front


def test_the_panel_is_closed_while_it_works(panel, viewer, qtbot, add_run, monkeypatch):
    add_run(Affine.translation((1.0, 0.5)))
    check(panel, "moving")
    click(panel.bar.button)
    viewer.window.remove_dock_widget(panel)
    QTest.qWait(200)
    assert [layer.name for layer in viewer.layers] == ["fixed", "moving"]
    again = open_panel(viewer, "Apply")
    assert again is not panel and again.transforms.chosen
