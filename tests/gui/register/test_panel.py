"""The Register panel in a real viewer."""

import os
import time

import numpy as np
import psutil
import pytest
from napari.layers import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_voxreg.core import process
from napari_voxreg.core.geometry import Grid
from napari_voxreg.core.geometry import Image as VoxregImage
from napari_voxreg.gui.background import child_process as keeper
from napari_voxreg.gui.layers.guess import guess_pair
from napari_voxreg.gui.layers.result_layers import Show
from napari_voxreg.gui.register import job
from napari_voxreg.gui.register.checks import chosen_in
from napari_voxreg.gui.register.panel import RegisterWidget
from napari_voxreg.gui.session import actions
from napari_voxreg.gui.widgets.sentence import COLOURS
from napari_voxreg.io.images import write_image

pytestmark = pytest.mark.usefixtures("warm_child")

SPACING = (0.5, 0.25)
QUICK = {"resolutions": 1, "iterations": 20, "samples": 1000}
ENDLESS = {"resolutions": 1, "iterations": 100_000, "samples": 5000}


def blobs(translation=(0.0, 0.0), size=72):
    """A smooth image of a few blobs, displaced by a number of pixels."""
    rows, columns = np.mgrid[:size, :size]
    centres = np.random.default_rng(5).uniform(0.15, 0.85, (12, 2)) * size
    image = np.zeros((size, size), np.float32)
    for row, column in centres + translation:
        image += np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 30)
    return image


@pytest.fixture
def panel(viewer):
    """The panel in its dock, with a pair of layers in millimetres."""
    geometry = {"scale": SPACING, "translate": (3, -2), "units": "mm"}
    viewer.add_image(blobs(), name="visit 2019", **geometry)
    viewer.add_image(blobs((2.0, -3.0)), name="visit 2021", colormap="green", **geometry)
    widget = RegisterWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Register")
    return widget


def run(panel, qtbot):
    """Press the button and wait for the result."""
    with qtbot.waitSignal(panel.finished, timeout=180_000, raising=False) as blocker:
        panel.bar.button.click()
    assert blocker.signal_triggered, panel.outcome.sentence.text()
    return blocker.args[0]


def fail(panel, qtbot):
    """Press the button and wait for the sentence."""
    with qtbot.waitSignal(panel.failed, timeout=60_000) as blocker:
        panel.bar.button.click()
    assert not panel.busy
    assert panel.bar.button.isEnabled() == (panel.reason() == "")
    return blocker.args[0]


def child():
    """The processes that this one has started, and theirs."""
    return {p.pid for p in psutil.Process(os.getpid()).children(recursive=True)}


def drop(box, *paths):
    """Drop files on a box."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    held = Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(box, QDragEnterEvent(QPoint(4, 4), *held))
    QApplication.sendEvent(box, QDropEvent(QPointF(4, 4), *held))


@pytest.mark.parametrize("method", ["rigid", pytest.param("elastix", marks=pytest.mark.slow)])
def test_choose_run_and_see_all_layers(panel, viewer, qtbot, method):
    fixed, moving = viewer.layers
    before = fixed.data.copy(), moving.data.copy()
    assert (panel.pair.fixed.layer, panel.pair.moving.layer) == (fixed, moving)
    assert (panel.method.method, panel.method.preset) == ("auto", "any pair")
    if method == "elastix":
        panel.method.choose("elastix", "translation", **QUICK | {"iterations": 150})
    else:
        panel.method.choose(method)
    panel.show_box.choose(Show(True, True, True, True, True, True))
    result = run(panel, qtbot)

    assert result.verdict.outcome == "better"
    moved = result.transform(np.array([[10.0, 5.0]])) - [[10.0, 5.0]]
    np.testing.assert_allclose(moved, [[2.0 * SPACING[0], -3.0 * SPACING[1]]], atol=0.1)
    added = [layer for layer in viewer.layers if layer not in (fixed, moving)]
    assert len(added) == 7
    for layer in added:
        assert layer.name.startswith(f"1 {method} ") and layer.name.endswith(": visit 2021 > visit 2019")
        assert layer.units == fixed.units
        np.testing.assert_allclose(layer.scale, fixed.scale)
        np.testing.assert_allclose(layer.translate, fixed.translate)
    assert (panel.pair.fixed.layer, panel.pair.moving.layer) == (fixed, moving)
    np.testing.assert_array_equal(fixed.data, before[0])
    np.testing.assert_array_equal(moving.data, before[1])
    assert panel.outcome.sentence.text().startswith("Better")
    assert panel.after.save_button.isVisible()
    assert len(panel.bar.curve.values) == len(result.trace)
    panel.outcome.details.open = panel.outcome.log_fold.open = True
    assert ("elastix.log" in panel.outcome.log.toPlainText()) == (method == "elastix")

    # The result is an initial transform for the next run.
    panel.initial.choose(f"visit 2021 > visit 2019, {method}")
    panel.method.choose("translation")
    panel.show_box.choose(Show(True, False, False, False, False, False))
    again = run(panel, qtbot)
    np.testing.assert_allclose(again.transform([[10.0, 5.0]]), result.transform([[10.0, 5.0]]), atol=0.1)


@pytest.mark.alone
def test_the_panel_opens_at_once(viewer):
    began = time.perf_counter()
    viewer.window.add_dock_widget(RegisterWidget(viewer), name="Register")
    QApplication.processEvents()
    assert time.perf_counter() - began < 1.5


def test_the_result_can_be_saved_and_is_an_initial_transform(panel, viewer, qtbot, tmp_path, monkeypatch):
    panel.method.choose("translation")
    run(panel, qtbot)
    monkeypatch.setattr(actions.QFileDialog, "getSaveFileName", lambda *args: (str(tmp_path / "out"), ""))
    panel.after.save_button.click()
    qtbot.waitUntil(lambda: panel.outcome.saved.text().startswith("Saved"), timeout=20_000)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"transform.h5", "transform.json"}

    panel.initial.choose_file(tmp_path / "out" / "transform.h5")
    assert run(panel, qtbot).verdict.outcome == "better"
    for layer in viewer.layers:
        layer.units = "um"
    assert "same units" in fail(panel, qtbot)


@pytest.mark.alone
def test_cancel_ends_elastix_in_the_middle(panel, qtbot):
    panel.method.choose("elastix", "translation", **ENDLESS)
    panel.bar.button.click()
    qtbot.waitUntil(lambda: len(panel.bar.curve.values) > 1, timeout=60_000)
    running = child()
    assert running
    began = time.monotonic()
    panel.bar.cancel_button.click()
    assert not panel.busy
    assert panel.bar.button.isEnabled()
    qtbot.waitUntil(lambda: not running & child(), timeout=1000)
    assert time.monotonic() - began < 1
    assert panel.outcome.sentence.text() == "Cancelled."
    panel.method.choose("elastix", "translation", **QUICK)
    assert run(panel, qtbot).method == "elastix"
    assert len(child()) <= 1


class Stopwatch:
    """The longest time that the event loop was blocked."""

    def __init__(self):
        self.worst, self._last = 0.0, time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)

    def _tick(self):
        now = time.perf_counter()
        self.worst, self._last = max(self.worst, now - self._last), now

    def stop(self):
        self._timer.stop()


@pytest.mark.alone
def test_the_interface_is_never_blocked(panel, viewer, qtbot, monkeypatch):
    large = np.kron(blobs(size=72), np.ones((20, 20), np.float32))
    viewer.layers.clear()
    viewer.add_image(large, name="fixed")
    viewer.add_image(np.roll(large, (9, -7), (0, 1)), name="moving")
    panel.method.choose("elastix", "affine + B-spline", resolutions=2, iterations=30)
    qtbot.wait(200)
    worst = []
    # Other work on the machine may block the loop once; a defect blocks it each time.
    for _ in range(3):
        watch = Stopwatch()
        monkeypatch.setattr(panel, "_add_next", lambda watch=watch: (watch.stop(), panel.cancel()))
        panel.bar.button.click()
        qtbot.waitUntil(lambda: not panel.busy, timeout=120_000)
        worst.append(watch.worst)
        if watch.worst < 0.1:
            break
    assert min(worst) < 0.1, worst


def test_a_refused_image_is_one_sentence(panel, viewer, qtbot):
    viewer.layers[0].data = np.full_like(blobs(), np.nan)
    layers = list(viewer.layers)
    assert "no pixel with data" in fail(panel, qtbot)
    assert list(viewer.layers) == layers


def test_the_log_has_the_parameters_and_the_seconds_of_the_run(panel, qtbot):
    panel.method.choose("translation")
    run(panel, qtbot)
    panel.outcome.details.open = panel.outcome.log_fold.open = True
    text = panel.outcome.log.toPlainText()
    assert "running translation on auto, seed 0: {'precision': 20" in text
    assert "translation took" in text and text.count("Better: ") == 1


def test_an_unexpected_error_is_shown_with_its_type(panel, qtbot, monkeypatch, capture_notifications):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(job, "register", broken)
    assert fail(panel, qtbot) == "ZeroDivisionError: by nothing"
    panel.outcome.details.open = panel.outcome.log_fold.open = True
    assert "in broken" in panel.outcome.log.toPlainText()
    assert [type(n.exception) for n in capture_notifications] == [ZeroDivisionError]


@pytest.fixture
def capture_notifications():
    """Errors passed to napari, kept from failing the test."""
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    yield notification_manager.records
    notification_manager.records.clear()


def test_the_reason_is_a_sentence(panel, viewer):
    fixed = viewer.layers[0]
    assert panel.reason() == ""
    assert panel.bar.button.isEnabled()

    panel.pair.moving.choose(fixed)
    assert panel.bar.reason.text() == "Fixed and moving are the same layer; choose two."
    assert not panel.bar.button.isEnabled()
    panel.pair.moving.choose(None)
    assert panel.bar.reason.text() == "Choose a moving image."

    volume = viewer.add_image(np.random.default_rng(0).random((4, 8, 8)), units="mm", name="volume")
    panel.pair.moving.choose(volume)
    assert panel.reason().startswith("Fixed is 2D and moving 3D")

    pixels = viewer.add_image(blobs(), name="no units")
    panel.pair.moving.choose(pixels)
    assert "cannot be converted" in panel.reason()
    pixels.units = "mm"
    assert panel.bar.reason.text() == ""

    panel.initial.choose("landmarks")
    assert "landmarks" in panel.reason()
    points = viewer.add_points(np.zeros((2, 2)), units="mm")
    panel.initial.fixed_points.choose(points)
    assert panel.reason() == "Choose moving landmarks too, or none for both."
    others = viewer.add_points([[5.0, 6], [1, 2], [3, 4]], units="mm", features={"label": ["b", "a", "c"]})
    panel.initial.moving_points.choose(others)
    assert panel.reason() == "There are 2 fixed and 3 moving landmarks; they must correspond one to one."
    points.features = {"label": ["a", "b"]}
    assert panel.reason() == ""
    chosen = chosen_in(viewer, panel.pair, panel.pixels, panel.initial)
    assert chosen.landmarks[1].tolist() == [[1, 2], [5, 6]]


def test_choices_survive_arrivals_renaming_and_deletion(panel, viewer):
    fixed, moving = viewer.layers
    labels = viewer.add_labels(np.ones((72, 72), int), name="lesion", scale=SPACING, units="mm")
    panel.pair.fixed.choose(fixed)
    panel.pair.fixed_mask.choose(labels)
    viewer.add_image(blobs(), name="another", units="mm")
    assert (panel.pair.fixed.layer, panel.pair.moving.layer) == (fixed, moving)
    fixed.name = "renamed"
    assert panel.pair.fixed.currentText() == "renamed"
    assert panel.pair.fixed_mask.currentText() == "lesion"
    viewer.layers.remove(labels)
    assert panel.pair.fixed_mask.currentText() == "none"
    viewer.layers.remove(moving)
    assert panel.reason() == "Choose a moving image."
    arrived = viewer.add_image(blobs(), name="visit 2022", units="mm")
    assert panel.pair.moving.layer is arrived
    viewer.layers.clear()
    viewer.add_image(blobs(), name="Fixed head")
    viewer.add_image(blobs(), name="Moving head")
    assert panel.pair.fixed.currentText() == "Fixed head"
    assert panel.pair.moving.currentText() == "Moving head"


def test_a_verdict_belongs_to_its_pair_and_a_guess_gives_way(panel, viewer, qtbot):
    fixed, moving = viewer.layers
    panel.method.choose("translation")
    run(panel, qtbot)
    sentence = panel.outcome.sentence
    green, said = sentence.styleSheet(), sentence.text()
    assert COLOURS["better"] in green

    viewer.add_image(blobs(), name="alone", units="mm")  # one image is no pair
    assert (panel.pair.fixed.layer, panel.pair.moving.layer) == (fixed, moving)
    assert sentence.styleSheet() == green
    sample = [viewer.add_image(blobs(), name=f"{side} eye", units="mm") for side in ("fixed", "moving")]
    assert [panel.pair.fixed.layer, panel.pair.moving.layer] == sample  # the first pair was never chosen
    assert sentence.text() == f"visit 2021 > visit 2019: {said}"
    assert COLOURS["quiet"] in sentence.styleSheet()
    panel.pair.fixed.choose(fixed)
    panel.pair.moving.choose(moving)
    assert (sentence.text(), sentence.styleSheet()) == (said, green)
    for side in ("first", "second"):
        viewer.add_image(blobs(), name=side, units="mm")
    assert (panel.pair.fixed.layer, panel.pair.moving.layer) == (fixed, moving)  # now it was
    viewer.layers.remove(moving)
    assert COLOURS["quiet"] in sentence.styleSheet()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], (None, None)),
        (["a"], ("a", None)),
        (["a", "b", "c"], ("b", "c")),
        (["brain moving", "brain fixed", "other"], ("brain fixed", "brain moving")),
    ],
)
def test_the_first_guess(names, expected):
    guessed = guess_pair([Image(np.zeros((4, 4)), name=name) for name in names])
    assert tuple(layer and layer.name for layer in guessed) == expected


def test_choices_survive_closing_and_reopening(panel, viewer, qtbot):
    fixed, moving = viewer.layers
    panel.pair.fixed.choose(moving)
    panel.pair.moving.choose(fixed)
    panel.method.choose("bspline", iterations=7)
    panel.initial.choose("centres")
    panel.show_box.choose(Show(warped=False))
    panel.parent().destroyOnClose()
    qtbot.wait(20)
    again = RegisterWidget(viewer)
    viewer.window.add_dock_widget(again, name="Register")
    assert (again.pair.fixed.layer, again.pair.moving.layer) == (moving, fixed)
    assert again.method.method == "bspline"
    assert again.method.params().iterations == 7
    assert again.initial.initial == "centres"
    assert again.show_box.show_choice == Show(warped=False)


@pytest.fixture
def endless(panel, qtbot, monkeypatch):
    """A run in a child process that would not end for a long time; its successors load nothing."""
    monkeypatch.setattr(process, "_modules", {})
    process.shutdown()
    size = 400
    panel.pair.fixed.layer.data = blobs(size=size)
    panel.pair.moving.layer.data = blobs((5, 5), size=size)
    panel.method.choose("tvl1", warps=100, iterations=1000, tolerance=0.0)
    panel.bar.button.click()
    qtbot.waitUntil(lambda: panel.bar.stage.text() == "starting" and bool(child()), timeout=30_000)
    return child()


def test_closing_the_dock_stops_the_run_and_floating_does_not(panel, viewer, qtbot, endless):
    dock = panel.parent()
    dock.setFloating(True)
    qtbot.wait(50)
    dock.setFloating(False)
    qtbot.wait(50)
    assert panel.busy
    dock.destroyOnClose()
    qtbot.waitUntil(lambda: not endless & child(), timeout=1000)
    viewer.add_image(blobs(), name="later")  # nothing handles it any more


def test_closing_the_viewer_leaves_no_process(panel, viewer, qtbot, endless):
    assert panel.busy
    keeper.release(-1)
    try:
        viewer.close()
        qtbot.waitUntil(lambda: not child(), timeout=2000)
    finally:
        keeper.hold(-1)


def test_a_layer_deleted_during_the_run_is_harmless(panel, viewer, qtbot):
    panel.method.choose("rigid")
    with qtbot.waitSignal(panel.finished, timeout=60_000) as blocker:
        panel.bar.button.click()
        viewer.layers.clear()
    assert blocker.args[0].verdict.outcome == "better"
    assert viewer.layers[0].name == "1 rigid warped: visit 2021 > visit 2019"


def test_landmarks_and_masks_reach_the_method(panel, viewer, qtbot):
    spots = np.array([[10.0, 10], [30, 12], [20, 40], [50, 50]])
    geometry = {"scale": SPACING, "translate": (3, -2), "units": "mm"}
    panel.initial.fixed_points.choose(viewer.add_points(spots, name="f", **geometry))
    panel.initial.moving_points.choose(viewer.add_points(spots + np.array([2, -3]), name="m", **geometry))
    shape = np.array([[5, 5], [5, 65], [65, 65], [65, 5]])
    panel.pair.fixed_mask.choose(viewer.add_shapes([shape], name="mask", **geometry))
    panel.initial.choose("landmarks")
    panel.method.choose("translation")
    result = run(panel, qtbot)
    assert result.verdict.measure == "landmark error"
    assert result.before.landmark_error == pytest.approx(np.hypot(2 * SPACING[0], 3 * SPACING[1]))
    assert result.after.landmark_error < 0.05
    sentence = panel.outcome.sentence.text()
    assert sentence.startswith("Better: landmark error 1.25 → ") and " mm; " in sentence


def test_a_channel_is_offered_only_for_colour_layers(panel, viewer, qtbot):
    assert not panel.pixels.channel_box.isVisible()
    colour = np.stack([np.full((72, 72), 0.5), blobs((2, -3)), np.zeros((72, 72))], axis=-1)
    layer = viewer.add_image(
        np.clip(colour, 0, 1), rgb=True, name="rgb", scale=SPACING, translate=(3, -2), units="mm"
    )
    panel.pair.moving.choose(layer)
    assert panel.pixels.channel_box.isVisible()
    panel.method.choose("translation")
    panel.pixels.choose(0)
    assert "constant" in fail(panel, qtbot)
    panel.pixels.choose(1)
    run(panel, qtbot)
    assert viewer.layers["1 translation warped: rgb > visit 2019"].rgb


def test_multiscale_layers_are_registered_at_a_chosen_level(panel, viewer, qtbot):
    levels = [blobs((2, -3), size=144)[::step, ::step] for step in (1, 2, 4)]
    pyramid = viewer.add_image(levels, multiscale=True, name="pyramid", scale=SPACING, units="mm")
    whole = viewer.add_image(blobs(size=144), name="whole", scale=SPACING, units="mm")
    panel.pair.fixed.choose(pyramid)
    panel.pair.moving.choose(whole)
    assert panel.pixels.level_box.currentText() == "144 × 144"
    panel.pixels.level_box.setCurrentText("72 × 72")
    panel.method.choose("translation")
    result = run(panel, qtbot)
    assert result.fixed.shape == (72, 72)
    shown = viewer.layers["1 translation warped: whole > pyramid"]
    assert shown.data.shape == (144, 144)
    assert np.corrcoef(shown.data[20:-20, 20:-20].ravel(), levels[0][20:-20, 20:-20].ravel())[0, 1] > 0.99


def test_dropped_files_are_opened_and_chosen(panel, viewer, qtbot, tmp_path):
    grid = Grid.from_spacing((40, 40), (0.5, 0.25), (3, -2), units="millimeter")
    path = write_image(VoxregImage(blobs(size=40), grid, "scan"), tmp_path / "scan.mha")
    drop(panel.pair.fixed, path)
    qtbot.waitUntil(lambda: panel.pair.fixed.currentText() == "scan", timeout=10_000)
    np.testing.assert_allclose(viewer.layers["scan"].scale, (0.5, 0.25))
    assert panel.pair.moving.currentText() == "visit 2021"
    (tmp_path / "broken.mha").write_text("nothing")
    drop(panel.pair.moving, tmp_path / "broken.mha")
    qtbot.waitUntil(lambda: "broken.mha" in panel.outcome.sentence.text(), timeout=10_000)
    qtbot.waitUntil(lambda: "Opening" not in panel.outcome.sentence.text(), timeout=10_000)
    assert panel.pair.moving.currentText() == "visit 2021"


def test_a_scan_dropped_on_the_canvas_opens_with_its_geometry_unprompted(panel, viewer, qtbot, tmp_path):
    grid = Grid.from_spacing((40, 40), (0.5, 0.25), (3, -2), units="millimeter")
    path = write_image(VoxregImage(blobs(size=40), grid, "scan"), tmp_path / "scan.mha")
    fixed = panel.pair.fixed.layer
    window = viewer.window.dock_widgets["Register"].window()
    canvas = next(w for w in window.findChildren(QWidget) if type(w).__name__ == "QtViewer")
    drop(canvas, path)
    qtbot.waitUntil(lambda: "scan" in viewer.layers, timeout=10_000)
    np.testing.assert_allclose(viewer.layers["scan"].scale, (0.5, 0.25))
    assert panel.pair.fixed.layer is fixed


def test_nothing_is_cut_off_in_a_narrow_dock(panel, viewer, qtbot):
    panel.method.fold.open = panel.initial_fold.open = True
    window = viewer.window.dock_widgets["Register"].window()
    assert isinstance(window, QMainWindow)
    window.resizeDocks([panel.parent()], [300], Qt.Orientation.Horizontal)
    qtbot.wait(100)
    view = panel.area.viewport().width()
    assert panel.area.widget().width() <= view
    assert panel.area.widget().minimumSizeHint().width() <= view
