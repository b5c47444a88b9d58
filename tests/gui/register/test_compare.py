"""Compare methods in a real viewer."""

import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow

from napari_voxreg import METHODS, Affine
from napari_voxreg.core.params import Params
from napari_voxreg.gui.background.worker import Report
from napari_voxreg.gui.layers.result_layers import Show
from napari_voxreg.gui.register.panel import RegisterWidget
from napari_voxreg.methods.base import Method, Outcome
from napari_voxreg.registration.compare import COLUMNS

pytestmark = pytest.mark.usefixtures("warm_child")

TRANSLATION = (2.0, -3.0)


def blobs(translation=(0.0, 0.0), size=72):
    """A smooth image of a few blobs, displaced by a number of pixels."""
    rows, columns = np.mgrid[:size, :size]
    centres = np.random.default_rng(5).uniform(0.15, 0.85, (12, 2)) * size
    image = np.zeros((size, size), np.float32)
    for row, column in centres + translation:
        image += np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 30)
    return image


@pytest.fixture
def methods(monkeypatch):
    """A method that fails, and one that would go on for a minute."""

    def fail(*args, **kwargs):
        raise ValueError("This pair is too small; choose a larger one.")

    def last(task, params, progress):
        for step in range(6000):
            progress(step / 6000, "going on")
            time.sleep(0.01)
        return Outcome(Affine.identity(2))

    for name, run in (("failing", fail), ("lasting", last)):
        monkeypatch.setitem(METHODS, name, Method(name, f"The {name}", Params, run, {"default": {}}, "rigid"))


@pytest.fixture
def panel(methods, viewer):
    """The panel in its dock, with a pair of layers."""
    viewer.add_image(blobs(), name="visit 2019")
    viewer.add_image(blobs(TRANSLATION), name="visit 2021", colormap="green")
    widget = RegisterWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Register")
    widget.show_box.choose(Show(True, False, False, False, False, False))
    return widget


def compare(panel, qtbot, *methods):
    """Press the button and wait for the table."""
    panel.bar.compare.choose(methods)
    with qtbot.waitSignal(panel.compared, timeout=60_000, raising=False) as blocker:
        panel.bar.compare.click()
    assert blocker.signal_triggered, panel.outcome.sentence.text()
    return blocker.args[0]


def cells(table):
    """The table as shown."""
    return [line.split("\t") for line in table.contents.text(range(len(table.contents.rows))).split("\n")[1:]]


def cell(table, row, column, role=Qt.ItemDataRole.DisplayRole):
    """What a cell shows."""
    return table.contents.index(row, column).data(role)


def test_the_table_and_its_layers(panel, viewer, qtbot):
    rows = compare(panel, qtbot, "translation", "rigid", "failing")
    table = panel.table.table
    assert [row.method for row in rows] == ["before", "translation", "rigid", "failing"]
    assert [line[0] for line in cells(table)] == [row.method for row in rows]
    assert table.contents.columns[1].name == COLUMNS[1].title == "LNCC"
    assert cells(table)[3][1:] == ["–"] * (len(table.contents.columns) - 1)
    assert "too small" in panel.table.remark.text() and "Best by LNCC" in panel.table.remark.text()
    bold = [cell(table, row, 0, Qt.ItemDataRole.FontRole).bold() for row in range(4)]
    assert sum(bold) == 1 and bold[1] + bold[2] == 1
    for row in range(4):
        assert cell(table, row, 2, Qt.ItemDataRole.TextAlignmentRole) & Qt.AlignmentFlag.AlignRight
    assert len(viewer.layers) == 2 and not panel.busy

    panel.table.select("failing")
    assert not panel.table.show_button.isEnabled()
    panel.table.select("rigid")
    with qtbot.waitSignal(panel.finished, timeout=30_000) as blocker:
        panel.table.show_button.click()
    assert blocker.args[0] is rows[2].result and panel.result is rows[2].result
    assert [layer.name for layer in viewer.layers][2:] == ["2 rigid warped: visit 2021 > visit 2019"]
    assert panel.outcome.sentence.text().startswith("Better")
    with qtbot.waitSignal(panel.finished, timeout=30_000) as blocker:
        table.doubleClicked.emit(table.contents.index(1, 1))
    assert blocker.args[0].method == "rigid"  # still selected
    assert len(viewer.layers) == 3
    panel.after.undo_button.click()
    assert len(viewer.layers) == 2 and viewer.layers[1].visible

    # Each is offered as initial transform, once.
    titles = [panel.initial.box.itemText(k) for k in range(panel.initial.box.count())]
    assert [t for t in titles if "visit 2021 >" in t] == [
        "visit 2021 > visit 2019, translation",
    ]


def test_a_click_on_a_heading_sorts_by_number(panel, qtbot):
    compare(panel, qtbot, "translation", "rigid", "failing")
    table = panel.table.table
    table.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    values = [line[1] for line in cells(table)]
    assert values[-1] == "–" and values[:-1] == sorted(values[:-1], key=float)
    panel.table.select("translation")
    assert panel.table.selected.method == "translation"


def test_cancel_keeps_the_finished_rows(panel, qtbot):
    panel.bar.compare.choose(("translation", "lasting"))
    panel.bar.compare.click()
    qtbot.waitUntil(lambda: "going on" in panel.bar.stage.text(), timeout=30_000)
    assert not panel.bar.compare.isEnabled() and panel.bar.bar.value() > 400
    panel.bar.cancel_button.click()
    assert not panel.busy and panel.bar.compare.isEnabled()
    assert panel.outcome.sentence.text().startswith("Cancelled")
    assert [row.method for row in panel.table.rows] == ["before", "translation"]
    panel.table.select("translation")
    with qtbot.waitSignal(panel.finished, timeout=30_000):
        panel.table.show_button.click()
    # The next comparison starts with an empty table.
    assert [row.method for row in compare(panel, qtbot, "translation")] == ["before", "translation"]


def test_closing_during_a_comparison_is_harmless(panel, viewer, qtbot):
    panel.bar.compare.choose(("lasting",))
    panel.bar.compare.click()
    qtbot.waitUntil(lambda: "going on" in panel.bar.stage.text(), timeout=30_000)
    panel.parent().destroyOnClose()
    qtbot.wait(200)
    viewer.add_image(blobs(), name="later")
    again = RegisterWidget(viewer)
    viewer.window.add_dock_widget(again, name="Register")
    assert again.bar.compare.methods == ("lasting",)
    assert not again.busy


def test_what_is_checked_fits_the_pair(panel, viewer):
    button = panel.bar.compare
    usual = button.methods
    assert "elastix" in usual and "failing" not in usual
    panel.pair.moving.choose(viewer.layers[1])
    volumes = [viewer.add_image(np.random.default_rng(k).random((8, 9, 9)), name=f"v{k}") for k in (0, 1)]
    panel.pair.fixed.choose(volumes[0])
    assert not button.isEnabled() and "axes" in button.toolTip()
    panel.pair.moving.choose(volumes[1])
    assert button.isEnabled()
    assert all(3 in METHODS[name].ndims for name in button.methods)
    button.choose(())
    panel.compare()
    assert "Check the methods" in panel.outcome.sentence.text() and not panel.busy


def test_a_refused_pair_is_one_sentence(panel, viewer, qtbot):
    viewer.layers[0].data = np.zeros((72, 72), np.float32)
    panel.bar.compare.choose(("translation",))
    with qtbot.waitSignal(panel.failed, timeout=30_000) as blocker:
        panel.bar.compare.click()
    assert "constant" in blocker.args[0]
    assert not panel.table.isVisible()


def test_nothing_is_cut_off_in_a_narrow_dock(panel, viewer, qtbot):
    compare(panel, qtbot, "translation", "rigid", "failing")
    window = viewer.window.dock_widgets["Register"].window()
    assert isinstance(window, QMainWindow)
    window.resizeDocks([panel.parent()], [300], Qt.Orientation.Horizontal)
    qtbot.wait(100)
    view = panel.area.viewport().width()
    assert panel.area.widget().minimumSizeHint().width() <= view
    table = panel.table.table
    last = table.visualRect(table.contents.index(len(table.contents.rows) - 1, 0))
    assert last.bottom() <= table.viewport().height()
    # Method, LNCC and SSIM at least are seen, no column is cut, and the tooltip has the hidden ones.
    names = [column.name for column in table.contents.columns]
    assert names[:6] == ["method", "LNCC", "SSIM", "fold %", "s", "NCC"]
    shown = [k for k in range(len(names)) if not table.isColumnHidden(k)]
    assert 3 <= len(shown) < len(names) and shown == list(range(len(shown)))
    assert table.visualRect(table.contents.index(1, shown[-1])).right() <= table.viewport().width()
    assert "NMI " in cell(table, 1, 0, Qt.ItemDataRole.ToolTipRole)

    window.resize(1500, 900)
    window.resizeDocks([panel.parent()], [700], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: not any(map(table.isColumnHidden, range(len(names)))), timeout=20_000)


def test_a_long_stage_is_shown_whole(panel, qtbot):
    panel.bar.set_running(True, "Comparing…")
    for text in (
        "short",
        "Affine: Better: LNCC 0.006 -> 0.070 where both overlap; SSIM 0.80 -> 0.97; 0 % folded",
    ):
        panel.bar.show_report(Report(0.5, text, ()))
        qtbot.wait(50)
    stage = panel.bar.stage
    qtbot.waitUntil(lambda: stage.height() >= stage.heightForWidth(stage.width()), timeout=20_000)
    assert (
        "0.006 → 0.070" in stage.text()
        and stage.heightForWidth(stage.width()) > 2 * stage.fontMetrics().height()
    )
