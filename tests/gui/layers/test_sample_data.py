"""File > Open Sample in the real viewer, and downloads from a server of our own."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from napari.utils.progress import progress
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDialogButtonBox, QMenu

from napari_voxreg.gui.layers import sample_data
from napari_voxreg.gui.layers.sample_window import SampleWindow
from napari_voxreg.gui.layers.snapshots import image_from_layer
from napari_voxreg.samples import SAMPLES, make_sample
from napari_voxreg.samples.downloads import DOWNLOADS, fetch

PAIRS = Path(os.environ.get("VOXREG_PAIRS", "VOXREG_PAIRS is unset")) / "downloads"
UNITS = {
    "fundus": "pixel",
    "sar": "meter",
    "brain2d": "millimeter",
    "brain3d": "millimeter",
    "microscopy": "micrometer",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "brain3d" else ()) for name in SAMPLES]
)
def test_a_click_brings_the_pair_in_its_place(viewer, name):
    layers = viewer.open_sample("napari-voxreg", name)
    sample = make_sample(name)
    assert [type(layer).__name__ for layer in layers[:2]] == ["Image", "Image"]
    assert all("simulated" in layer.name for layer in layers)
    for layer, image in zip(layers[:2], (sample.fixed, sample.moving), strict=True):
        shown = image_from_layer(layer, viewer)
        assert shown.grid.same_as(image.grid)
        assert set(shown.grid.units) == {UNITS[name]}
        assert np.array_equal(layer.metadata.get("linear", shown.data), image.data)
    assert viewer.dims.units is None or len(set(viewer.dims.units)) == 1
    assert all(not layer.visible for layer in layers[2:])


def test_radar_is_shown_in_decibel(viewer):
    fixed = viewer.open_sample("napari-voxreg", "sar")[0]
    linear = make_sample("sar").fixed.data
    assert fixed.name.endswith("(dB)")
    assert np.allclose(fixed.data, 20 * np.log10(linear), atol=1e-4)
    assert fixed.data.min() <= fixed.contrast_limits[0] < fixed.contrast_limits[1] <= fixed.data.max()


class Source(BaseHTTPRequestHandler):
    """Serves the files of the pairs under OWNER/NAME/COMMIT/PATH, as they are or otherwise."""

    def __init__(self, spoiled: bool, pause: float, *args: object) -> None:
        self.spoiled, self.pause = spoiled, pause
        super().__init__(*args)

    def do_GET(self) -> None:
        owner, repository, commit, path = self.path.lstrip("/").split("/", 3)
        pair = next(p for p in DOWNLOADS.values() if p.repository == f"{owner}/{repository}")
        content = (PAIRS / pair.name / path).read_bytes()
        assert commit == pair.commit
        if self.spoiled:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            for start in range(0, len(content), 16_384):
                self.wfile.write(content[start : start + 16_384])
                self.wfile.flush()
                time.sleep(self.pause)
        except OSError:
            pass  # the other side hung up, as it does on Cancel

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def serve():
    """Start a server: serve(spoiled=False, pause=0) gives its address.

    Asked for before a viewer: napari's own fixture cannot be torn down after a skip.
    """
    if not PAIRS.is_dir():
        pytest.skip(f"the real pairs are not here ({PAIRS}); set VOXREG_PAIRS")
    servers = []

    def start(spoiled: bool = False, pause: float = 0.0) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Source, spoiled, pause))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def left_in(folder: Path) -> list[str]:
    """All files in a folder."""
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_download_is_verified_kept_and_shown(serve, viewer, tmp_path, name):
    pair = DOWNLOADS[name]
    for data in sample_data.download_layers(pair, cache=tmp_path, server=serve()):
        viewer._add_layer_from_data(*data)
    kinds = [type(layer).__name__ for layer in viewer.layers]
    assert kinds[:2] == ["Image", "Image"]
    assert len(kinds) == len(pair.files)
    assert left_in(tmp_path) == sorted(Path(file.path).name for file in pair.files)
    # The second time the cache is used: no server is needed.
    assert len(sample_data.download_layers(pair, cache=tmp_path, server="http://127.0.0.1:9")) == len(kinds)


def test_landmarks_lie_on_the_images(serve, viewer, tmp_path):
    data = sample_data.download_layers(DOWNLOADS["histology_kidney"], cache=tmp_path, server=serve())
    fixed, moving = (d[0] for d in data if d[2] == "points")
    assert fixed.shape == moving.shape
    for points, image in ((fixed, data[0][0]), (moving, data[1][0])):
        assert (points >= 0).all()
        assert (points < image.shape[:2]).all()


def test_other_content_is_discarded(serve, tmp_path):
    with pytest.raises(ValueError, match=r"SHA-256 differs.*thrown away"):
        fetch(DOWNLOADS["brain_slices"], cache=tmp_path, server=serve(spoiled=True))
    assert left_in(tmp_path) == []


def test_offline_is_reported(tmp_path):
    with pytest.raises(ValueError, match="check the connection"):
        sample_data.download_layers(DOWNLOADS["brain_slices"], cache=tmp_path, server="http://127.0.0.1:9")
    assert left_in(tmp_path) == []


@pytest.fixture
def choose(viewer, qtbot):
    """Choose an entry of the menu of samples by its title, in the running event loop; gives the window."""

    def entry(title: str) -> SampleWindow:
        menus = viewer.window.file_menu.findChildren(QMenu)
        (action,) = (a for menu in menus for a in menu.actions() if a.text() == title)
        QTimer.singleShot(0, action.trigger)
        qtbot.waitUntil(lambda: bool(opened(viewer)), timeout=20_000)
        return opened(viewer)[0]

    return entry


def opened(viewer) -> list[SampleWindow]:
    """The windows of samples that are on their way."""
    return viewer.window._qt_window.findChildren(SampleWindow)


def press(qtbot, window: SampleWindow, button: QDialogButtonBox.StandardButton) -> None:
    """Click a button of a sample's window."""
    qtbot.mouseClick(window.buttons.button(button), Qt.MouseButton.LeftButton)


def test_the_menu_brings_the_pair_without_blocking_the_viewer(viewer, qtbot, choose, monkeypatch):
    threads: list[threading.Thread] = []
    build = sample_data.make_sample

    def watched(name):
        threads.append(threading.current_thread())
        time.sleep(0.6)  # long enough for the window to appear
        return build(name)

    monkeypatch.setattr(sample_data, "make_sample", watched)
    window = choose("Brain MRI slice, T1 and T2 (simulated)")
    assert not viewer.layers
    assert [str(one.desc).startswith("VoxReg: Brain MRI slice") for one in progress._all_instances] == [True]
    qtbot.waitUntil(window.isVisible, timeout=20_000)
    assert not window.isModal()
    with qtbot.waitSignal(window.finished, timeout=20_000):
        pass
    assert threads[0] is not threading.main_thread()
    sample = build("brain2d")
    assert len(viewer.layers) == 4
    for layer, image in zip(viewer.layers[:2], (sample.fixed, sample.moving), strict=True):
        assert np.array_equal(layer.data, image.data)
        assert image_from_layer(layer, viewer).grid.same_as(image.grid)
    assert not progress._all_instances
    qtbot.waitUntil(lambda: not opened(viewer), timeout=20_000)


def test_a_failed_download_is_one_sentence_that_stays(viewer, qtbot, choose, monkeypatch, tmp_path, capfd):
    def unreachable(pair, report, cache, server):
        return fetch(pair, report, tmp_path, "http://127.0.0.1:9")

    monkeypatch.setattr(sample_data, "fetch", unreachable)
    before = len(notification_manager.records)
    window = choose("Brain slices of two people (download, 19 kB)")
    qtbot.waitUntil(window.sentence.isVisible, timeout=20_000)
    assert window.sentence.text() == (
        "r16slice.jpg could not be fetched from ANTsX/ANTsPy; check the connection and try again."
    )
    qtbot.wait(300)
    assert window.isVisible() and not window.bar.isVisible()
    assert notification_manager.records[before:] == []  # nothing is raised into napari
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not viewer.layers and not progress._all_instances
    press(qtbot, window, QDialogButtonBox.StandardButton.Close)
    qtbot.waitUntil(lambda: not opened(viewer), timeout=20_000)


def test_a_long_sentence_is_seen_to_its_end(viewer, qtbot, choose, monkeypatch):
    said = (
        "CT_2D_head_fixed.mha could not be fetched from InsightSoftwareConsortium/ITKElastix; check the "
        "connection and try again."
    )

    def unreachable(*args):
        time.sleep(0.8)  # the window is there, small, with its bar
        raise ValueError(said)

    monkeypatch.setattr(sample_data, "fetch", unreachable)
    window = choose("Brain slices of two people (download, 19 kB)")
    qtbot.waitUntil(window.sentence.isVisible, timeout=20_000)
    qtbot.wait(200)
    sentence = window.sentence
    assert sentence.height() >= sentence.heightForWidth(sentence.width())
    assert not sentence.visibleRegion().isEmpty()
    assert sentence.visibleRegion().boundingRect() == sentence.rect()
    press(qtbot, window, QDialogButtonBox.StandardButton.Close)
    qtbot.waitUntil(lambda: not opened(viewer), timeout=20_000)


@pytest.mark.alone
def test_cancel_stops_at_once_and_leaves_nothing(serve, viewer, qtbot, choose, monkeypatch, tmp_path):
    server = serve(pause=0.2)
    monkeypatch.setattr(
        sample_data, "fetch", lambda pair, report, *rest: fetch(pair, report, tmp_path, server)
    )
    ticks: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    window = choose("Rat kidney, two stains (download, 0.7 MB)")
    timer.start(20)
    qtbot.waitUntil(lambda: window.isVisible() and 0 < window.bar.value() < 1000, timeout=20_000)
    qtbot.wait(500)
    timer.stop()
    # The interface stayed responsive.
    assert max(np.diff(ticks)) < 0.3
    clicked = time.perf_counter()
    with qtbot.waitSignal(window.finished, timeout=20_000):
        press(qtbot, window, QDialogButtonBox.StandardButton.Cancel)
    assert time.perf_counter() - clicked < 1.0
    qtbot.waitUntil(lambda: left_in(tmp_path) == [], timeout=20_000)
    assert not viewer.layers


def test_the_dock_cancels_a_sample_too(viewer, qtbot, choose, monkeypatch):
    wait = threading.Event()
    build = sample_data.make_sample
    monkeypatch.setattr(sample_data, "make_sample", lambda name: wait.wait(20) and build(name))
    choose("Brain MRI slice, T1 and T2 (simulated)")
    (row,) = progress._all_instances
    row.cancel()
    wait.set()
    qtbot.waitUntil(lambda: not opened(viewer), timeout=20_000)
    qtbot.wait(500)
    assert not viewer.layers and not progress._all_instances
