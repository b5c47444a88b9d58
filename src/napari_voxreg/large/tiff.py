"""Pyramidal OME-TIFF, SVS and other tiled TIFF, and memory-mapped TIFF, read lazily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffPageSeries, memmap

from ..core.geometry import Grid, Image
from ..io.guards import quiet_tifffile, reading
from ..io.images import TIFF
from ..io.tiff import grid_of_series
from .image import SIDE, LargeImage, arranged
from .library import the_zarr
from .stored import lazily

ENDINGS = (*TIFF, ".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".btf", ".tf8")
LARGEST = 512 * 2**20  # bytes of a stored piece, which is read at once


def read_large_tiff(path: Path) -> LargeImage:
    """Open the first series of a TIFF file with the levels of its pyramid, if it has one.

    Pixels that are stored as they are, without compression, are mapped into memory; else tiles and strips are
    read as they are needed. Pixel sizes are those of `read_tiff`, or the microns per pixel of an SVS file.

    Raises
    ------
    ValueError
        If the file is cut off, tiles are missing, an axis is of unknown kind, or it is stored in one large
        compressed piece; in one sentence.
    """
    with quiet_tifffile(), reading(path):
        tiff = TiffFile(path)
        series = tiff.series[0]
        _check_whole(series, path)
        plain = series.is_pyramidal is False and series.dataoffset is not None
        arrays = [memmap(path, mode="r", series=0)] if plain else _opened(series)
        letters = series.axes.lower().replace("s", "c")
        finest: Grid | None = None
        levels: list[Image] = []
        note = ""
        for array in arrays:
            stored = _strips(array.shape, array.dtype.itemsize) if plain else array.chunks
            if int(np.prod(stored)) * array.dtype.itemsize > LARGEST:
                raise ValueError(f"{path.name} is compressed in one piece; write it again with tiles.")
            data, axes = arranged(lazily(array, stored, path), letters, path.name)
            if finest is None:
                shape = data.shape[: len(axes)]
                finest, note = grid_of_series(tiff, axes.upper(), shape, path.name)
            levels.append(Image(data, _coarse(finest, data.shape[: len(axes)]), path.name))
        if plain:
            tiff.close()
    notes = (note,) if note else ()
    about = path.stat()
    identity = f"{path.resolve()} {about.st_size} {about.st_mtime_ns}"
    return LargeImage(tuple(levels), path.name, notes=notes, identity=identity)


def _opened(series: TiffPageSeries) -> list[Any]:
    """The levels as arrays of zarr."""
    zarr = the_zarr()
    return [zarr.open_array(series.aszarr(level=k), mode="r") for k in range(len(series.levels))]


def _strips(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Pieces of a mapped array: some rows of a plane each."""
    sides = [1] * len(shape)
    for k in range(len(shape) - 1, -1, -1):
        sides[k] = max(1, min(shape[k], SIDE * SIDE // int(np.prod(sides))))
    return tuple(sides)


def _check_whole(series: TiffPageSeries, path: Path) -> None:
    """Refuse a file that ends before its pixels, or lacks some."""
    for k, level in enumerate(series.levels):
        for page in level.pages:
            if page is None:
                raise ValueError(f"Planes of {path.name} are missing; copy it again, with all its files.")
            ends = np.add(page.dataoffsets, page.databytecounts)
            if len(ends) and int(ends.max()) > page.parent.filehandle.size:
                raise ValueError(f"{path.name} is cut off within its level {k}; copy it again.")
            empty = int(np.count_nonzero(np.equal(page.databytecounts, 0)))
            if empty:
                raise ValueError(
                    f"{path.name} lacks {empty} of {len(ends)} tiles of its level {k}; copy it again."
                )


def _coarse(finest: Grid, shape: Sequence[int]) -> Grid:
    """The grid of a level of so many pixels, which covers what the finest level covers."""
    steps = []
    for n, m in zip(finest.shape, shape, strict=True):
        whole = round(n / m)
        steps.append(whole if m in (n // max(whole, 1), -(-n // max(whole, 1))) else n / m)
    affine = finest.affine @ np.diag([*steps, 1.0])
    affine[:-1, -1] = finest.to_world([[(s - 1) / 2 for s in steps]])[0]
    return replace(finest, shape=tuple(shape), affine=affine)
