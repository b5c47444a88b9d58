"""Maps of a transform over the fixed image: displacement, volume, strain, curl, error of the inverse."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from napari.utils import Colormap

from ...core.geometry import Array, Grid, short_unit
from ...core.progress import Progress
from ...registration.inverse import inverse_consistency
from ...registration.result import Result
from ...transforms import curl, displacement_on, jacobian_determinant, principal_strain, without_affine
from .drawings import STILL
from .placement import LayerData, Placement

MOTION = ("magnitude", "jacobian", "strain", "curl")  # with or without the affine part
MEASURES = (*MOTION, "consistency")
INVERTED = 600_000  # nodes, about 20 seconds; the inverse on larger grids has every second, third, ... pixel
# Blue shrinks, white is unchanged, red grows; folding lies below the limits and is yellow.
DIVERGING = ("#0b2c6b", "#3f7fd0", "#f7f7f7", "#d9593d", "#6e0d1c")
FOLDED = "#ffe600"


def motion_maps(
    result: Result, place: Placement, kinds: Collection[str], affine: bool, progress: Progress
) -> Iterator[LayerData]:
    """Maps of the displacement.

    Parameters
    ----------
    result : Result
    place : Placement
        Of the maps.
    kinds : collection of str
        Of `MOTION`.
    affine : bool
        Whether they include the affine part of the motion.
    progress : Progress
        May raise `Cancelled`.
    """
    makers = {"magnitude": _magnitude, "jacobian": _jacobian, "strain": _strain, "curl": _curl}
    chosen = [make for kind, make in makers.items() if kind in kinds]
    if chosen:
        progress(0.0, "measuring the displacement")
        displacement = displacement_on(result.transform, place.grid)
        if not affine:
            displacement = without_affine(displacement, place.grid)
        for make in chosen:
            yield make(displacement, place, affine)


def _magnitude(displacement: Array, place: Placement, affine: bool) -> LayerData:
    """Length of the displacement, world units."""
    # Ten times as quick as the norm along an axis.
    length = np.sqrt(np.einsum("...i,...i", displacement, displacement)).astype(np.float32)
    length[length < STILL * place.grid.spacing.min()] = 0
    unit = short_unit(place.grid.units[0])
    what = f"displacement ({unit})" if affine else f"displacement without affine ({unit})"
    return place.map(length, "magnitude", what, (0.0, float(length.max()) or 1.0), "viridis")


def _jacobian(displacement: Array, place: Placement, affine: bool) -> LayerData:
    """Determinant of the Jacobian, limits the same on both sides of 1."""
    determinant = jacobian_determinant(displacement, place.grid)
    # With folding the limits are 0 and 2, so that exactly the folded pixels lie below them. Without it the
    # minimum is above the lower limit.
    folding = float(determinant.min()) <= 0
    reach = 1.0 if folding else min(1.0, max(0.02, 1.05 * float(np.abs(determinant - 1).max())))
    colours = colormap("shrinks - grows", DIVERGING, low_color=FOLDED)
    what = "Jacobian" if affine else "Jacobian without affine"
    return place.map(determinant, "jacobian", what, (1 - reach, 1 + reach), colours)


def _strain(displacement: Array, place: Placement, affine: bool) -> LayerData:
    """The largest principal strain, limits the same on both sides of 0."""
    strain = principal_strain(displacement, place.grid)
    what = "principal strain" if affine else "principal strain without affine"
    return place.map(strain, "strain", what, _about_zero(strain), colormap("shortens - elongates", DIVERGING))


def _curl(displacement: Array, place: Placement, affine: bool) -> LayerData:
    """In 2D the curl with its sign, limits the same on both sides of 0; in 3D its length."""
    found = curl(displacement, place.grid)
    what = "curl" if affine else "curl without affine"
    if place.grid.ndim == 2:
        colours = colormap("clockwise - counter-clockwise", DIVERGING)
        return place.map(found, "curl", what, _about_zero(found), colours)
    return place.map(found, "curl", what, (0.0, _about_zero(found)[1]), "viridis")


def _about_zero(values: Array) -> tuple[float, float]:
    """Limits the same on both sides of 0, wide enough that rounding is not seen."""
    reach = max(0.02, 1.05 * float(np.abs(values).max()))
    return -reach, reach


def consistency_map(result: Result, moving: Grid, place: Placement, progress: Progress) -> LayerData:
    """How far mapping to the moving image, on its grid, and back misses, world units."""
    nodes, step = moving, 1
    while prod(nodes.shape) > INVERTED and not result.transform.closed_inverse:
        step += 1
        nodes = moving.coarsened(step)
    moving = nodes
    error = inverse_consistency(result.transform, place.grid, moving, progress)
    known = error[np.isfinite(error)]
    high = max(float(known.max(initial=0)), STILL * float(place.grid.spacing.min()))
    what = f"inverse-consistency error ({short_unit(place.grid.units[0])})"
    return place.map(error, "consistency", what, (0.0, high), "viridis")


def colormap(name: str, colours: Sequence[str], **more: Any) -> Any:
    """A napari colormap."""
    return Colormap(list(colours), name=name, **more)
