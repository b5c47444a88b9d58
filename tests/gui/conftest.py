"""A real viewer, and results of known transforms."""

import os
import sys

import numpy as np
import pytest
from napari import settings
from scipy.ndimage import gaussian_filter, shift

from napari_voxreg import Grid, Image
from napari_voxreg.core import process, threads
from napari_voxreg.core.params import Params
from napari_voxreg.gui.background import child_process
from napari_voxreg.gui.train.panel import TrainWidget
from napari_voxreg.gui.widgets import weights
from napari_voxreg.images.preprocess import driving_channel
from napari_voxreg.io.images import write_image
from napari_voxreg.metrics.pair import PairMetrics
from napari_voxreg.metrics.verdict import judge
from napari_voxreg.registration.result import Result
from napari_voxreg.transforms import Transform


@pytest.fixture(autouse=True)
def own_preferences(monkeypatch, tmp_path):
    """Preferences of each test's own: those of whoever runs the tests are neither read nor written."""
    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))
    settings._clear_plugin_settings_cache()
    yield
    settings._clear_plugin_settings_cache()
    threads.use(0)


@pytest.fixture
def viewer(request):
    """A napari viewer that draws; under Linux it needs a display, if only a virtual one (xvfb-run -a)."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        pytest.skip("no display: run the tests with xvfb-run -a")
    return request.getfixturevalue("make_napari_viewer")(show=True)


@pytest.fixture(scope="session")
def warm_child():
    """One child process for all tests, which takes seconds to load: as if another panel were always open."""
    child_process.hold(-1)
    yield
    child_process.release(-1)
    process.shutdown()


@pytest.fixture
def visits(tmp_path):
    """Makes a folder of pairs, each translated by a pixel or two."""

    def make(shape=(32, 40), count=6):
        grid = Grid.from_spacing(shape, 0.5, units="millimeter")
        step = (0, 1, -2)[-len(shape) :]
        for k in range(count):
            fixed = gaussian_filter(np.random.default_rng(k).normal(size=shape), 2).astype(np.float32)
            for side, data in (("fixed", fixed), ("moving", shift(fixed, step, order=1, mode="nearest"))):
                write_image(Image(data, grid), tmp_path / "visits" / side / f"s{k}.mha")
        return tmp_path / "visits"

    return make


@pytest.fixture
def train_panel(viewer, tmp_path, monkeypatch):
    """The Train panel in its dock, with its own folder of runs."""
    monkeypatch.setattr(weights, "_roots", [])
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train")
    widget.folder.choose(tmp_path / "runs")
    return widget


@pytest.fixture
def result_of():
    """Make the result that a method would give if it found exactly this transform."""

    def make(fixed: Image, moving: Image, transform: Transform) -> Result:
        fixed, moving = (image.without(image.grid.thin_axes()) for image in (fixed, moving))
        moving = moving.with_grid(moving.grid.in_units(fixed.grid.units))
        pair = PairMetrics(driving_channel(fixed), driving_channel(moving))
        before, after = pair.scores(None), pair.scores(transform)
        return Result(
            transform=transform,
            fixed=fixed.grid,
            moving=moving.grid,
            method="known",
            params=Params(),
            seconds=0.1,
            before=before,
            after=after,
            verdict=judge(pair, before, after, transform),
            names=(fixed.name, moving.name),
            hashes=("0", "1"),
        )

    return make
