"""The difference of two layers, computed only where it is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Layer

from ...core.geometry import Array
from ..layers.snapshots import LayerSnapshot

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
Limits = tuple[float, float]


class Difference:
    """An array whose pixels are computed when they are read: fixed minus warped, in contrast ranges.

    Parameters
    ----------
    taken : LayerSnapshot
        Of the fixed layer.
    fixed, warped : napari.layers.Image or napari.layers.Labels
        On the same pixels; their present contrast limits count as 0 and 1.
    absolute : bool
        Whether the sign is dropped.
    """

    def __init__(self, taken: LayerSnapshot, fixed: Layer, warped: Layer, absolute: bool) -> None:
        steps = taken.steps
        still = tuple(slice(steps[k], steps[k] + 1) if k in steps else slice(None) for k in range(taken.ndim))
        # Views, also of lazy arrays.
        self._sides = (taken.levels[0][still], fixed), (warped.data, warped)
        self._absolute = absolute
        self.shape = tuple(warped.data.shape[: taken.ndim])
        self.ndim = taken.ndim
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: Any) -> Array:
        first, second = (
            _scaled(data[key], data.ndim > self.ndim, *contrast(layer)) for data, layer in self._sides
        )
        difference = np.subtract(first, second, out=first)
        return np.abs(difference, out=difference) if self._absolute else difference


def contrast(layer: Layer) -> Limits:
    """The grey values of a layer that are drawn black and white."""
    if isinstance(layer, Image) and not layer.rgb:
        low, high = layer.contrast_limits
        return float(low), float(high)
    return (0.0, float(np.iinfo(layer.dtype).max)) if layer.dtype.kind in "iu" else (0.0, 1.0)


def _scaled(pixels: Any, colours: bool, low: float, high: float) -> Array:
    """Grey values in [0, 1] of the contrast range, a new float32 array; NaN stays."""
    data = np.array(pixels, dtype=np.float32)
    if colours:
        data = data[..., :3] @ GREY
    data -= np.float32(low)
    data *= np.float32(1 / (high - low))
    return np.clip(data, 0, 1, out=data)
