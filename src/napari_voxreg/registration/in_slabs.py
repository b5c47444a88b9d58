"""Resampling slab by slab, so that neither the whole image nor its coefficients are held in memory."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, subprogress
from ..transforms import Displacement, Interpolation, Transform, displacement_on, resampled

SLAB = 2_000_000  # pixels of the result at once
MARGIN = 16  # pixels around those that a slab needs: the coefficients of cubic splines fade to 1e-9


def resampled_in_slabs(
    image: Image,
    transform: Transform,
    grid: Grid,
    interpolation: Interpolation,
    fill: float,
    progress: Progress,
) -> Image:
    """`resampled`, reading of the image only what each slab of the grid needs.

    Parameters
    ----------
    image : Image
        Its pixels may be lazy (dask, zarr); only what is sliced from them is computed.
    transform, grid, interpolation, fill, progress
        As in `resampled`; numbers of axes and units must agree.
    """
    channels = () if image.channels is None else (image.channels,)
    found = np.empty((*grid.shape, *channels), image.data.dtype)
    thick = max(1, SLAB // math.prod(grid.shape[1:]))
    for start in range(0, grid.shape[0], thick):
        stop = min(start + thick, grid.shape[0])
        part = subprogress(progress, start / grid.shape[0], stop / grid.shape[0])
        part(0.0, "warping")
        slab = _cut(grid, [slice(start, stop)])
        field = displacement_on(transform, slab)
        box = _needed(field, slab, image.grid)
        if box is None:
            found[start:stop] = fill
            continue
        piece = Image(np.asarray(image.data[tuple(box)]), _cut(image.grid, box))
        found[start:stop] = resampled(piece, Displacement(field, slab), slab, interpolation, fill, part).data
    return Image(found, grid, image.name)


def _needed(field: Array, slab: Grid, source: Grid) -> list[slice] | None:
    """The part of a source that the displaced nodes of a slab need; None where they all lie outside."""
    index = source.to_index(slab.nodes() + field.reshape(-1, slab.ndim))
    inside = np.all((index >= -0.5) & (index < np.array(source.shape) - 0.5), axis=1)
    if not inside.any():
        return None
    index = index[inside]
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - MARGIN, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + MARGIN + 1, source.shape)
    return [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]


def _cut(grid: Grid, box: list[slice]) -> Grid:
    """A part of a grid along its first axes."""
    starts = np.zeros(grid.ndim)
    starts[: len(box)] = [part.start for part in box]
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world(starts[None])[0]
    shape = (*(part.stop - part.start for part in box), *grid.shape[len(box) :])
    return replace(grid, shape=shape, affine=affine)
