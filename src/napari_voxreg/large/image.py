"""Images larger than memory: the levels of a pyramid, each lazy and on a grid of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..io.series import is_series, time_point, with_time_of
from ..io.tiff import TIME
from ..transforms import Transform

if TYPE_CHECKING:
    import dask.array as da

SIDE = 1024  # pixels: of the pieces in which a plane is read and written, and of the coarsest level at most
SIDES = {2: SIDE, 3: 128}
PROBES = 5  # along each axis, at which the scale of a transform is measured
Reduce = Callable[[Array, Sequence[int]], Array]
ROUGH = 1.1  # by which pixels may be coarser than needed


@dataclass(frozen=True, eq=False)
class LargeImage:
    """An image as a pyramid of lazy levels.

    Parameters
    ----------
    levels : tuple of Image
        The finest first. Their pixels are dask arrays, with the time axis first if there is one (unit second)
        and channels last.
    name : str
        What to call it in messages.
    labels : mapping
        Label images that belong to it, by name.
    notes : tuple of str
        What its file says that a user should know.
    identity : str
        Says which pixels these are, without reading them: where they are stored and since when.
    """

    levels: tuple[Image, ...]
    name: str = "the image"
    labels: Mapping[str, LargeImage] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    identity: str = ""

    @property
    def finest(self) -> Image:
        """The first level, at its first time point."""
        return time_point(self.levels[0])

    @property
    def grid(self) -> Grid:
        """Of the finest level, without time."""
        return self.finest.grid

    @property
    def times(self) -> int | None:
        """Number of time points; None for an image without a time axis."""
        return self.levels[0].grid.shape[0] if is_series(self.levels[0]) else None

    @property
    def channels(self) -> int | None:
        """Number of channels along the last axis, None for a plain image."""
        return self.levels[0].channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return np.dtype(self.levels[0].data.dtype)

    def frames(self, time: int = 0) -> tuple[Image, ...]:
        """The levels at one time point."""
        return tuple(time_point(level, time) for level in self.levels)

    def level_under(self, pixels: float) -> int:
        """The finest level with at most so many pixels; the coarsest if none has so few."""
        sizes = [math.prod(time_point(level).grid.shape) for level in self.levels]
        return next((k for k, size in enumerate(sizes) if size <= pixels), len(sizes) - 1)

    def level_for(self, transform: Transform, grid: Grid) -> int:
        """The coarsest level that is as fine as the pixels of a grid, where a transform takes them."""
        inside = [np.linspace(0, n - 1, PROBES) for n in grid.shape]
        points = grid.to_world(np.stack(np.meshgrid(*inside, indexing="ij"), axis=-1).reshape(-1, grid.ndim))
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.linalg.norm(transform.jacobian(points) @ grid.affine[:-1, :-1], axis=1)
        finest = float(np.median(steps.min(axis=1)))
        fine = [time_point(level).grid.spacing.min() <= ROUGH * finest for level in self.levels]
        return max((k for k, enough in enumerate(fine) if enough), default=0)

    def in_world_of(self, grid: Grid) -> LargeImage:
        """The same image in the units and the reference system of a grid without time."""

        def moved(level: Image) -> Image:
            own = level.grid
            if not is_series(level):
                return level.with_grid(own.in_world_of(grid))
            return level.with_grid(replace(own.in_units((TIME, *grid.units)), crs=grid.crs or own.crs))

        return replace(self, levels=tuple(map(moved, self.levels)))

    def with_pyramid(self, labels: bool = False) -> LargeImage:
        """The same image with coarser levels, computed when they are read, down to one piece of a plane.

        Parameters
        ----------
        labels : bool
            Whether they show the most frequent label of each block, not the mean.
        """
        levels = list(self.levels)
        for steps, grid in _coarser(time_point(levels[-1]).grid):
            levels.append(_reduced(levels[-1], steps, grid, modes if labels else means))
        return replace(self, levels=tuple(levels))


def pyramid_of(grid: Grid) -> list[Grid]:
    """A grid and those of its coarser levels, down to one piece of a plane or a volume; see `halving`."""
    return [grid, *(coarse for _, coarse in _coarser(grid))]


def halving(grid: Grid) -> tuple[int, ...]:
    """By how many pixels each axis of the next level is averaged: 2, or 1 along an axis that is coarser."""
    fine = grid.spacing < 2 * grid.spacing[np.array(grid.shape) > 1].min(initial=np.inf) * 0.999
    return tuple(2 if n > 1 and f else 1 for n, f in zip(grid.shape, fine, strict=True))


def _coarser(grid: Grid) -> Iterator[tuple[tuple[int, ...], Grid]]:
    """The steps to each coarser level, and its grid."""
    while max(grid.shape) > SIDES[min(grid.ndim, 3)]:
        steps = halving(grid)
        if max(steps) == 1:
            return
        grid = grid.blocks(steps)
        yield steps, grid


def _reduced(level: Image, steps: Sequence[int], grid: Grid, reduce: Reduce) -> Image:
    """The next level, lazily, by one value for each block; those at the far edges repeat the last pixels."""
    import dask.array as da

    data: Any = level.data
    lead = int(is_series(level))
    steps = (*(1,) * lead, *steps, *(1,) * (data.ndim - lead - len(steps)))
    data = da.pad(data, [(0, -n % s) for n, s in zip(data.shape, steps, strict=True)], mode="edge")
    even = data.rechunk(tuple(-(-c[0] // s) * s for c, s in zip(data.chunks, steps, strict=True)))
    sides = tuple(tuple(n // s for n in c) for c, s in zip(even.chunks, steps, strict=True))
    data = da.map_blocks(reduce, even, steps, dtype=data.dtype, chunks=sides)
    return Image(data, with_time_of(level, grid) if lead else grid, level.name)


def means(data: Array, steps: Sequence[int]) -> Array:
    """The means of blocks of so many pixels along each axis, in the type of the pixels.

    Parameters
    ----------
    data : ndarray
        Its sides are multiples of `steps`.
    steps : sequence of int
    """
    found = _in_blocks(data, steps).mean(axis=0, dtype=np.float64 if data.dtype.itemsize > 2 else np.float32)
    if data.dtype.kind in "biu":
        np.rint(found, out=found)
    return found.astype(data.dtype)


def modes(data: Array, steps: Sequence[int]) -> Array:
    """The most frequent value of each block, of several the first; see `means`."""
    values = _in_blocks(data, steps)
    counts = np.stack([(values == value).sum(axis=0, dtype=np.uint8) for value in values])
    return np.take_along_axis(values, counts.argmax(axis=0)[None], axis=0)[0]


def _in_blocks(data: Array, steps: Sequence[int]) -> Array:
    """The pixels of each block along a first axis."""
    shape = [k for n, s in zip(data.shape, steps, strict=True) for k in (n // s, s)]
    inner = tuple(range(1, 2 * data.ndim, 2))
    parts = np.moveaxis(data.reshape(shape), inner, tuple(range(data.ndim)))
    return parts.reshape(-1, *parts.shape[data.ndim :])


def arranged(data: da.Array, axes: str, name: str) -> tuple[da.Array, str]:
    """Pixels with axes (t, z, y, x, c) as far as there are any, and those but channels.

    Parameters
    ----------
    data : dask.array.Array
    axes : str
        A letter for each axis; those of one entry are left out, but for y and x.
    name : str
        Of the image.

    Raises
    ------
    ValueError
        If an axis is of unknown kind, or y or x is missing.
    """
    for axis, n in list(zip(axes, data.shape, strict=True)):
        if n == 1 and axis not in "yx":
            data, axes = data[(slice(None),) * axes.index(axis) + (0,)], axes.replace(axis, "", 1)
    unknown = [a for a in axes if a not in "tzyxc" or axes.count(a) > 1]
    if unknown or not {"y", "x"} <= set(axes):
        what = f"an axis of unknown kind ({unknown[0]})" if unknown else "no axes y and x"
        raise ValueError(f"{name} has {what}; name its axes t, c, z, y and x, and write it again.")
    order = "".join(a for a in "tzyxc" if a in axes)
    return data.transpose([axes.index(a) for a in order]), order.removesuffix("c")


def pieces(shape: Sequence[int], stored: Sequence[int], limit: int = SIDE * SIDE) -> tuple[int, ...]:
    """Sides of the pieces in which an array is read: whole multiples of those in which it is stored.

    Small stored pieces are joined, the shortest sides first, up to so many pixels.
    """
    sides = [min(n, max(1, s)) for n, s in zip(shape, stored, strict=True)]
    while growing := [k for k, n in enumerate(shape) if sides[k] < n and n > 4]:
        k = min(growing, key=lambda k: sides[k])
        if math.prod(sides) * 2 > limit:
            break
        sides[k] = min(2 * sides[k], shape[k]) if 2 * sides[k] < shape[k] else shape[k]
    return tuple(sides)
