"""Resampling an image through a transform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core.geometry import Grid, Image, as_image
from ..core.progress import Progress, silent
from .affine import Affine
from .base import Transform
from .sampling import Interpolation, Sampler


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
    return resampled(image, transform, grid, "linear" if order else "nearest", fill)


def resampled(
    image: Image | npt.ArrayLike,
    transform: Transform | None,
    grid: Grid,
    interpolation: Interpolation,
    fill: float | None = 0.0,
    progress: Progress = silent,
) -> Image:
    """`warp` with every interpolation, reporting on the way.

    Parameters
    ----------
    image, transform, grid, fill
        As in `warp`.
    interpolation : {"nearest", "linear", "cubic", "vote"}
        Cubic is that of B-splines; pixels without data count as in linear interpolation. Vote takes
        the label whose weights in linear interpolation add up to most: all labels are those of the image, and
        their borders are smoother than with nearest.
    progress : Progress
        Called on the way; may raise `Cancelled`.
    """
    if not isinstance(grid, Grid):
        raise ValueError(f"{type(grid).__name__} is not a grid; give that of the fixed image, image.grid.")
    image = as_image(image)
    if image.ndim != grid.ndim:
        raise ValueError(
            f"A {image.ndim}D image cannot be warped onto a {grid.ndim}D grid; "
            "choose images with as many axes."
        )
    thin = grid.thin_axes()
    if transform is not None and transform.ndim < grid.ndim and len(thin) == grid.ndim - transform.ndim:
        # A transform found for a thin stack has an axis less; the stack's thickness comes back after it.
        flat = image.without(image.grid.thin_axes())
        flat = resampled(flat, transform, grid.without(thin), interpolation, fill, progress)
        return Image(np.expand_dims(flat.data, thin), grid, image.name)
    if transform is None:
        transform = Affine.identity(grid.ndim)
    if transform.ndim != grid.ndim:
        raise ValueError(f"A {transform.ndim}D transform cannot warp a {grid.ndim}D image.")
    if (image.grid.units, image.grid.crs) != (grid.units, grid.crs):
        image = image.with_grid(image.grid.in_world_of(grid))
    try:
        sampler = Sampler(image.grid, transform, grid)
        return Image(sampler(image.data, interpolation, fill, progress), grid, image.name)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error).lower():
            raise
        raise ValueError(
            f"A grid of {' x '.join(map(str, grid.shape))} pixels needs more memory than there is; "
            "choose a smaller fixed image, or close other programs."
        ) from error
