"""The current choices, and the quick checks whether they can be registered."""

from __future__ import annotations

from napari.components import ViewerModel

from ...core.geometry import Array, Grid
from ...methods import METHODS
from ...methods.availability import installed
from ..layers.guess import common_ndim
from ..layers.point_files import same_labels
from ..layers.snapshots import mask_snapshot, points_from_layer, snapshot
from ..session.chosen import Fitted
from ..widgets.method_box import MethodBox
from .initial_box import InitialBox
from .job import Chosen
from .pair_box import PairBox
from .pixels_box import PixelsBox


def chosen_in(
    viewer: ViewerModel,
    pair: PairBox,
    pixels: PixelsBox,
    initial: InitialBox,
    fitted: Fitted | None = None,
) -> Chosen:
    """The choices as the worker gets them; the pair must have passed `reason_against_pair`.

    A fitted transform is taken instead of the chosen initial one.
    """
    fixed, moving, *masks = (box.layer for box in pair.boxes)
    images = [snapshot(fixed, viewer), initial.pose.at_its_place(snapshot(moving, viewer))]
    covers = [None if mask is None else mask_snapshot(mask, viewer) for mask in masks]
    return Chosen(
        fixed=images[0],
        moving=images[1],
        fixed_mask=covers[0],
        moving_mask=covers[1],
        landmarks=_landmarks(initial, images[0].grid(), images[1].grid()),
        initial=fitted or initial.initial,
        channel=pixels.channel,
        levels=pixels.levels(*images),
    )


def _landmarks(initial: InitialBox, fixed: Grid, moving: Grid) -> tuple[Array, Array] | None:
    """The landmarks in the world; those with one label correspond, else by their order."""
    layers = [box.layer for box in initial.boxes]
    if layers[0] is None or layers[1] is None:
        return None
    points = points_from_layer(layers[0], fixed), points_from_layer(layers[1], moving)
    same = same_labels(*layers)
    return points if same is None else (points[0][same[0]], points[1][same[1]])


def reason_against(pair: PairBox, method: MethodBox, initial: InitialBox) -> str:
    """Why the method cannot register the chosen pair, with the remedy; empty if it can."""
    reason = reason_against_pair(pair, initial)
    if reason:
        return reason
    try:
        params = method.params()
    except ValueError as error:
        return str(error)
    chosen = METHODS[method.method]
    if not installed(chosen):
        return f"{chosen.title} is not installed; run the command under Method, or choose another method."
    return chosen.refusal(common_ndim(pair.fixed.layer, pair.moving.layer), params)


def reason_against_pair(pair: PairBox, initial: InitialBox) -> str:
    """Why no method can register the chosen pair; empty if one can.

    Slow checks (pixels, overlap, masks, files) are made by `register`, in the worker, before the method runs.
    """
    fixed, moving = pair.fixed.layer, pair.moving.layer
    if fixed is None:
        return "Choose a fixed image."
    if moving is None:
        return "Choose a moving image."
    if fixed is moving:
        return "Fixed and moving are the same layer; choose two."
    try:
        common_ndim(pair.fixed.layer, pair.moving.layer)
    except ValueError as error:
        return str(error)
    points = [box.layer for box in initial.boxes]
    if (points[0] is None) != (points[1] is None):
        which = "fixed" if points[0] is None else "moving"
        return f"Choose {which} landmarks too, or none for both."
    if points[0] is not None and points[1] is not None:
        counts = len(points[0].data), len(points[1].data)
        if counts[0] != counts[1] and same_labels(points[0], points[1]) is None:
            said = f"{counts[0]} fixed and {counts[1]} moving"
            return f"There are {said} landmarks; they must correspond one to one."
    if initial.initial == "landmarks" and points[0] is None:
        return "An initial transform from landmarks needs a Points layer for each image; choose both."
    return ""
