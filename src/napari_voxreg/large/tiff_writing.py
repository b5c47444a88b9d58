"""Pyramidal OME-TIFF, written from the levels of a group of Zarr."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffWriter

from ..core.geometry import Array
from ..core.progress import Progress
from ..io.tiff import ome_metadata
from .ome_zarr_writing import ZarrWriter

TILE = 512  # pixels


def write_pyramid(source: ZarrWriter, path: Path, progress: Progress) -> None:
    """Write all levels as tiles, the coarser ones as sub-images, with OME's metadata.

    Parameters
    ----------
    source : ZarrWriter
        With the pixels, without time.
    path : Path
        Of the file, in BigTIFF.
    progress : Progress
        May raise `Cancelled`.
    """
    colour = source.channels in (3, 4) and source.dtype in (np.uint8, np.uint16)
    options: dict[str, Any] = {
        "photometric": "rgb" if colour else "minisblack",
        "tile": (TILE, TILE),
        "compression": "zlib",
        "predictor": source.dtype.itemsize < 8,
        "dtype": source.dtype,
    }
    with TiffWriter(path, bigtiff=True, ome=True) as tiff:
        for level, grid in enumerate(source.grids):
            lead = () if colour or source.channels is None else (source.channels,)
            shape = (*lead, *grid.shape, *((source.channels,) if colour else ()))
            metadata = ome_metadata(grid, source.channels if colour else None) if level == 0 else None
            if metadata and lead:
                metadata = _with_channels(metadata, source.channels or 1)
            tiff.write(
                _tiles(source, level, colour, progress),
                shape=shape,
                metadata=metadata,
                subifds=len(source.grids) - 1 if level == 0 else None,
                subfiletype=1 if level else 0,
                **options,
            )


def _with_channels(metadata: dict[str, Any], count: int) -> dict[str, Any]:
    """Metadata of one channel for several, which come first."""
    plane = {key: values * count for key, values in metadata["Plane"].items()}
    return {**metadata, "axes": f"C{metadata['axes']}", "Plane": plane}


def _tiles(source: ZarrWriter, level: int, colour: bool, progress: Progress) -> Iterator[Array]:
    """The tiles of a level in the order of the file: plane by plane, and a row of tiles at a time."""
    *planes, rows, columns = source.grids[level].shape
    leads: list[tuple[Any, ...]] = [()]
    if source.channels is not None:
        leads = [(slice(None),)] if colour else [(k,) for k in range(source.channels)]
    for lead in leads:
        for plane in np.ndindex(*planes):
            for top in range(0, rows, TILE):
                if level == 0:
                    progress(top / rows, "writing the TIFF")
                band = np.asarray(source.levels[level][(*lead, *plane, slice(top, top + TILE))])
                band = np.moveaxis(band, 0, -1) if colour else band
                for left in range(0, columns, TILE):
                    yield np.ascontiguousarray(band[:, left : left + TILE])
