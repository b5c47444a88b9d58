"""Files that napari's own menu opens without their geometry, of which the user is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import show_warning

from ...io.images import TIFF, ending_of
from ..layers.canvas_drops import carries_geometry


def watch_plain_files(viewer: ViewerModel) -> None:
    """Say so, from now on, when napari has opened a folder of DICOM files or a map without its geometry.

    napari's own menu does. A reader of ours for them would make it ask at every folder and every TIFF.
    """
    viewer.layers.events.inserted.connect(_tell_plain)


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
