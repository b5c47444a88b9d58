"""Images with a time axis, which `read_image` puts first, in seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..transforms import Transform, warp
from .tiff import TIME


def is_series(image: Image) -> bool:
    """Whether the first axis is time."""
    return image.grid.units[0] == TIME


def time_point(image: Image, number: int = 0) -> Image:
    """One time point of a series, without the time axis; an image without one is returned as it is."""
    if not is_series(image):
        return image
    return replace(image, data=image.data[number], grid=image.grid.without((0,)))


def warp_series(image: Image, transform: Transform, grid: Grid, *, order: Literal[0, 1] = 1) -> Image:
    """Warp each time point of a series, or a plain image, onto a grid without time; see `warp`.

    Axes of one pixel that the grid lacks are dropped.

    Returns
    -------
    Image
        On `grid`, with the series' own time axis first if it has one.
    """
    times = image.grid.shape[0] if is_series(image) else 1
    frames = []
    for k in range(times):
        frame = time_point(image, k)
        if frame.ndim > grid.ndim:
            frame = frame.without(frame.grid.thin_axes())
        frames.append(warp(frame, transform, grid, order=order))
    if not is_series(image):
        return frames[0]
    masked = any(isinstance(frame.data, np.ma.MaskedArray) for frame in frames)
    data = (np.ma.stack if masked else np.stack)([frame.data for frame in frames])
    return Image(data, with_time_of(image, grid), image.name)


def planned_series(image: Image, grid: Grid) -> Image:
    """What `warp_series` will give but for the pixels, to check where it can be written before any work."""
    grid = with_time_of(image, grid) if is_series(image) else grid
    channels = () if image.channels is None else (image.channels,)
    return Image(np.broadcast_to(np.zeros((), image.data.dtype), (*grid.shape, *channels)), grid, image.name)


def with_time_of(series: Image, grid: Grid) -> Grid:
    """A grid in space with the time axis of a series before it."""
    affine = series.grid.affine
    return with_time(grid, series.grid.shape[0], affine[0, 0], affine[0, -1])


def with_time(grid: Grid, count: int, step: float, start: float) -> Grid:
    """A grid in space with a time axis before it: so many steps of so many seconds from the start on."""
    d = grid.ndim + 1
    affine: Array = np.eye(d + 1)
    affine[1:, 1:] = grid.affine
    affine[0, 0], affine[0, d] = step, start
    return Grid((count, *grid.shape), affine, (TIME, *grid.units), grid.crs)
