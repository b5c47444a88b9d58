"""Large images as multiscale layers, which read or compute only what is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import napari
import numpy as np
from napari.components import ViewerModel
from napari.layers import Layer

from ..io.tiff import TIME
from ..large import LargeImage
from .layers.snapshots import grid_kwargs

COLOURS = (3, 4)  # channels that are red, green, blue and opacity


def add_large(viewer: ViewerModel, image: LargeImage, name: str = "") -> list[Layer]:
    """Add an image larger than memory to a viewer.

    Parameters
    ----------
    viewer : Viewer
    image : LargeImage
        Of `open_large`, or of `warp_lazily`: then each piece is warped when it comes into sight.
    name : str
        Of the layer; that of the image by default.

    Returns
    -------
    list of Layer
        One, or one for each channel of an image that is not in colour.
    """
    finest = image.levels[0]
    whole = np.dtype(image.dtype)
    options: dict[str, Any] = {"name": name or image.name, "multiscale": len(image.levels) > 1}
    options |= {**grid_kwargs(image.grid), "rgb": False}
    if image.times is not None:
        grid = finest.grid
        options["scale"] = (grid.spacing[0], *options["scale"])
        options["translate"] = (grid.origin[0], *options["translate"])
        options |= {"units": (TIME, *image.grid.units), "axis_labels": ("t", *options["axis_labels"])}
    if image.channels in COLOURS and whole in (np.uint8, np.uint16):
        options["rgb"] = True
    elif image.channels is not None:
        options["channel_axis"] = finest.data.ndim - 1
    if not options["rgb"] and whole == np.uint8:
        options["contrast_limits"] = (0, 255)  # napari would compute a level to find them
    data = [level.data for level in image.levels]
    made = viewer.add_image(data if options["multiscale"] else data[0], **options)
    return made if isinstance(made, list) else [made]


def show_large(images: Mapping[str, LargeImage]) -> None:
    """Open a viewer with images on each other, and wait until it is closed.

    Parameters
    ----------
    images : mapping
        Name of the layer to image, the lowest first.
    """
    viewer = napari.Viewer(title="napari-voxreg")
    for name, image in images.items():
        add_large(viewer, image, name)
    napari.run()
