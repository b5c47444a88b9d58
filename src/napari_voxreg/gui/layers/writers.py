"""Layers as files with their full geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from ...core.geometry import Image, unit_factor
from ...io.images import ending_of, write_image
from ...io.series import with_time
from ...io.tiff import TIME
from .placement import RESULT
from .snapshots import CHANNELS, CRS, snapshot

SIDE = ".voxreg"  # what the name of a result's folder ends in, beside its warped image


def write_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an Image or Labels layer with its scale, rotation, translation, affine and units.

    Axes labelled c or channel become the channels of the file. Of the other axes that are not registered, one
    becomes the time axis of the file; those of one step are left out.

    Parameters
    ----------
    path : str
        Ending in .mha, .nii.gz, .nii, .nrrd or .gtif.
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
    crs = {key: value for key, value in meta.get("metadata", {}).items() if key == CRS}
    kind = {} if "rgb" not in meta else {"rgb": meta["rgb"]}
    layer = (ImageLayer if "rgb" in meta else Labels)(np.asarray(levels[0]), **placed, **kind, metadata=crs)
    layer.name = str(meta.get("name", ""))
    try:
        written = write_image(whole_image(layer), Path(path))
        result = meta.get("metadata", {}).get(RESULT)
        if result is not None and meta["metadata"]["voxreg"]["kind"] == "warped":
            result.save(side_folder(written))
        return [str(written)]
    except ValueError as error:  # napari would silently take a ValueError for a missing writer
        raise OSError(str(error)) from error


def side_folder(path: Path) -> Path:
    """Where the result of a warped image lies that is saved in a file."""
    return path.with_name(f"{path.name.removesuffix(ending_of(path))}{SIDE}")


def whole_image(layer: ImageLayer | Labels) -> Image:
    """All pixels of a layer: time first, if it has more than one step, and channels last.

    Raises
    ------
    ValueError
        If the layer has several axes besides space and channels, or channels of colours.
    """
    taken = snapshot(layer)
    pixels, grid = np.asarray(taken.levels[0]), taken.grid()
    steps = [axis for axis in taken.steps if pixels.shape[axis] > 1]
    channels = [axis for axis in steps if str(layer.axis_labels[axis]).strip().lower() in CHANNELS]
    times = [axis for axis in steps if axis not in channels]
    if len(times) > 1 or len(channels) + taken.rgb > 1:
        names = ", ".join(str(layer.axis_labels[axis]) for axis in steps)
        raise ValueError(
            f"{taken.name!r} has the axes {names} besides space; save it in parts, with one of them."
        )
    if np.abs(taken.affine[np.ix_(taken.spatial, times)]).max(initial=0) > 1e-9 * grid.spacing.min():
        raise ValueError(
            f"{taken.name!r} lies elsewhere in each frame, which no format can hold; save them one by one."
        )
    order = [*times, *taken.spatial, *channels]
    dropped = tuple(axis for axis in taken.steps if axis not in order)
    pixels = np.squeeze(pixels, dropped)
    order = [axis - sum(gone < axis for gone in dropped) for axis in order]
    pixels = pixels.transpose([*order, *range(len(order), pixels.ndim)])
    if times:
        step, start = taken.affine[times[0], times[0]], taken.affine[times[0], -1]
        grid = with_time(grid, pixels.shape[0], *_seconds(step, start, taken.units[times[0]]))
    return Image(pixels, grid, taken.name)


def _seconds(step: float, start: float, unit: str) -> tuple[float, float]:
    """The step and the start of a time axis in seconds; an axis without a unit of time counts its frames."""
    try:
        factor = unit_factor(unit, TIME)
    except ValueError:
        factor = 1.0
    return factor * step, factor * start
