"""Clusters in the Train panel of a real viewer: see them, train on one, train on each, close at any time."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from scipy.ndimage import gaussian_filter

from napari_voxreg import Grid, Image
from napari_voxreg.gui.train import clusters_window
from napari_voxreg.gui.train.clusters_plot import ElbowPlot, strip
from napari_voxreg.gui.train.panel import TrainWidget
from napari_voxreg.gui.widgets import weights
from napari_voxreg.io.images import write_image
from napari_voxreg.train.runs import read_pairs, read_run

pytestmark = pytest.mark.usefixtures("warm_child")

GRID = Grid.from_spacing((32, 40))
QUICK = {
    "architecture": "stn",
    "start": "scratch",
    "batch_size": 2,
    "size": 32,
    "workers": 0,
    "show_every": 0,
    "epochs": 1,
}


@pytest.fixture
def source(tmp_path):
    """Five pairs of smooth noise and five of stripes."""
    rng = np.random.default_rng(0)
    stripes = (np.arange(40) // 5 % 2) * np.ones((32, 1))
    for k in range(10):
        smooth = gaussian_filter(rng.normal(size=GRID.shape), 4)
        data = stripes + 0.1 * rng.normal(size=GRID.shape) if k % 2 else smooth / np.abs(smooth).max()
        for side in ("fixed", "moving"):
            name = f"{'stripes' if k % 2 else 'noise'}{k}.tif"
            write_image(Image(data.astype(np.float32), GRID), tmp_path / "visits" / side / name)
    return tmp_path / "visits"


@pytest.fixture
def panel(viewer, qtbot, source, tmp_path, monkeypatch):
    """The panel in its dock, with the pairs found."""
    monkeypatch.setattr(weights, "_roots", [])
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train")
    widget.folder.choose(tmp_path / "runs")
    assert not widget.source.clusters_button.isEnabled()
    widget.source.choose(source)
    widget.options.choose(**QUICK)
    qtbot.waitUntil(lambda: widget.source.pairs is not None, timeout=10_000)
    return widget


def show(panel, qtbot):
    """Open the window and wait for its clusters, two of them."""
    window = panel.source.clusters
    with qtbot.waitSignal(window.shown, timeout=60_000):
        panel.source.clusters_button.click()
    window.count.setValue(2)
    return window


def place_of(plot, value):
    """Where a number lies on a plot's axis, in pixels."""
    return min(range(plot.width()), key=lambda x: abs(plot.value_at(x) - value))


@pytest.mark.slow
def test_clusters_are_shown_and_one_of_them_is_trained_on(panel, qtbot):
    window = show(panel, qtbot)
    assert window.isVisible() and "The elbow is at " in window.sentence.text()
    assert not window.plot.grab().isNull() and window.plot.inertias == window.found.inertias
    kinds = [{member.pair.name[:5] for member in cluster.members} for cluster in window.clusters]
    assert sorted(map(sorted, kinds)) == [["noise"], ["strip"]]
    window.count.setValue(3)
    assert len(window.clusters) == len(window.uses) == 3
    # Until the curve is drawn, the axis ends at 1.
    qtbot.waitUntil(lambda: (window.plot.value_at(window.plot.width()) or 0) > 2, timeout=20_000)
    qtbot.mouseClick(window.plot, Qt.MouseButton.LeftButton, pos=QPoint(place_of(window.plot, 2), 50))
    assert window.count.value() == 2 and len(window.clusters) == 2

    whole = panel.source.pairs
    window.uses[1].click()
    assert panel.source.pairs is window.clusters[1].pairs
    assert panel.source.sentence.text().startswith("Cluster 2 of 2: ")
    assert len(panel.source.table.contents.rows) == len(window.clusters[1].members)
    assert panel.source.name() == "visits-cluster 2 of 2" and not panel.source.reason()
    with qtbot.waitSignal(panel.finished, timeout=120_000):
        panel.run()
    assert panel.runner.folder.name == "visits-cluster-2-of-2-stn"
    trained = {pair.name for pair in read_pairs(panel.runner.folder).training}
    assert trained == {pair.name for pair in window.clusters[1].pairs.training}
    window.everything.click()
    assert panel.source.pairs is whole and panel.source.name() == "visits"
    panel.source.clusters_button.click()  # the same set is not searched again
    assert window.found is not None


@pytest.mark.slow
def test_one_model_for_each_is_trained_one_after_another(panel, qtbot, tmp_path):
    window = show(panel, qtbot)
    window.each.click()
    assert panel.busy
    window.each.click()
    assert "A training is running" in window.sentence.text()
    folders = [tmp_path / "runs" / f"visits-cluster-{n}-of-2-stn" for n in (1, 2)]
    qtbot.waitUntil(lambda: not panel.busy and (folders[1] / "last.safetensors").is_file(), timeout=120_000)
    for folder, cluster in zip(folders, window.clusters, strict=True):
        assert read_run(folder).history[-1].epoch == 1
        assert {p.name for p in read_pairs(folder).training} == {p.name for p in cluster.pairs.training}
    qtbot.wait(100)
    assert not panel.busy and len(list((tmp_path / "runs").iterdir())) == 2


@pytest.mark.slow
def test_stop_ends_the_queue_of_trainings(panel, qtbot, tmp_path):
    panel.options.choose(epochs=100_000)
    window = show(panel, qtbot)
    window.each.click()
    with qtbot.waitSignal(panel.runner.epoch_done, timeout=120_000):
        pass
    with qtbot.waitSignal(panel.finished, timeout=60_000):
        panel.bar.stop.click()
    qtbot.wait(200)
    assert not panel.busy and len(list((tmp_path / "runs").iterdir())) == 1


def test_cancel_other_pairs_and_what_is_wrong(panel, qtbot, source, monkeypatch):
    window, real = panel.source.clusters, clusters_window.survey
    queried = []

    def slow(pairs, *, images, progress):
        queried.append(images)
        while images == "fixed":
            progress(0.5, "reading")
        return real(pairs, images=images, progress=progress)

    monkeypatch.setattr(clusters_window, "survey", slow)
    panel.source.clusters_button.click()
    qtbot.waitUntil(lambda: bool(queried), timeout=10_000)
    assert not window._running.isHidden()
    window.cancel_button.click()
    assert window.sentence.text() == "Cancelled." and window._running.isHidden()
    assert not window.again.isHidden() and not window.each.isEnabled()
    with qtbot.waitSignal(window.shown, timeout=60_000):
        window.images.setCurrentIndex(1)
    assert queried == ["fixed", "both"]
    for file in (source / "fixed").iterdir():
        file.write_bytes(b"nothing")
    window._again()
    qtbot.waitUntil(lambda: "can be read" in window.sentence.text(), timeout=10_000)
    panel.source.search()  # other pairs: the window would show the earlier ones
    assert not window.isVisible()


def test_closing_the_viewer_during_the_search_leaves_nothing_behind(panel, viewer, qtbot, monkeypatch):
    going = []

    def slow(pairs, *, images, progress):
        while True:
            going.append(1)
            progress(None, "reading")

    monkeypatch.setattr(clusters_window, "survey", slow)
    panel.source.clusters_button.click()
    qtbot.waitUntil(lambda: bool(going), timeout=10_000)
    viewer.close()
    qtbot.wait(200)
    count = len(going)
    qtbot.wait(100)
    assert len(going) == count


def test_closing_the_panel_with_its_window_open(panel, viewer, qtbot):
    show(panel, qtbot)
    viewer.window.remove_dock_widget(panel)
    qtbot.wait(200)  # both are deleted, and nothing uses them afterwards


def test_a_click_on_the_plot_picks_the_nearest_number(qtbot):
    plot = ElbowPlot()
    qtbot.addWidget(plot)
    plot.resize(400, 150)
    plot.show()
    qtbot.waitUntil(lambda: plot.value_at(0) is not None, timeout=20_000)
    picked = []
    plot.picked.connect(picked.append)
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(10, 50))
    assert picked == []  # there is no curve
    plot.set_curve((9.0, 3.0, 1.0), 2, 3)
    qtbot.waitUntil(lambda: plot.value_at(0) > 0.5, timeout=10_000)
    for x in (0, place_of(plot, 1.4), place_of(plot, 1.6), place_of(plot, 2), 399):
        qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(x, 50))
    assert picked == [1, 1, 2, 2, 3]


def test_images_stand_side_by_side(qtbot):
    row = strip([np.full((96, 96), value, np.uint8) for value in (0, 255)], 48)
    image = row.toImage()
    assert (row.height(), row.width()) == (48, 100)
    assert image.pixelColor(20, 20).red() == 0 and image.pixelColor(75, 20).red() == 255
