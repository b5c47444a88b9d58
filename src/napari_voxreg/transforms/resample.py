"""Resampling an image through a transform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid, Image, as_image
from ..core.pixels import with_nan
from .affine import Affine
from .base import Transform


def warp(
    image: Image | npt.ArrayLike,
    transform: Transform | None,
    grid: Grid,
    *,
    order: int = 1,
    fill: float | None = 0.0,
) -> Image:
    """Sample an image on a grid through a transform.

    This is SimpleITK's Resample, so that any program that uses ITK makes the same image from the saved
    transform.

    Parameters
    ----------
    image : Image or array_like
        The moving image, with any number of channels; converted to the units of `grid`.
    transform : Transform or None
        From the world of `grid` to the world of the image; None for the identity.
    grid : Grid
        Where the result lies (the fixed image's grid).
    order : {0, 1}
        0 takes the nearest pixel (labels), 1 interpolates linearly. Booleans are always nearest.
    fill : float or None
        Value of pixels that come from outside the image; None gives them that of the nearest pixel inside.

    Returns
    -------
    Image
        On `grid`, with the image's channels and data type; integers are rounded and clipped. Of a masked
        array, pixels that a masked one contributes to are masked, and those that come from outside.

    Raises
    ------
    ValueError
        If the numbers of axes differ, the units cannot be converted, `order` is not 0 or 1, or the result
        does not fit into memory.
    """
    if order not in (0, 1):
        raise ValueError(f"order cannot be {order!r}; choose 0 (nearest) or 1 (linear).")
    image = as_image(image)
    if image.ndim != grid.ndim:
        raise ValueError(
            f"A {image.ndim}D image cannot be warped onto a {grid.ndim}D grid; "
            "choose images with as many axes."
        )
    thin = grid.thin_axes()
    if transform is not None and transform.ndim < grid.ndim and len(thin) == grid.ndim - transform.ndim:
        # A transform found for a thin stack has an axis less; the stack's thickness comes back after it.
        flat = warp(
            image.without(image.grid.thin_axes()), transform, grid.without(thin), order=order, fill=fill
        )
        return Image(np.expand_dims(flat.data, thin), grid, image.name)
    if transform is None:
        transform = Affine.identity(grid.ndim)
    if transform.ndim != grid.ndim:
        raise ValueError(f"A {transform.ndim}D transform cannot warp a {grid.ndim}D image.")
    if (image.grid.units, image.grid.crs) != (grid.units, grid.crs):
        image = image.with_grid(image.grid.in_world_of(grid))
    return Image(_resample(image, transform, grid, order, fill), grid, image.name)


def _resample(image: Image, transform: Transform, grid: Grid, order: int, fill: float | None) -> Array:
    """The warped pixels in the image's own data type."""
    from .itk import image_to_itk, resample

    data = image.data
    if isinstance(data, np.ma.MaskedArray):
        plain = image.with_data(with_nan(data))
        if not np.ma.is_masked(data):
            return _resample(plain, transform, grid, order, fill)
        order = 0 if data.dtype == bool else order
        found = _resample(plain, transform, grid, order, None if fill is None else np.nan)
        empty = np.isnan(found)
        rounded = found if data.dtype.kind in "fc" else np.rint(found)
        pixels = np.where(empty, data.fill_value, rounded).astype(data.dtype)
        return np.ma.array(pixels, mask=empty, fill_value=data.fill_value)
    if np.iscomplexobj(data):
        parts = [_resample(image.with_data(p), transform, grid, order, fill) for p in (data.real, data.imag)]
        return (parts[0] + 1j * parts[1]).astype(data.dtype)
    nearest = order == 0 or data.dtype == bool
    whole = np.issubdtype(data.dtype, np.integer) and not nearest
    if whole:
        # ITK would truncate; float64 holds every integer up to 2^53, float32 those of 16 bits.
        image = image.with_data(data.astype(np.float32 if data.dtype.itemsize <= 2 else np.float64))
    try:
        warped = resample(image_to_itk(image), transform.to_itk(grid), grid, nearest, fill)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error).lower():
            raise
        raise ValueError(
            f"A grid of {' x '.join(map(str, grid.shape))} pixels needs more memory than there is; "
            "choose a smaller fixed image, or close other programs."
        ) from error
    if whole:
        limits = np.iinfo(data.dtype)
        warped = np.clip(np.rint(warped), limits.min, limits.max)
    return warped.astype(data.dtype, copy=False)
