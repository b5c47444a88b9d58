"""`open_large`: an image larger than memory, whatever holds it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..core.geometry import Grid, Image
from ..io.images import ending_of, read_image
from .image import SIDES, LargeImage
from .ome_zarr import is_zarr, read_ome_zarr
from .stored import lazily
from .tiff import ENDINGS, read_large_tiff


def open_large(what: LargeImage | Image | Path | str | Any, labels: bool = False) -> LargeImage:
    """Open an image without reading its pixels.

    Parameters
    ----------
    what : path, Image, array or LargeImage
        OME-Zarr 0.4 or 0.5 (a folder); TIFF with or without a pyramid, tiled as OME-TIFF and SVS, or plain,
        which is mapped into memory; another image that `read_image` reads, whole; an `Image` whose pixels may
        be a dask array; or an array of dask or NumPy with unit spacing, its last axis channels if it has
        three or four entries.
    labels : bool
        Whether it shows labels: coarser levels that are not stored then take the most frequent one of each
        block, not the mean.

    Returns
    -------
    LargeImage
        With coarser levels that are computed when they are read, down to one of about 1,000 pixels, where
        what is stored has none.

    Raises
    ------
    ValueError
        If it is missing, damaged, cut off, or has axes of unknown kind; in one sentence.
    """
    if isinstance(what, LargeImage):
        return what
    if isinstance(what, str | Path):
        return _of_path(Path(what)).with_pyramid(labels)
    return _of_image(what if isinstance(what, Image) else _guessed(what)).with_pyramid(labels)


def _of_path(path: Path) -> LargeImage:
    if path.is_dir() and is_zarr(path):
        return read_ome_zarr(path)
    if path.is_file() and ending_of(path) in ENDINGS:
        return read_large_tiff(path)
    if path.suffix.lower() in (".zarr", ".svs", ".ndpi"):
        raise ValueError(f"There is no image {path}; check the path or choose another one.")
    return _of_image(read_image(path))


def _of_image(image: Image) -> LargeImage:
    """One level."""
    import dask.array as da

    data = image.data
    if isinstance(data, da.Array):
        return LargeImage((image,), image.name or "the image", {}, image.notes, data.name)
    identity = sha256(np.ascontiguousarray(data).data).hexdigest()
    side = SIDES[min(image.ndim, 3)]
    lazy = image.with_data(lazily(data, (side,) * data.ndim, Path(image.name or "the image")))
    return LargeImage((lazy,), image.name or "the image", {}, image.notes, identity)


def _guessed(array: Any) -> Image:
    """An array as an image with unit spacing; colours as of `as_image`, which would compute a lazy one."""
    import dask.array as da

    array = array if isinstance(array, da.Array) else np.asarray(array)
    shape = tuple(array.shape)
    colours = len(shape) == 4 or (len(shape) == 3 and shape[-1] in (3, 4) and min(shape[:2]) > 4)
    spatial = 2 <= len(shape) <= 3 or (len(shape) == 4 and shape[-1] <= 4)
    if not spatial or array.dtype.kind not in "biuf":
        raise ValueError(
            f"An array of {array.dtype} and shape {shape} is no 2D or 3D image; give an Image with a grid."
        )
    return Image(array, Grid.from_spacing(shape[:-1] if colours else shape))
