"""Layers as files with their full geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from ...core.geometry import Array, Image
from ...io.images import write_image
from .snapshots import snapshot


def write_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an Image or Labels layer with its scale, rotation, translation, affine and units.

    Parameters
    ----------
    path : str
        Ending in .mha, .nii.gz, .nii or .nrrd.
    data : array_like
        The layer's pixels; of a multiscale layer the finest level is written.
    meta : dict
        The layer's attributes as napari gives them to a writer.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    OSError
        If the format cannot hold the layer.
    """
    levels = data if meta.get("multiscale") else [data]
    placed = {
        key: meta[key]
        for key in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        if key in meta
    }
    pixels: Array = np.asarray(levels[0])
    kind = {} if "rgb" not in meta else {"rgb": meta["rgb"]}
    layer = (ImageLayer if "rgb" in meta else Labels)(pixels, **placed, **kind)
    taken = snapshot(layer)
    name = str(meta.get("name", ""))
    try:
        return [str(write_image(Image(pixels, taken.grid(), name), Path(path)))]
    except ValueError as error:  # napari would silently take a ValueError for a missing writer
        raise OSError(str(error)) from error
