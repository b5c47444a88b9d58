"""The difference of two layers, computed only where it is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Layer

from ...core.geometry import Array
from ..layers.maps import DIVERGING, colormap
from ..layers.snapshots import LayerSnapshot, like_layer

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
BLACK, RED, BLUE = "#000000", "#ff4a2e", "#2e7dff"  # red and blue add up to nearly white
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


def difference_layers(
    taken: LayerSnapshot, fixed: Layer, warped: Layer, *, absolute: bool, volume: bool
) -> list[Image]:
    """The layers that draw a difference: the second of two is added to the light of the first.

    A signed difference in a volume has two: along each line of sight the largest one above zero, and the
    largest one below. A single projection would lose one of the signs.

    Parameters
    ----------
    taken, fixed, warped, absolute
        As in `Difference`.
    volume : bool
        Whether the viewer shows volumes.
    """
    # Of a translucent projection napari draws nothing where it is 0, and a light canvas would shine through.
    base = {"blending": "opaque"} if volume else {}
    if absolute:
        ways = {"absolute difference": {**_way((0, 1), "inferno"), **base}}
    elif volume:
        below = _way((-1, 0), colormap("warped brighter", (BLUE, BLACK)))
        ways = {
            "fixed brighter": {**_way((0, 1), colormap("fixed brighter", (BLACK, RED))), **base},
            "warped brighter": {**below, "rendering": "minip", "blending": "additive"},
        }
    else:
        ways = {"signed difference": _way((-1, 1), colormap("fixed - warped", DIVERGING))}
    layers = [
        Image(
            Difference(taken, fixed, warped, absolute),
            name=f"{name} (of the contrast range)",
            metadata={"voxreg": {"kind": "difference"}},
            multiscale=False,
            rgb=False,
            **like_layer(warped),
            **way,
        )
        for name, way in ways.items()
    ]
    for layer in layers:
        layer.colorbar.visible = True
    return layers


def _way(limits: Limits, colours: Any) -> dict[str, Any]:
    return {"contrast_limits": limits, "colormap": colours}


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
