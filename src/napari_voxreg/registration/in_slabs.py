"""Resampling slab by slab, so that neither the whole image nor its coefficients are held in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, silent, subprogress
from ..transforms import Displacement, Interpolation, Transform, displacement_on, resampled

if TYPE_CHECKING:
    import dask.array as da

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
        slab = cut(grid, [slice(start, stop)])
        field = displacement_on(transform, slab)
        box = needed(field, slab, image.grid)
        found[start:stop] = resampled_part(image, box, field, slab, interpolation, fill, part)
    return Image(found, grid, image.name)


def resampled_part(
    image: Image,
    box: Sequence[slice] | None,
    field: Array,
    slab: Grid,
    interpolation: Interpolation,
    fill: float,
    progress: Progress = silent,
) -> Array:
    """Resample on a part of a grid, of which the displacements are known, reading a box of the image alone.

    Parameters
    ----------
    image : Image
        Its pixels may be lazy.
    box : sequence of slice, or None
        What is read of it, see `needed`; None if it lies elsewhere.
    field : ndarray, shape (*slab.shape, d)
        World displacements at the nodes of the part.
    slab : Grid
        The part.
    interpolation, fill, progress
        As in `resampled`.

    Returns
    -------
    ndarray, shape (*slab.shape, channels if any)
    """
    if box is None:
        channels = () if image.channels is None else (image.channels,)
        return np.full((*slab.shape, *channels), fill, image.data.dtype)
    piece = Image(np.asarray(image.data[tuple(box)]), cut(image.grid, box))
    return resampled(piece, Displacement(field, slab), slab, interpolation, fill, progress).data


def lazy_frames(
    make: Callable[[tuple[int, ...], slice], Array],
    counts: Sequence[int],
    shape: Sequence[int],
    dtype: npt.DTypeLike,
) -> da.Array:
    """A dask array of frames that are made when they are read, one slab of one frame at a time.

    Parameters
    ----------
    make : callable
        Called as ``make(position, rows)``, in any thread; makes these rows of the first axis of the frame
        at a position along the other axes.
    counts : sequence of int
        Lengths of the other axes, which come first.
    shape : sequence of int
        Of a frame, channels last if there are any.
    dtype : dtype
        Of the pixels.

    Returns
    -------
    dask.array.Array, shape (*counts, *shape)
    """
    import dask.array as da

    thick = max(1, min(shape[0], SLAB // max(1, math.prod(shape[1:]))))
    rows = [min(thick, shape[0] - start) for start in range(0, shape[0], thick)]
    chunks = (*((1,) * n for n in counts), tuple(rows), *((n,) for n in shape[1:]))

    def block(block_info: dict[None, dict[str, list[tuple[int, int]]]]) -> Array:
        where = block_info[None]["array-location"]
        position = tuple(start for start, _ in where[: len(counts)])
        return make(position, slice(*where[len(counts)]))[(None,) * len(counts)]

    # A name of its own: dask would hash what the function refers to, the pixels among it.
    empty = np.empty((0,) * len(chunks), dtype)
    return da.map_blocks(block, chunks=chunks, dtype=dtype, meta=empty, name=f"applied-{uuid4().hex}")


def needed(field: Array, slab: Grid, source: Grid) -> list[slice] | None:
    """The part of a source that the displaced nodes of a slab need; None where they all lie outside.

    Parameters
    ----------
    field : ndarray, shape (*slab.shape, d)
        World displacements at the nodes of the slab.
    slab, source : Grid
        In one world.
    """
    index = source.to_index(slab.nodes() + field.reshape(-1, slab.ndim))
    inside = np.all((index >= -0.5) & (index < np.array(source.shape) - 0.5), axis=1)
    if not inside.any():
        return None
    index = index[inside]
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - MARGIN, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + MARGIN + 1, source.shape)
    return [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]


def cut(grid: Grid, box: Sequence[slice]) -> Grid:
    """A part of a grid along its first axes."""
    starts = np.zeros(grid.ndim)
    starts[: len(box)] = [part.start for part in box]
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world(starts[None])[0]
    shape = (*(part.stop - part.start for part in box), *grid.shape[len(box) :])
    return replace(grid, shape=shape, affine=affine)
