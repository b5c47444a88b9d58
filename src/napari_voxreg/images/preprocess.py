"""Preparation of pixels before registration."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..core.pixels import counted, with_nan
from ..transforms import warp

LUMINANCE = np.array([0.2125, 0.7154, 0.0721], dtype=np.float32)  # ITU-R BT.709
ENOUGH = 500_000  # pixels that give the percentiles as well as all of a volume would
OFFSET = 1e3  # in extents: farther from zero, float32 would merge grey levels
LARGEST = 1e15  # extent whose square float32 still holds, as it does that of the inverse
FARTHEST = 1e300


def some_pixels(data: Array) -> Array:
    """Half a million pixels or fewer that stand for an image of any shape, whatever the order of its axes.

    Each axis is divided into intervals, the longest axes into wider ones, and one index of each is chosen at
    random. A fixed step would hit the same column, or the same phase of a pattern, again and again.

    Parameters
    ----------
    data : ndarray

    Returns
    -------
    ndarray
        With as many axes; the image itself where it is small enough.
    """
    side = max(data.shape, default=0)
    while math.prod(min(n, side) for n in data.shape) > ENOUGH:
        side -= max(1, side // 50)
    if side >= max(data.shape, default=0):
        return data
    return data[np.ix_(*(_scattered(n, min(n, side)) for n in data.shape))]


def _scattered(length: int, count: int) -> Array:
    """One index at random in each of `count` intervals; the same ones for axes of the same length."""
    edges = np.arange(count + 1) * length // count
    return np.random.default_rng(length).integers(edges[:-1], edges[1:])


def range_of(data: Array) -> tuple[float, float]:
    """Where intensities begin and how far they reach: the 0.1 and 99.9 percentiles, or all; never 0 far."""
    low, high = (float(value) for value in np.percentile(some_pixels(data), (0.1, 99.9)))
    if high <= low:
        low, high = float(data.min()), float(data.max())
    return low, high - low or 1.0


def unit_range(data: Array) -> Array:
    """Scale to [0, 1] by the 0.1 and 99.9 percentiles and clip, float32."""
    low, extent = range_of(data)
    return np.clip((data - low) / extent, 0.0, 1.0).astype(np.float32, copy=False)


def driving_channel(image: Image, channel: int | str | None = None) -> Image:
    """The one channel that drives the registration, as float32.

    Pixels without data, which are masked, NaN or infinite, become NaN. Where float32 could not hold the grey
    levels (a large offset, say) they are moved to zero, and scaled if they are huge or tiny.

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
    data = with_nan(image.data)
    data = np.abs(data) if np.iscomplexobj(data) else data
    exact = np.result_type(data.dtype, np.float32)
    count = image.channels
    if count is not None:
        if isinstance(channel, int) and not isinstance(channel, bool):
            if not 0 <= channel < count:
                raise ValueError(f"There is no channel {channel}; choose between 0 and {count - 1}.")
            data = data[..., channel]
        elif channel not in (None, "luminance"):
            raise ValueError(f"There is no channel {channel!r}; choose a number or 'luminance'.")
        elif count in (3, 4):
            data = data[..., :3].astype(exact) @ LUMINANCE
        else:
            data = data.mean(axis=-1, dtype=exact)
    return Image(np.ascontiguousarray(_in_float32(data.astype(exact, copy=False))), image.grid, image.name)


def _in_float32(data: Array) -> Array:
    """Floats as float32, moved and scaled as far as their grey levels need it; what is not finite is NaN."""
    finite = np.isfinite(data)
    if not finite.all():
        data = np.where(finite, data, data.dtype.type(np.nan))
    seen = some_pixels(data)
    seen = seen[np.isfinite(seen)]
    if not seen.size:
        return data.astype(np.float32)
    if float(np.abs(seen).max()) > FARTHEST:  # not even float64 could subtract such values
        data, seen = data / FARTHEST, seen / FARTHEST
    low, extent = range_of(seen)
    plain = 1 / LARGEST < extent < LARGEST
    if not plain or abs(low) > OFFSET * extent:
        data = (data - low) / (1.0 if plain else extent)
    if data.dtype.itemsize > 4:  # single values may be farther out than float32 reaches
        data = np.clip(data, -(LARGEST**2), LARGEST**2)
    return data.astype(np.float32, copy=False)


def mask_on(mask: Image, grid: Grid) -> Image:
    """A mask sampled at another grid's pixels through the world, boolean; False outside its own grid.

    Parameters
    ----------
    mask : Image
        Any type; pixels that are not zero count.
    grid : Grid
        The grid of the image that is masked.
    """
    return warp(mask.with_data(counted(mask.data)), None, grid, order=0)


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
