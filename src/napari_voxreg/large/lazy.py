"""A warped image that is computed as it is looked at: every level through the transform, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..io.series import with_time
from ..registration.apply import Background
from ..registration.pair_transform import Applicable
from ..transforms import Interpolation
from .blocks import CHUNKS, BlockWarper
from .image import LargeImage, pyramid_of
from .warp import Source, planned, times_of

if TYPE_CHECKING:
    import dask.array as da


def warp_lazily(
    transform: Applicable,
    moving: Source,
    *,
    fixed: Source | Grid | None = None,
    interpolation: Interpolation = "linear",
    background: Background = 0.0,
) -> LargeImage:
    """The moving image on the fixed image's grid, of which nothing is computed before it is read.

    Parameters
    ----------
    transform, moving, fixed, interpolation, background
        As in `apply_large`.

    Returns
    -------
    LargeImage
        Its coarser levels are made of coarser levels of the moving image.

    Raises
    ------
    ValueError
        As of `apply_large`.
    """
    plan = planned(transform, moving, fixed, interpolation, background)
    image = plan.warper.image
    levels = []
    for grid in pyramid_of(plan.grid):
        whole = grid
        if (times := times_of(image)) is not None:
            whole = with_time(grid, *times)
        levels.append(Image(_level(plan.warper, grid), whole, image.name))
    return LargeImage(tuple(levels), image.name, {}, plan.notes, str(levels[0].data.name))


def _level(warper: BlockWarper, grid: Grid) -> da.Array:
    """The pixels of a level."""
    import dask.array as da

    image = warper.image
    read = image.level_for(warper.transform, grid)
    times = () if image.times is None else (image.times,)
    channels = () if image.channels is None else (image.channels,)
    side = CHUNKS[min(grid.ndim, 3)]
    chunks = da.core.normalize_chunks(
        (*(1 for _ in times), *(side for _ in grid.shape), *channels), (*times, *grid.shape, *channels)
    )

    def block(block_info: dict[None, dict[str, Any]]) -> Array:
        where = [slice(*ends) for ends in block_info[None]["array-location"]]
        time = where.pop(0).start if times else 0
        found = warper(grid, where[: grid.ndim], read, time)
        return found[None] if times else found

    # A name of its own: dask would hash what the function refers to, the pixels among it.
    empty = np.empty((0,) * len(chunks), image.dtype)
    name = f"warped-{uuid4().hex}"
    return da.map_blocks(block, chunks=chunks, dtype=image.dtype, meta=empty, name=name)
