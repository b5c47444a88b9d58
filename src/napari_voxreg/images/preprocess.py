"""Preparation of pixels before registration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..transforms import warp

LUMINANCE = np.array([0.2125, 0.7154, 0.0721], dtype=np.float32)  # ITU-R BT.709


def range_of(data: Array) -> tuple[float, float]:
    """Where intensities begin and how far they reach: the 0.1 and 99.9 percentiles, or all; never 0 far."""
    # A quarter of a million pixels give the percentiles as well as all of a volume would.
    step = max(1, data.size // 250_000)
    low, high = (float(value) for value in np.percentile(data.reshape(-1)[::step], (0.1, 99.9)))
    if high <= low:
        low, high = float(data.min()), float(data.max())
    return low, max(high - low, 1e-30)


def unit_range(data: Array) -> Array:
    """Scale to [0, 1] by the 0.1 and 99.9 percentiles and clip, float32."""
    low, extent = range_of(data)
    scaled = (data.astype(np.float32) - np.float32(low)) / np.float32(extent)
    return np.clip(scaled, 0.0, 1.0)


def driving_channel(image: Image, channel: int | str | None = None) -> Image:
    """The one channel that drives the registration, as float32.

    Parameters
    ----------
    image : Image
        Of any type; complex pixels count by their amplitude, booleans as 0 and 1.
    channel : int, "luminance" or None
        A channel's number, or the luminance (BT.709) of red, green and blue. None takes the luminance of
        three or four channels (the fourth is opacity) and the mean of any other number.

    Raises
    ------
    ValueError
        If the image does not have that channel.
    """
    data = image.data
    if np.iscomplexobj(data):
        data = np.abs(data)
    count = image.channels
    if count is not None:
        if isinstance(channel, int) and not isinstance(channel, bool):
            if not 0 <= channel < count:
                raise ValueError(f"There is no channel {channel}; choose between 0 and {count - 1}.")
            data = data[..., channel]
        elif channel not in (None, "luminance"):
            raise ValueError(f"There is no channel {channel!r}; choose a number or 'luminance'.")
        elif count in (3, 4):
            data = data[..., :3].astype(np.float32) @ LUMINANCE
        else:
            data = data.mean(axis=-1, dtype=np.float32)
    return Image(np.ascontiguousarray(data, dtype=np.float32), image.grid, image.name)


def mask_on(mask: Image, grid: Grid) -> Image:
    """A mask sampled at another grid's pixels through the world, boolean; False outside its own grid.

    Parameters
    ----------
    mask : Image
        Any type; pixels that are not zero count.
    grid : Grid
        The grid of the image that is masked.
    """
    return warp(mask.with_data(mask.data != 0), None, grid, order=0)


def block_mean(image: Image, steps: Sequence[int]) -> Image:
    """The means of blocks of pixels, on a coarser grid.

    Parameters
    ----------
    image : Image
        One channel.
    steps : sequence of int
        Pixels of a block along each axis; blocks at the far edges repeat the last pixels.

    Returns
    -------
    Image
        float32, its pixels at the middle of the blocks.
    """
    steps = tuple(int(s) for s in steps)
    if max(steps) == 1:
        return image.with_data(image.data.astype(np.float32, copy=False))
    data = image.data
    for axis, step in enumerate(steps):
        missing = -data.shape[axis] % step
        if missing:
            data = np.pad(data, [(0, missing if k == axis else 0) for k in range(data.ndim)], mode="edge")
        shape = (*data.shape[:axis], -1, step, *data.shape[axis + 1 :])
        data = data.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return Image(data, image.grid.blocks(steps), image.name)


def steps_to(grid: Grid, size: int) -> tuple[int, ...]:
    """Blocks that bring a grid to about `size` pixels at most along its longest side, nearly isotropic."""
    spacing = grid.spacing
    wanted = float((spacing * grid.shape).max()) / size
    return tuple(max(1, round(wanted / s)) for s in spacing)
