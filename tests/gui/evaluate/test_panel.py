"""The Evaluate panel in a real viewer: choose, run, cancel, fail, open a pair."""

import time
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Grid, Image, warp
from napari_voxreg.core.params import Params
from napari_voxreg.evaluation import MEASURES, Row
from napari_voxreg.gui.doors import COHORT, open_panel
from napari_voxreg.gui.evaluate.panel import EvaluateWidget
from napari_voxreg.io.images import write_image
from napari_voxreg.methods.base import Method, Outcome

pytestmark = pytest.mark.usefixtures("warm_child")

SHIFT = (2.0, -3.0)
GRID = Grid.from_spacing((48, 56), 0.5, units="millimeter")


@pytest.fixture
def source(tmp_path):
    """Four pairs, of which the second cannot be read; the later, the smaller their translation."""
    rng = np.random.default_rng(0)
    for k in range(4):
        fixed = Image(gaussian_filter(rng.normal(size=GRID.shape), 2).astype(np.float32), GRID)
        moving = warp(fixed, Affine.translation(np.negative(SHIFT) / (k + 1)), GRID)
        write_image(fixed, tmp_path / "set" / "fixed" / f"s{k}.mha")
        write_image(moving, tmp_path / "set" / "moving" / f"s{k}.mha")
    (tmp_path / "set" / "moving" / "s1.mha").write_bytes(b"rubbish")
    return tmp_path / "set"


@pytest.fixture
def panel(viewer, monkeypatch):
    """The panel in its dock; a method that knows the transform of the first pair, and a slow one."""

    def known(task, params, progress):
        return Outcome(Affine.translation(SHIFT))

    def lasting(task, params, progress):
        for step in range(6000):
            progress(step / 6000, "going on")
            time.sleep(0.01)
        return Outcome(Affine.identity(2))

    for name, run in (("known", known), ("lasting", lasting)):
        monkeypatch.setitem(METHODS, name, Method(name, f"The {name}", Params, run, {"default": {}}, "rigid"))
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    return widget


def choose(panel, qtbot, source, method="known", **more):
    panel.source.choose(source, **more)
    panel.method.choose(method)
    qtbot.waitUntil(lambda: panel.source.pairs is not None, timeout=10_000)


def evaluate(panel, qtbot):
    with qtbot.waitSignal(panel.finished, timeout=60_000) as blocker:
        panel.button.click()
    return blocker.args[0]


def column(table, title):
    """The texts under a heading, top to bottom."""
    (found,) = (column for column in table.contents.columns if column.name == title)
    return [found.text(row) for row in table.contents.rows]


def test_a_run_fills_table_plot_and_summary_and_a_click_opens_a_pair(panel, viewer, qtbot, source):
    assert not panel.button.isEnabled() and "Choose the pairs" in panel.why.text()
    choose(panel, qtbot, source)
    assert panel.source.sentence.text().startswith("4 pairs: ")
    rows = evaluate(panel, qtbot)
    table = panel.table
    assert column(table, "pair") == [row.name for row in rows]
    assert sorted(row.name for row in rows) == ["s0", "s1", "s2", "s3"]
    assert [row.name for row in rows if row.failed] == ["s1"]
    assert [row.name for row in panel.plot.rows] == [
        row.name for row in sorted((r for r in rows if not r.failed), key=lambda r: r.after["ssim_common"])
    ]
    assert panel.summary.text().startswith("4 pairs, 1 without a result; ")
    assert "s1.mha" in panel.notes.text() and not panel.busy and len(viewer.layers) == 0

    table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    values = column(table, "SSIM after")
    assert values[-1] == "–" and values[:-1] == sorted(values[:-1], key=float)

    line = column(table, "pair").index("s0")
    with qtbot.waitSignal(panel.opened, timeout=30_000) as blocker:
        table.clicked.emit(table.contents.index(line, 0))
    assert blocker.args[0] is rows[0]
    names = [layer.name for layer in viewer.layers]
    assert names[:3] == ["s0: fixed", "s0: moving", "s0: moving > s0: fixed"]
    fixed, warped = viewer.layers[0], viewer.layers[2]
    inner = (slice(8, -8), slice(8, -8))
    assert np.allclose(warped.data[inner], fixed.data[inner], atol=1e-4)
    assert np.allclose(warped.scale, 0.5)

    warped.name = "keep this"
    qtbot.waitUntil(lambda: panel.plot.value_at(10) is not None, timeout=20_000)
    with qtbot.waitSignal(panel.opened, timeout=30_000) as blocker:
        qtbot.mouseClick(panel.plot, Qt.MouseButton.LeftButton, pos=QPointF(10, 60).toPoint())
    assert blocker.args[0] is panel.plot.rows[0] and table.selected is panel.plot.rows[0]
    names = [layer.name for layer in viewer.layers]
    assert names[:2] == ["keep this", f"{panel.plot.rows[0].name}: fixed"]
    assert not any(name.startswith("s0") for name in names)  # those of the first are gone


def test_the_folder_makes_it_resumable_and_figures_are_saved(panel, qtbot, source, tmp_path):
    panel.folder.choose(tmp_path / "out")
    choose(panel, qtbot, source)
    evaluate(panel, qtbot)
    assert (tmp_path / "out" / "table.csv").is_file()
    evaluate(panel, qtbot)
    assert "3 of 4 pairs were already in the table" in panel.notes.text()
    panel.save(tmp_path / "figures")
    qtbot.waitUntil(lambda: panel.notes.text().startswith("Saved"), timeout=60_000)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "summary.md",
        "before-after.png",
        "gallery.png",
    }
    panel.save_fields(tmp_path / "figures")
    qtbot.waitUntil(lambda: panel.notes.text().startswith("Saved the fields"), timeout=60_000)
    assert len(list((tmp_path / "figures" / "fields").glob("*/displacement.flo"))) == 3


def test_cancel_keeps_what_is_done_and_closing_stops(panel, viewer, qtbot, source):
    choose(panel, qtbot, source, "lasting")
    panel.button.click()
    qtbot.waitUntil(lambda: "going on" in panel.stage.text(), timeout=30_000)
    assert panel.busy and not panel.button.isEnabled()
    panel.cancel_button.click()
    assert not panel.busy and panel.button.isEnabled() and "Cancelled" in panel.notes.text()
    panel.button.click()
    qtbot.waitUntil(lambda: "going on" in panel.stage.text(), timeout=30_000)
    worker = panel._runner._worker
    viewer.window.remove_dock_widget(panel)
    qtbot.waitUntil(lambda: worker.abort_requested, timeout=5_000)


def test_problems_are_reported(panel, qtbot, source, tmp_path):
    panel.source.choose(tmp_path / "nowhere")
    qtbot.waitUntil(lambda: "There is no file or folder" in panel.why.text(), timeout=10_000)
    assert not panel.button.isEnabled()
    choose(panel, qtbot, source)
    assert panel.button.isEnabled() and panel.why.isHidden()
    rows = evaluate(panel, qtbot)
    for path in Path(panel._folder(), "transforms").glob("*/*"):
        path.unlink()
    with qtbot.waitSignal(panel.failed, timeout=10_000) as blocker:
        panel.open(rows[0])
    assert "There is no transform" in blocker.args[0] and "no transform" in panel.notes.text()


def test_a_dropped_folder_is_the_source(panel, qtbot, source):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(source))])
    drop = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    panel.source.source.dropEvent(drop)
    qtbot.waitUntil(lambda: panel.source.pairs is not None, timeout=10_000)
    assert panel.source.source.path == source


@pytest.mark.alone
def test_a_thousand_rows_at_once_do_not_block_the_interface(panel, qtbot):
    values = np.random.default_rng(0).random((1000, 2, len(MEASURES)))
    keys = [measure.key for measure in MEASURES]
    put = panel.table.begin()
    for k, (before, after) in enumerate(values.tolist()):
        scores = dict(zip(keys, before, strict=True)), dict(zip(keys, after, strict=True))
        put(Row(f"p{k}", "m", "", "", "s", "better", "Better.", *scores, interpolated=0.2))
    began = time.perf_counter()
    qtbot.waitUntil(lambda: len(panel.table.contents.rows) == 1000, timeout=10_000)
    assert time.perf_counter() - began < 3  # one by one they would take many times as long
    panel.table.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    numbers = [float(text) for text in column(panel.table, "End-point error before")]
    assert numbers == sorted(numbers)
    panel.table.select(panel.table.rows[7])
    assert panel.table.selected.name == "p7"
    assert len(panel.plot.rows) == 1000 and "1000 pairs" in panel.summary.text()


def test_the_images_of_the_pairs_are_registered_in_cohort(panel, viewer, qtbot, source):
    assert panel.cohort_button.isHidden()
    choose(panel, qtbot, source)
    panel.cohort_button.click()
    cohort = open_panel(viewer, COHORT)
    qtbot.waitUntil(lambda: not cohort.reason(), timeout=20_000)
    assert cohort.inputs.cohort and cohort.inputs.place.currentText() == "8 images of Evaluate"
    frames = cohort.inputs.source().frames()
    assert frames.count == 8 and "fixed/s0.mha" in frames.names and "moving/s0.mha" in frames.names
    assert cohort.options.cohort_options().template == "group"

    shared = [source / "fixed" / "s0.mha", *sorted((source / "moving").glob("*.mha"))]
    one = "\n".join(["fixed,moving", *(f"{shared[0]},{moving}" for moving in shared[1:])])
    (source.parent / "pairs.csv").write_text(one)
    choose(panel, qtbot, source.parent / "pairs.csv")
    panel.cohort_button.click()
    assert cohort.options.cohort_options().template == "image"
    assert cohort.options.cohort_options().image == 0
    images = cohort.inputs.source().images
    assert images[0] == shared[0] and sorted(images[1:]) == shared[1:]
