"""Pixels without data in arrays: masked ones, NaN, and those that are transparent."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def with_nan(data: Array) -> Array:
    """Pixels as a plain array, in which those that a masked array masks are NaN.

    Parameters
    ----------
    data : ndarray or numpy.ma.MaskedArray

    Returns
    -------
    ndarray
        `data` itself if nothing is masked, else floats that hold its values: float32 for up to 16 bits.
    """
    if not isinstance(data, np.ma.MaskedArray):
        return data
    if not np.ma.is_masked(data):
        return np.asarray(data)
    plain: Array = data.data.astype(np.result_type(data.dtype, np.float32))
    plain[np.ma.getmaskarray(data)] = np.nan
    return plain


def with_opacity(data: Array) -> Array:
    """Pixels whose last channel is their opacity, masked where they are fully transparent.

    Parameters
    ----------
    data : ndarray, shape (*shape, 2) or (*shape, 4)
        Grey and opacity, or red, green, blue and opacity.

    Returns
    -------
    ndarray or numpy.ma.MaskedArray, shape (*shape,) or (*shape, 4)
        Grey pixels lose the channel. Nothing is masked where all is transparent: then it means nothing.
    """
    clear = data[..., -1] == 0
    if data.shape[-1] == 2:
        data = data[..., 0]
    if not clear.any() or clear.all():
        return data
    mask = clear if data.ndim == clear.ndim else np.repeat(clear[..., None], data.shape[-1], axis=-1)
    return np.ma.array(data, mask=mask, fill_value=0)


def counted(mask: Array) -> Array:
    """Where the pixels of a mask are not zero, boolean; masked ones and NaN do not count."""
    where: Array = np.ma.filled((mask != 0) & (mask == mask), False)
    return where
