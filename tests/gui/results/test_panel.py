"""The Results panel in a real viewer: rows, layers, files, and runs of an earlier session."""

import json
import threading
import time
from weakref import ref

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, load_transform
from napari_voxreg.core.params import Params
from napari_voxreg.core.progress import Cancelled, silent
from napari_voxreg.gui.doors import open_panel
from napari_voxreg.gui.layers import maps
from napari_voxreg.gui.layers.readers import read_layers
from napari_voxreg.gui.layers.result_layers import Show
from napari_voxreg.gui.layers.snapshots import snapshot
from napari_voxreg.gui.look.look import OVERLAY
from napari_voxreg.gui.results import motion
from napari_voxreg.gui.results.motion import measure
from napari_voxreg.gui.session import actions, run_layers
from napari_voxreg.gui.session.chosen import Chosen
from napari_voxreg.gui.session.state import Run, session_state
from napari_voxreg.io.images import read_image
from napari_voxreg.methods.base import Method
from napari_voxreg.registration.inverse import inverse_consistency
from napari_voxreg.transforms import Affine, Displacement, chain, displacement_on

pytestmark = pytest.mark.usefixtures("warm_child")

SHAPE = (60, 70)


def texture(seed):
    return gaussian_filter(np.random.default_rng(seed).random(SHAPE), 2).astype(np.float32)


@pytest.fixture
def known(monkeypatch):
    """The method of the results, which never runs."""
    method = Method("known", "The known", Params, lambda *args: None, {"default": {}}, "rigid")
    monkeypatch.setitem(METHODS, "known", method)


@pytest.fixture
def add_run(viewer, result_of, known):
    """Adds a pair's layers, and runs of the pair with these transforms."""
    place = {"scale": (0.5, 0.5), "units": "mm"}
    layers = [viewer.add_image(texture(k), name=name, **place) for k, name in enumerate(("fixed", "moving"))]

    def add(transform):
        taken = [snapshot(layer, viewer) for layer in layers]
        state = session_state(viewer)
        result = result_of(*(one.image() for one in taken), transform)
        chosen = Chosen(*taken, None, None, None, None, None, (0, 0))
        run = Run(state.next_number(), result, chosen, *map(ref, layers))
        state.keep(run)
        return run

    return add


@pytest.fixture
def panel(viewer, add_run):
    return open_panel(viewer, "Results")


def names(viewer):
    return [layer.name for layer in viewer.layers]


def cells(panel):
    contents = panel.table.contents
    return [line.split("\t") for line in contents.text(range(len(contents.rows))).split("\n")[1:]]


def bent():
    """A translation with a deformation."""
    grid = snapshot(Layer.create(texture(0), {"scale": (0.5, 0.5), "units": "mm"}, "image")).grid()
    field = np.zeros((*SHAPE, 2))
    field[20:40, 20:40, 0] = 1.0
    return chain(Displacement(field, grid), Affine.translation((1.0, 0.5)))


def test_a_row_a_run_whose_layers_come_and_go(panel, viewer, qtbot, add_run):
    assert "No results yet" in panel.sentence.text() and not panel.buttons["Save…"].isEnabled()
    first, second = add_run(Affine.translation((1.0, 0.5))), add_run(bent())
    assert [line[0] for line in cells(panel)] == ["1 known moving > fixed", "2 known moving > fixed"]
    assert [line[2] for line in cells(panel)] == ["0.1 s cpu"] * 2
    assert panel.run is first  # a new row does not take the selection away
    panel.table.select(second)
    assert panel.sentence.text() == second.result.verdict.sentence.replace("->", "→")
    assert panel.show_box.show_choice.kinds == ()

    panel.buttons["Show"].click()
    qtbot.waitUntil(lambda: "2 known warped: moving > fixed" in names(viewer), timeout=20_000)
    assert not viewer.layers["moving"].visible and session_state(viewer).current is second
    for kind in ("arrows", "magnitude", "jacobian", "ssim", "grid"):
        panel.show_box._boxes[kind].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 9, timeout=20_000)
    assert [layer._type_string for layer in viewer.layers][3:] == ["image"] * 3 + ["points"] + ["vectors"] * 2
    assert all(layer.visible for layer in viewer.layers if layer.name.startswith("2 "))
    assert [bar.title for bar in panel.bars.bars] == [
        "displacement without affine (mm)", "Jacobian without affine", "SSIM", "arrows without affine (mm)",
    ]  # fmt: skip
    assert panel.bars.isVisible() and panel.bars.bars[1].low < 1 < panel.bars.bars[1].high
    arrows = viewer.layers["2 known arrows without affine (mm): moving > fixed"]
    arrows.visible = False  # in napari's own list
    assert not panel.show_box.show_choice.arrows and len(panel.bars.bars) == 3

    panel.table.select(first)
    assert panel.show_box.show_choice.kinds == ()
    panel.table.doubleClicked.emit(panel.table.contents.index(0, 0))
    qtbot.waitUntil(lambda: "1 known warped: moving > fixed" in names(viewer), timeout=20_000)
    assert not any(name.startswith("2 ") for name in names(viewer))  # it was replaced
    panel.earlier.click()
    panel.table.select(second)
    panel.buttons["Show"].click()
    qtbot.waitUntil(lambda: "2 known warped: moving > fixed" in names(viewer), timeout=20_000)
    assert "1 known warped: moving > fixed" in names(viewer)

    panel.buttons["Undo"].click()
    assert [line[0] for line in cells(panel)] == ["1 known moving > fixed"] and panel.run is first
    panel.buttons["Redo"].click()
    qtbot.waitUntil(lambda: "2 known warped: moving > fixed" in names(viewer), timeout=20_000)
    assert panel.run is second
    panel.buttons["Delete"].click()
    assert panel.run is first and not any(name.startswith("2 ") for name in names(viewer))


def test_files_and_a_narrow_dock(panel, viewer, qtbot, add_run, tmp_path, monkeypatch):
    run = add_run(bent())

    def press(text, name):
        for dialog in ("getSaveFileName", "getExistingDirectory"):
            answer = str(tmp_path / name)
            chosen = answer if dialog == "getExistingDirectory" else (answer, "")
            monkeypatch.setattr(actions.QFileDialog, dialog, lambda *args, chosen=chosen: chosen)
        panel.said.say("", "quiet")
        panel.buttons[text].click()
        qtbot.waitUntil(lambda: bool(panel.said.text()), timeout=10_000)
        return panel.said.text()

    assert press("Save…", "one/saved").startswith("Saved") and run.folder == tmp_path / "one/saved"
    assert press("Export…", "field.mha").startswith("Exported")
    points = run.result.fixed.nodes()
    moved = points + read_image(tmp_path / "field.mha").data[..., ::-1].reshape(
        -1, 2
    )  # (x, y), as ITK has it
    np.testing.assert_allclose(moved, run.result.transform(points), atol=1e-5)
    press("Export…", "alone.h5")
    np.testing.assert_allclose(load_transform(tmp_path / "alone.h5")(points), run.result.transform(points))

    press("Report…", "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 2 and "The known" in page and "SimpleITK" in page
    assert run.result.verdict.sentence.split(";")[0].replace("->", "→") in page
    assert "<td>LNCC (decides)</td>" in page and "Fixed image red, moving image cyan" in page
    assert "60 × 70 pixels of 0.5 × 0.5 mm, origin (0, 0)" in page
    record = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert record["method"] == "known" and record["device"] == "cpu" and record["scores"]["after"]
    (tmp_path / "mine.html").write_text("my page")
    assert "is no report" in press("Report…", "mine.html")

    assert press("Open folder…", "one") == "Opened 1 result."
    assert len(cells(panel)) == 2 and panel.run.chosen is not None  # the pair is open
    (tmp_path / "empty").mkdir()
    assert "holds no result" in press("Open folder…", "empty")

    window = panel.window()
    assert isinstance(window, QMainWindow)
    window.resizeDocks([panel.parent()], [300], Qt.Orientation.Horizontal)
    qtbot.wait(50)
    assert panel.area.widget().minimumSizeHint().width() <= panel.area.viewport().width()
    last = panel.table.visualRect(panel.table.contents.index(0, 2))
    assert last.right() <= panel.table.viewport().width()  # no column behind a scroll bar


def test_a_saved_warped_layer_brings_its_result_back(panel, viewer, qtbot, add_run, tmp_path):
    run = add_run(bent())
    panel.buttons["Show"].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    (path,) = viewer.layers[-1].save(str(tmp_path / "warped.mha"), plugin="napari-voxreg")
    panel.buttons["Delete"].click()
    assert cells(panel) == [] and len(viewer.layers) == 2

    viewer.add_layer(Layer.create(*read_layers([path])[0]))
    assert [line[0] for line in cells(panel)] == ["2 known moving > fixed"]
    assert panel.run.result.verdict == run.result.verdict and panel.show_box.show_choice.warped
    points = run.result.fixed.nodes()
    np.testing.assert_array_equal(panel.run.result.transform(points), run.result.transform(points))
    panel.show_box._boxes["grid"].click()
    qtbot.waitUntil(lambda: names(viewer)[-1] == "2 known grid: moving > fixed", timeout=20_000)


def test_run_again_fills_register(panel, viewer, qtbot, add_run):
    fixed, moving = viewer.layers
    run = add_run(Affine.translation((1.0, 0.5)))
    register = open_panel(viewer, "Register")
    register.pair.moving.choose(fixed)
    panel.to_front()
    object.__setattr__(run.result, "method", "bspline")
    object.__setattr__(run.result, "params", METHODS["bspline"].parameters(None, {"iterations": 7}))
    panel.buttons["Run again…"].click()
    qtbot.waitUntil(lambda: register.in_front, timeout=20_000)
    assert (register.pair.fixed.layer, register.pair.moving.layer) == (fixed, moving)
    assert register.method.method == "bspline" and register.method.params() == run.result.params
    assert not register.busy


def test_run_again_without_its_images_registers_no_other_pair(panel, viewer, qtbot, add_run):
    fixed, moving = viewer.layers
    run = add_run(Affine.translation((1.0, 0.5)))
    others = [viewer.add_image(texture(k), name=f"day {k}") for k in (5, 6)]
    register = open_panel(viewer, "Register")
    register.pair.fixed.choose(others[0])
    register.pair.moving.choose(others[1])
    viewer.layers.remove(fixed)
    viewer.layers.remove(moving)
    panel.to_front()
    panel.buttons["Run again…"].click()
    qtbot.waitUntil(lambda: register.in_front, timeout=20_000)
    said = register.outcome.sentence.text()
    assert said == "Open the images 'fixed' and 'moving' to run known again."
    others[0].name = "day 7"  # whatever else happens to other layers
    assert register.pair.fixed.layer is None and register.pair.moving.layer is None
    assert not register.bar.button.isEnabled()

    place = {"scale": (0.5, 0.5), "units": "mm"}
    again = [viewer.add_image(texture(k), name=name, **place) for k, name in enumerate(("fixed", "moving"))]
    assert [register.pair.fixed.layer, register.pair.moving.layer] == again
    viewer.layers.remove(again[1])
    register.repeat(run)
    assert register.pair.fixed.layer is again[0] and register.pair.moving.layer is None
    assert register.outcome.sentence.text().startswith("Open the image 'moving' to run")


def test_register_compares_what_results_shows(panel, viewer, qtbot, add_run):
    fixed = viewer.layers["fixed"]
    first, second = add_run(Affine.translation((1.0, 0.5))), add_run(bent())
    after = open_panel(viewer, "Register").after
    panel.to_front()
    for run in (second, first):  # its layers are made in the background, and replace those of the other
        panel.table.select(run)
        panel.buttons["Show"].click()
        name = f"{run.number} known warped: moving > fixed"
        qtbot.waitUntil(lambda name=name: name in names(viewer), timeout=20_000)
        warped = viewer.layers[name]
        assert after.look_row.isEnabled() and after.look.layers == (fixed, warped)
        assert after.look.mode == OVERLAY == after.look_row.mode

    def hidden_and_shown(act):
        act()
        assert not warped.visible and not after.look_row.isEnabled() and after.look.mode == ""
        act()
        assert warped.visible and after.look_row.isEnabled() and after.look.mode == OVERLAY

    hidden_and_shown(panel.show_box._boxes["warped"].click)
    viewer.layers.selection.active = warped
    hidden_and_shown(viewer.layers.toggle_selected_visibility)  # as V does
    viewer.layers.remove(warped)
    assert not after.look_row.isEnabled() and after.look.mode == ""


def test_strain_curl_and_inverse_error_when_asked(panel, viewer, qtbot, add_run):
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    add_run(Affine(turn))
    panel.buttons["Show"].click()
    qtbot.waitUntil(lambda: len(panel.run.made) == 6, timeout=20_000)  # nothing of these is made ahead
    panel.show_box.affine.click()
    for kind in ("strain", "curl", "consistency"):
        panel.show_box._boxes[kind].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 6, timeout=20_000)
    strain, curl, error = viewer.layers[-3:]
    assert [bar.title for bar in panel.bars.bars] == [
        "principal strain", "curl", "inverse-consistency error (mm)",
    ]  # fmt: skip
    qtbot.waitUntil(lambda: all(x.colorbar.visible for x in (strain, curl, error)), timeout=20_000)
    np.testing.assert_allclose(strain.data, 0, atol=1e-5)
    np.testing.assert_allclose(curl.data, 2 * np.sin(0.2), atol=1e-5)
    assert np.isnan(error.data).any() and np.nanmax(error.data) < 1e-6
    assert panel.bars.bars[1].low < -2 * np.sin(0.2) and 2 * np.sin(0.2) < panel.bars.bars[1].high

    panel.show_box.affine.click()  # both are made again
    what = "curl without affine"
    qtbot.waitUntil(lambda: what in [layer.metadata["voxreg"]["layer"] for layer in viewer.layers[3:]])
    (again,) = (layer for layer in viewer.layers[3:] if layer.metadata["voxreg"]["layer"] == what)
    np.testing.assert_allclose(again.data, 0, atol=1e-5)
    assert error in viewer.layers


def test_histograms_of_displacement_and_jacobian(panel, viewer, qtbot, add_run):
    first, second = add_run(Affine.translation((3.0, 4.0))), add_run(bent())
    box = panel.histograms
    shown = box.displacement.label.text
    assert box.isVisible() and not box.open and shown() == ""
    panel.show_box.affine.click()
    box.toggleButton().click()
    qtbot.waitUntil(lambda: "median" in box.jacobian.label.text(), timeout=20_000)
    assert shown() == "Displacement, mm: median 5, 95th percentile 5, max 5"
    assert box.jacobian.label.text() == "Jacobian: median 1, 95th percentile 1, max 1, min 1, folded 0 %"
    qtbot.waitUntil(lambda: box.displacement.plot._canvas is not None, timeout=20_000)

    panel.table.select(second)
    panel.show_box.affine.click()
    qtbot.waitUntil(lambda: "without affine" in box.jacobian.label.text(), timeout=20_000)
    found = measure(second.result, False, silent)
    assert f"max {found.displacement.most:.3g}" in shown()
    assert f"folded {second.result.after.folded:.2g} %" in box.jacobian.label.text()
    assert found.displacement.counts.sum() == np.prod(SHAPE) and found.step == 1
    figure = box.displacement.plot._canvas.figure
    # Drawn a little later; of one value there are none.
    qtbot.waitUntil(lambda: bool(figure.axes) and len(figure.axes[0].get_xticks()) > 1, timeout=20_000)
    (low, high), ticks = figure.axes[0].get_xlim(), figure.axes[0].get_xticks()
    assert len(ticks) > 1 and ticks[0] > low and ticks[-1] < high  # no number is cut off at the ends
    panel.table.select(first)
    qtbot.waitUntil(lambda: shown().endswith("max 0"), timeout=20_000)
    for _ in range(2):
        panel.buttons["Delete"].click()
    assert not box.isVisible()


def test_large_images_are_measured_at_some_of_their_pixels(add_run, monkeypatch):
    run = add_run(bent())
    whole = measure(run.result, False, silent)
    monkeypatch.setattr(motion, "NODES", 600)
    some = measure(run.result, False, silent)
    assert some.step == 3 and some.displacement.counts.sum() == 20 * 24
    assert some.displacement.most == pytest.approx(whole.displacement.most, rel=0.1)
    assert some.folded == whole.folded


def test_a_slow_layer_is_told_and_can_be_stopped(panel, viewer, qtbot, add_run, monkeypatch):
    ready, stopped = threading.Event(), threading.Event()

    def slow(transform, fixed, moving, progress):
        try:
            while not ready.is_set():
                progress(None, "mapping there and back")
                time.sleep(0.02)
        except Cancelled:
            stopped.set()
            raise
        return np.zeros(fixed.shape, np.float32)

    monkeypatch.setattr(run_layers, "PATIENCE", 0.1)
    monkeypatch.setattr(maps, "inverse_consistency", slow)
    add_run(bent())
    box = panel.show_box._boxes["consistency"]
    box.click()
    qtbot.waitUntil(panel.said.isVisible, timeout=20_000)
    assert panel.said.text() == "Making the inverse error (mapping there and back). Uncheck it to stop."
    assert box.isChecked()
    box.click()
    qtbot.waitUntil(stopped.is_set, timeout=20_000)
    assert not panel.said.isVisible() and not box.isChecked()
    panel.show_box._boxes["warped"].click()  # others are made all the same
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)

    box.click()
    qtbot.waitUntil(panel.said.isVisible, timeout=20_000)
    ready.set()
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=20_000)
    assert not panel.said.isVisible() and box.isChecked()


def test_the_inverse_error_of_large_images_takes_fewer_nodes(add_run, viewer, monkeypatch):
    run = add_run(bent())
    show = Show().only(["consistency"])
    nodes = []

    def watched(*args):
        nodes.append(args[2].shape)
        return inverse_consistency(*args)

    monkeypatch.setattr(maps, "inverse_consistency", watched)
    for limit, close in ((10**6, 0.01), (600, 0.05)):
        monkeypatch.setattr(maps, "INVERTED", limit)
        ((error, *_),) = run.chosen.layers(run.result, show, 1, silent)
        assert error.shape == SHAPE and np.nanmedian(error) < close
    assert nodes == [SHAPE, (20, 24)]


def test_the_displacement_is_computed_once_for_what_is_made_ahead(panel, viewer, qtbot, add_run, monkeypatch):
    run, computed = add_run(bent()), []

    def counted(transform, grid):
        computed.append(grid)
        return displacement_on(transform, grid)

    monkeypatch.setattr(maps, "displacement_on", counted)
    panel.buttons["Show"].click()
    qtbot.waitUntil(lambda: len(run.made) == 6, timeout=20_000)
    for kind in ("magnitude", "jacobian"):
        panel.show_box._boxes[kind].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 5, timeout=20_000)
    assert [layer.metadata["voxreg"]["kind"] for layer in viewer.layers[3:]] == ["magnitude", "jacobian"]
    assert all(layer.visible for layer in viewer.layers[3:]) and len(computed) == 1
    assert panel.show_box.show_choice.kinds == ("warped", "magnitude", "jacobian")
