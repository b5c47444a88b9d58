"""File > Open Sample: simulated pairs, and real ones to download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from qtpy.QtCore import QEventLoop, Qt
from qtpy.QtWidgets import QApplication, QProgressDialog

from ...core.geometry import Array
from ...core.progress import Cancelled, Progress, silent
from ...io.images import read_image
from ...samples import make_sample
from ...samples.base import Sample
from ...samples.downloads import DOWNLOADS, Download, fetch
from ..background.worker import Report, Runner
from ..preferences import cache_folder
from .readers import LayerData, image_layers, labels_layers
from .snapshots import grid_kwargs


def fundus() -> list[LayerData]:
    """A photographed retina, and the same under a simulated warp."""
    return sample_layers(make_sample("fundus"))


def sar() -> list[LayerData]:
    """A simulated landscape seen by radar at two angles."""
    return sample_layers(make_sample("sar"))


def brain2d() -> list[LayerData]:
    """A slice of a simulated head."""
    return sample_layers(make_sample("brain2d"))


def brain3d() -> list[LayerData]:
    """A simulated head."""
    return sample_layers(make_sample("brain3d"))


def microscopy() -> list[LayerData]:
    """A simulated tissue section in two stains."""
    return sample_layers(make_sample("microscopy"))


def head_2d() -> list[LayerData]:
    """Two CT slices of a head, from ITKElastix."""
    return download_layers(DOWNLOADS["head_2d"])


def brain_slices() -> list[LayerData]:
    """Brain slices of two people, from ANTsPy."""
    return download_layers(DOWNLOADS["brain_slices"])


def histology_kidney() -> list[LayerData]:
    """A rat's kidney in two stains with landmarks, from BIRL."""
    return download_layers(DOWNLOADS["histology_kidney"])


def spinal_cord() -> list[LayerData]:
    """Spinal cord MRI with masks, from the Spinal Cord Toolbox."""
    return download_layers(DOWNLOADS["spinal_cord"])


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


def download_layers(pair: Download, cache: Path | None = None, server: str | None = None) -> list[LayerData]:
    """A real pair as layers, downloaded first if it is not in the cache.

    The interface stays responsive: the download runs in a thread, with a window for its progress and Cancel.

    Parameters
    ----------
    pair : Download
        Which.
    cache, server
        As in `napari_voxreg.samples.downloads.fetch`.

    Raises
    ------
    ValueError
        If the source cannot be reached or sends other content.
    Cancelled
        If the user pressed Cancel or closed the viewer.
    """

    kept = cache_folder()

    def job(progress: Progress) -> list[LayerData]:
        return _pair_layers(pair, fetch(pair, progress, cache or kept, server))

    return job(silent) if QApplication.instance() is None else _while_waiting(job, f"Fetching {pair.title}…")


def _while_waiting(job: Callable[[Progress], list[LayerData]], title: str) -> list[LayerData]:
    """Run a job in a thread and process events until it is done, since napari needs samples at once."""
    loop = QEventLoop()
    runner = Runner()
    found: list[LayerData] = []
    errors: list[Exception] = []
    window = QProgressDialog(title, "Cancel", 0, 1000, QApplication.activeWindow())
    window.setWindowTitle("VoxReg")
    window.setWindowModality(Qt.WindowModality.ApplicationModal)
    window.setAutoReset(False)
    window.setMinimumDuration(300)  # cached files open without showing the window

    def done(layers: list[LayerData]) -> None:
        found.extend(layers)
        loop.quit()

    def failed(error: Exception) -> None:
        errors.append(error)
        loop.quit()

    def report(state: Report) -> None:
        window.setValue(round(1000 * (state.fraction or 0.0)))

    def stop() -> None:
        runner.cancel()
        failed(Cancelled("The download was cancelled; nothing was kept of the unfinished file."))

    window.canceled.connect(stop)
    runner.start(job, report=report, done=done, failed=failed, warned=lambda text: None)
    loop.exec()
    window.canceled.disconnect(stop)
    window.close()
    window.deleteLater()
    if errors:
        raise errors[0]
    return found


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
