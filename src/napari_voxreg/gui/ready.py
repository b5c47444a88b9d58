"""Whether what is chosen can be registered: the checks that take no time."""

from __future__ import annotations

from napari.layers import Layer

from ..methods import METHODS
from .layers import snapshot
from .method_box import MethodBox
from .pair import PairBox
from .start import StartBox


def reason_against(pair: PairBox, method: MethodBox, start: StartBox) -> str:
    """Why nothing can be registered now, in words with the remedy; empty if something can.

    What takes time (pixels, overlap, masks, files) is checked by `register`, in the worker, before anything
    runs.
    """
    fixed, moving = pair.fixed.layer, pair.moving.layer
    if fixed is None:
        return "Choose a fixed image."
    if moving is None:
        return "Choose a moving image."
    if fixed is moving:
        return "Fixed and moving are the same layer; choose two."
    try:
        ndim = _common_ndim(fixed, moving)
        method.params()
    except ValueError as error:
        return str(error)
    chosen = METHODS[method.method]
    if ndim not in chosen.ndims:
        return f"{chosen.title} does not work in {ndim}D; choose another method."
    points = [box.layer for box in start.boxes]
    if (points[0] is None) != (points[1] is None):
        which = "fixed" if points[0] is None else "moving"
        return f"Choose {which} landmarks too, or none for both."
    if points[0] is not None and points[1] is not None and len(points[0].data) != len(points[1].data):
        counts = f"{len(points[0].data)} fixed and {len(points[1].data)} moving"
        return f"There are {counts} landmarks; they must correspond one to one."
    if start.start == "points" and points[0] is None:
        return "Starting from landmarks needs a Points layer for each image; choose them."
    return ""


def _common_ndim(fixed: Layer, moving: Layer) -> int:
    """The number of axes of both images, one-pixel-thin ones not counted."""
    grids = [snapshot(layer).grid() for layer in (fixed, moving)]
    first, second = (grid.without(grid.thin_axes()) for grid in grids)
    if first.ndim != second.ndim:
        raise ValueError(f"Fixed is {first.ndim}D and moving {second.ndim}D; choose two with as many axes.")
    second.in_units(first.units)  # refuses what cannot be converted
    return first.ndim
