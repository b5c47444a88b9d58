"""File > Open Sample: simulated pairs, and real ones to download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QThread
from qtpy.QtWidgets import QApplication

from ...core.geometry import Array
from ...core.progress import Progress, silent
from ...io.images import read_image
from ...samples import SAMPLES, make_sample
from ...samples.base import Sample
from ...samples.downloads import DOWNLOADS, Download, fetch
from ..preferences import cache_folder
from .readers import LayerData, image_layers, labels_layers
from .sample_window import SampleWindow
from .snapshots import grid_kwargs

# napari refuses an empty list; an image of no channels adds no layer.
NO_LAYERS: list[LayerData] = [(np.empty((0, 1, 1)), {"channel_axis": 0}, "image")]


def fundus() -> list[LayerData]:
    """A photographed retina, and the same under a simulated warp."""
    return _simulated("fundus")


def sar() -> list[LayerData]:
    """A simulated landscape seen by radar at two angles."""
    return _simulated("sar")


def brain2d() -> list[LayerData]:
    """A slice of a simulated head."""
    return _simulated("brain2d")


def brain3d() -> list[LayerData]:
    """A simulated head."""
    return _simulated("brain3d")


def microscopy() -> list[LayerData]:
    """A simulated tissue section in two stains."""
    return _simulated("microscopy")


def head_2d() -> list[LayerData]:
    """Two CT slices of a head, from ITKElastix."""
    return _downloaded("head_2d")


def brain_slices() -> list[LayerData]:
    """Brain slices of two people, from ANTsPy."""
    return _downloaded("brain_slices")


def histology_kidney() -> list[LayerData]:
    """A rat's kidney in two stains with landmarks, from BIRL."""
    return _downloaded("histology_kidney")


def spinal_cord() -> list[LayerData]:
    """Spinal cord MRI with masks, from the Spinal Cord Toolbox."""
    return _downloaded("spinal_cord")


def sample_layers(sample: Sample) -> list[LayerData]:
    """A simulated pair as layers: fixed, moving, and hidden labels where there are any.

    The layers' metadata has ``sample``, the name of the pair, and ``simulated``, True.
    """
    metadata = {"sample": sample.name, "simulated": True}
    layers = [*image_layers(sample.fixed, metadata=metadata), *image_layers(sample.moving, metadata=metadata)]
    for labels in (sample.labels_fixed, sample.labels_moving):
        if labels is not None:
            layers.extend(labels_layers(labels, metadata=metadata, visible=False, opacity=0.5))
    return layers


def download_layers(
    pair: Download, progress: Progress = silent, cache: Path | None = None, server: str | None = None
) -> list[LayerData]:
    """A real pair as layers, downloaded first if it is not in the cache.

    Parameters
    ----------
    pair : Download
        Which.
    progress, cache, server
        As in `napari_voxreg.samples.downloads.fetch`.

    Raises
    ------
    ValueError
        If the source cannot be reached or sends other content.
    """
    return _pair_layers(pair, fetch(pair, progress, cache, server))


def _simulated(name: str) -> list[LayerData]:
    """A simulated pair, now or later."""
    return now_or_later(lambda progress: sample_layers(make_sample(name)), SAMPLES[name].title)


def _downloaded(name: str) -> list[LayerData]:
    """A real pair, now or later."""
    pair, cache = DOWNLOADS[name], cache_folder()
    return now_or_later(lambda progress: download_layers(pair, progress, cache), pair.title)


def now_or_later(job: Callable[[Progress], list[LayerData]], title: str) -> list[LayerData]:
    """The layers of a sample for ``viewer.open_sample``.

    Scripts get them at once. Where the interface's event loop runs, as it does under the menu, none are
    returned: a thread makes them, and the viewer gets them when they are ready.

    Parameters
    ----------
    job : callable
        Called as ``job(progress)``; makes the layers.
    title : str
        Of the sample.
    """
    viewer = napari.current_viewer()
    thread = QThread.currentThread()
    if viewer is None or QApplication.instance() is None or thread is None or thread.loopLevel() == 0:
        return job(silent)
    SampleWindow(viewer, title).start(job)
    return NO_LAYERS


def _pair_layers(pair: Download, files: dict[str, Path]) -> list[LayerData]:
    """Fixed, moving, and their masks or landmarks."""
    metadata = {"source": f"github.com/{pair.repository}@{pair.commit}", "licence": pair.licence}
    images = {role: read_image(files[role]) for role in ("fixed", "moving")}
    layers: list[LayerData] = []
    for role, image in images.items():
        layers.extend(image_layers(image, name=f"{pair.title}: {role}", metadata=metadata))
    for role in images:
        if f"labels_{role}" in files:
            labels = read_image(files[f"labels_{role}"])
            kwargs = {"name": f"{pair.title}: {role} mask", "metadata": metadata, "visible": False}
            layers.extend(labels_layers(labels, **kwargs))
    if "points_fixed" in files:
        points = _common_landmarks(files["points_fixed"], files["points_moving"])
        for (role, image), positions in zip(images.items(), points, strict=True):
            name = f"{pair.title}: {role} landmarks"
            kwargs = {**grid_kwargs(image.grid), "size": 12, "face_color": "yellow"}
            layers.append((positions, {**kwargs, "name": name, "metadata": metadata}, "points"))
    return layers


def _common_landmarks(fixed: Path, moving: Path) -> tuple[Array, Array]:
    """Landmarks with the same number in both tables (number, column, row, under headings), (N, 2) each."""
    tables = [np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2) for path in (fixed, moving)]
    _, *rows = np.intersect1d(tables[0][:, 0], tables[1][:, 0], return_indices=True)
    return tables[0][rows[0]][:, [2, 1]], tables[1][rows[1]][:, [2, 1]]
