"""Pixels without data: masked ones, NaN and infinities, which never count; what is outside of an image."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Image


def without_nodata(image: Image) -> tuple[Image, Image | None]:
    """An image all of whose pixels are finite, and where it has data.

    Pixels without data take the value of the nearest one with data: any other would make an edge, which
    methods and filters near the border of the data would follow.

    Parameters
    ----------
    image : Image
        One channel in which pixels without data are NaN, as `driving_channel` gives it.

    Returns
    -------
    Image
        The image itself if every pixel has data.
    Image or None
        Boolean, True where there is data; None if every pixel has some.

    Raises
    ------
    ValueError
        If no pixel has data.
    """
    known = np.isfinite(image.data)
    if known.all():
        return image, None
    if not known.any():
        raise ValueError(
            f"{image.name or 'The image'} has no pixel with data, only NaN, infinite, transparent or nodata "
            "ones; choose another image."
        )
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return image.with_data(image.data[tuple(nearest)]), image.with_data(known)


def background(image: Image) -> float:
    """What an image shows where it has no pixels: nothing, or the ground on which its objects lie.

    Parameters
    ----------
    image : Image
        Of any number of channels.

    Returns
    -------
    float
        NaN for floating-point pixels. Of integers the darkest or the brightest value of the image, whichever
        is nearer to most pixels of its border.
    """
    data = np.ma.filled(image.data)
    if data.dtype.kind not in "iu":
        return np.nan if data.dtype.kind == "f" else 0.0
    border = [np.ravel(np.take(data, (0, -1), axis=k)) for k in range(image.ndim)]
    low, high, usual = float(data.min()), float(data.max()), float(np.median(np.concatenate(border)))
    return low if usual - low <= high - usual else high


def nodata_note(*masks: tuple[str, Image | None]) -> tuple[str, ...]:
    """One sentence on the pixels of images that have no data; none if all have.

    Parameters
    ----------
    masks : tuple of (str, Image or None)
        What to call each image, and where it has data.
    """
    shares = [(name, 100 * float(1 - mask.data.mean())) for name, mask in masks if mask is not None]
    if not shares:
        return ()
    parts = " and ".join(f"{share:.3g} % of the {name} image" for name, share in shares)
    return (f"{parts} are pixels without data (NaN, infinite, transparent or nodata); they are masked out.",)
