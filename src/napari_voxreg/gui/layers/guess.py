"""Which of the viewer's images are a pair, and whether two can be one."""

from __future__ import annotations

import re

from napari.layers import Image, Layer

from .snapshots import snapshot


def guess_pair(images: list[Layer]) -> tuple[Layer | None, Layer | None]:
    """The newest images called fixed and moving, else the last two in their order.

    Parameters
    ----------
    images : list of Layer
        In the order of the viewer.
    """
    named = named_pair(images)
    if named is not None or len(images) > 1:
        return named or (images[-2], images[-1])
    return (images[0] if images else None), None


def named_pair(images: list[Layer]) -> tuple[Layer, Layer] | None:
    """The newest images whose names differ only in the words fixed and moving."""
    for moving in reversed(images):
        wanted = re.sub("moving", "fixed", moving.name, flags=re.IGNORECASE).lower()
        for fixed in images:
            if fixed is not moving and fixed.name.lower() == wanted != moving.name.lower():
                return fixed, moving
    return None


def is_result(layer: Layer) -> bool:
    """Whether a layer shows a result of this plugin."""
    return "voxreg" in layer.metadata


def common_ndim(fixed: Image, moving: Image) -> int:
    """The number of axes of both images, one-pixel-thin ones not counted; a `ValueError` if they differ."""
    grids = [snapshot(layer).grid() for layer in (fixed, moving)]
    first, second = (grid.without(grid.thin_axes()) for grid in grids)
    if first.ndim != second.ndim:
        raise ValueError(
            f"Fixed is {first.ndim}D and moving {second.ndim}D; "
            "choose two images with the same number of axes."
        )
    second.in_world_of(first)  # refuses other reference systems, and units that cannot be converted
    return first.ndim
