"""Where an image shows something."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Array


def field_of_view(data: Array) -> Array:
    """Where an image shows something: not the black corners, the padding and the outside of a round image.

    After smoothing, pixels within 5 % of the range from the darkest value are dark. The field of view is the
    largest other region with its holes filled. It is the whole image if that covers more than 93 %, or if
    most of what is bright lies elsewhere, as in an image of many spots.

    Parameters
    ----------
    data : ndarray
        In [0, 1], 2D or 3D.

    Returns
    -------
    ndarray of bool
    """
    from scipy import ndimage

    bright = ndimage.gaussian_filter(data, 2.0, mode="nearest") > 0.05
    regions, count = ndimage.label(bright)
    if not count:
        return np.ones(data.shape, bool)
    sizes = np.bincount(regions.ravel())
    if sizes[1:].max() < 0.5 * sizes[1:].sum():
        return np.ones(data.shape, bool)
    view: Array = ndimage.binary_fill_holes(regions == 1 + int(sizes[1:].argmax()))
    return view if view.mean() <= 0.93 else np.ones(data.shape, bool)
