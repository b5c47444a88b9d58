"""Large images warped block by block: only what a block needs is read and held in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from ..core.geometry import Array, Grid
from ..registration.in_slabs import cut, needed, resampled_part
from ..transforms import Interpolation, Transform, displacement_on
from .image import LargeImage

if TYPE_CHECKING:
    import SimpleITK as sitk

MEMORY = 1e9  # bytes that a computation on blocks may take, beyond what the program itself does
CHUNKS = {2: 512, 3: 64}  # pixels along the sides of what is stored
PER_PIXEL = 400  # bytes of a warped block: displacements and places in double precision, several times
SMALLEST = 4096  # pixels below which a block is not divided any further


@dataclass(frozen=True, eq=False)
class BlockWarper:
    """Warps blocks of grids.

    Parameters
    ----------
    image : LargeImage
        In the units of the grids.
    transform : Transform
        From the world of the grids to that of the image.
    interpolation : str
        As in `apply`.
    fill : float
        The value outside the image.
    memory : float
        Bytes that a block may take.
    """

    image: LargeImage
    transform: Transform
    interpolation: Interpolation
    fill: float
    memory: float = MEMORY
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def __call__(self, grid: Grid, box: Sequence[slice], level: int, time: int = 0) -> Array:
        """The pixels of a block, shape (*shape of the box, channels if any).

        Parameters
        ----------
        grid : Grid
            Of a whole level of the result.
        box : sequence of slice
            The block of it, a slice for each axis.
        level : int
            Which level of the image is read, see `LargeImage.level_for`.
        time : int
            Number of the time point.
        """
        image, block = self.image.frames(time)[level], cut(grid, box)
        moved = self._displacements(block)
        source = needed(moved, block, image.grid)
        channels = image.channels or 1
        room = self.memory / (8 * channels * max(4, self.image.dtype.itemsize))
        large = source is not None and math.prod(s.stop - s.start for s in source) > room
        if large and math.prod(block.shape) > SMALLEST:
            # A block that is rotated, or pulled apart, needs far more of the image than it has pixels.
            axis = int(np.argmax(block.shape))
            middle = box[axis].start + block.shape[axis] // 2
            halves = slice(box[axis].start, middle), slice(middle, box[axis].stop)
            parts = [self(grid, [*box[:axis], half, *box[axis + 1 :]], level, time) for half in halves]
            return np.concatenate(parts, axis=axis)
        return resampled_part(image, source, moved, block, self.interpolation, self.fill)

    def _displacements(self, block: Grid) -> Array:
        """World displacements at the nodes of a block."""
        if not self.transform.exact_in_itk:
            return displacement_on(self.transform, block)
        from ..transforms.itk import sample_displacement

        with self._lock:  # dask warps several blocks at a time
            return sample_displacement(self._itk, block)

    @cached_property
    def _itk(self) -> sitk.Transform:
        """The transform for ITK, made once: large fields are copied there."""
        return self.transform.to_itk(self.image.grid)


def block_sides(grid: Grid, channels: int | None, itemsize: int, memory: float) -> tuple[int, ...]:
    """Sides of the blocks that are warped at once: as many stored pieces as the memory allows.

    Parameters
    ----------
    grid : Grid
    channels : int or None
    itemsize : int
        Bytes of a channel of a pixel.
    memory : float
        Bytes.
    """
    chunk = CHUNKS[min(grid.ndim, 3)]
    limit = memory / (PER_PIXEL + 4 * (channels or 1) * max(4, itemsize))
    sides = [chunk] * grid.ndim
    while growing := [k for k in range(grid.ndim) if sides[k] < grid.shape[k]]:
        k = min(growing, key=lambda k: sides[k])
        if 2 * math.prod(sides) > limit:
            break
        sides[k] *= 2
    return tuple(sides)


def boxes(shape: Sequence[int], sides: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """The blocks of an array, in C order."""
    counts = [range(0, n, side) for n, side in zip(shape, sides, strict=True)]
    for index in np.ndindex(*map(len, counts)):
        starts = [steps[k] for steps, k in zip(counts, index, strict=True)]
        yield tuple(slice(a, min(a + s, n)) for a, s, n in zip(starts, sides, shape, strict=True))
