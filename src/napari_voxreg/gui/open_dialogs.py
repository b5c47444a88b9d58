"""Opening what napari's own menu opens without its geometry: folders of DICOM files, and maps in TIFF."""

from __future__ import annotations

from pathlib import Path

import napari.viewer
from napari.layers import Layer
from napari.utils.notifications import notification_manager, show_error, show_warning
from qtpy.QtWidgets import QFileDialog

from .background.worker import Runner
from .layers.readers import LayerData, notes_of, read_layers
from .widgets.canvas_context import own_viewer

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
