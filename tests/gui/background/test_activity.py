"""Long work in napari's activity dock, and its notification."""

import pytest
from napari.utils.notifications import notification_manager
from napari.utils.progress import progress
from qtpy.QtWidgets import QProgressBar, QWidget

from napari_voxreg.gui.background import activity
from napari_voxreg.gui.background.activity import Activity


@pytest.fixture
def work(viewer, qtbot):
    """The activity of a panel that nobody looks at, its bar, and what was cancelled."""
    panel, bar, cancelled = QWidget(), QProgressBar(), []
    for widget in (panel, bar):
        qtbot.addWidget(widget)
    return Activity(panel, bar, lambda: cancelled.append(True)), bar, cancelled


def test_the_dock_repeats_the_bar_and_its_cancel_works(viewer, work):
    running, bar, cancelled = work
    running.begin("Registering…")
    (one,) = progress._all_instances
    assert str(one.desc).startswith("VoxReg: Registering…") and one.total == 0
    bar.setRange(0, 1000)
    bar.setValue(400)
    assert (one.n, one.total) == (400, 1000)
    one.cancel()
    assert cancelled == [True]
    running.end()
    assert not progress._all_instances


@pytest.mark.parametrize(("limit", "told"), [(0.0, 1), (1e9, 0)])
def test_the_end_of_long_work_is_told(viewer, work, monkeypatch, limit, told):
    monkeypatch.setattr(activity, "LONG", limit)
    before = len(notification_manager.records)
    work[0].begin("Training…")
    work[0].end("Better: by a test.")
    new = notification_manager.records[before:]
    assert [record.message for record in new] == ["Better: by a test."] * told


def test_who_looks_at_the_panel_is_not_told(viewer, qtbot, work, monkeypatch):
    monkeypatch.setattr(activity, "LONG", 0.0)
    monkeypatch.setattr(Activity, "_seen", lambda self: True)
    before = len(notification_manager.records)
    work[0].begin("Training…")
    work[0].end("Better: by a test.")
    work[0].end("A second time there is nothing to end.")
    assert len(notification_manager.records) == before
