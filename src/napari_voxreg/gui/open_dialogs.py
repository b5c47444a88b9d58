"""Opening what napari's own menu opens without its geometry: folders of DICOM files, and maps in TIFF."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakSet

import napari.viewer
import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import notification_manager, show_error, show_warning
from qtpy.QtWidgets import QFileDialog

from ..io.images import TIFF, ending_of
from .background.worker import Runner
from .layers.canvas_drops import carries_geometry
from .layers.readers import LayerData, notes_of, read_layers
from .widgets.canvas_context import own_viewer

_watched: WeakSet[ViewerModel] = WeakSet()

MAPS = "Maps (*.tif *.tiff *.gtif *.gtiff *.geotiff);;All files (*)"


def open_dicom_folder(viewer: napari.viewer.Viewer) -> None:
    """Ask for a folder, and open each DICOM series in it as a volume with its geometry."""
    folder = QFileDialog.getExistingDirectory(own_viewer(viewer).window._qt_window, "Open a DICOM folder")
    if folder:
        _open(viewer, [Path(folder)])


def open_maps(viewer: napari.viewer.Viewer) -> None:
    """Ask for GeoTIFF files, and open them with their geometry."""
    names, _ = QFileDialog.getOpenFileNames(own_viewer(viewer).window._qt_window, "Open maps", "", MAPS)
    if names:
        _open(viewer, [Path(name) for name in names])


def _open(viewer: napari.viewer.Viewer, paths: list[Path]) -> None:
    """Read files in the background; notes, and what goes wrong, are notifications."""
    own = own_viewer(viewer)
    own.status = f"Opening {', '.join(path.name for path in paths)}…"

    def opened(layers: list[LayerData]) -> None:
        own.status = "Ready"
        for one in layers:
            own.add_layer(Layer.create(*one))
        for note in notes_of(layers):
            show_warning(note)

    def fail(error: Exception) -> None:
        own.status = "Ready"
        if isinstance(error, ValueError):
            show_error(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)

    Runner().start(
        lambda progress: read_layers(paths),
        report=lambda report: None,
        done=opened,
        failed=fail,
        warned=show_warning,
    )


def watch_plain_files(viewer: ViewerModel) -> None:
    """Say so, from now on, when napari has opened a folder of DICOM files or a map without its geometry.

    napari's own menu does. A reader of ours for them would make it ask at every folder and every TIFF.
    """
    own = own_viewer(viewer)
    if own not in _watched:
        _watched.add(own)
        own.layers.events.inserted.connect(_tell_plain)


def _tell_plain(event: Any) -> None:
    layer: Layer = event.value
    if layer.source.path is None or layer.source.reader_plugin == "napari-voxreg":
        return
    path = Path(layer.source.path)
    map_or_folder = path.is_dir() or (path.is_file() and ending_of(path) in TIFF)
    if not map_or_folder or not np.all(layer.scale == 1) or not carries_geometry(path):
        return
    entry = "Open DICOM folder" if path.is_dir() else "Open GeoTIFF"
    show_warning(
        f"{path.name} was opened without its pixel size and position; "
        f"File > IO Utilities > {entry} keeps them."
    )
