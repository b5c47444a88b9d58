"""Middlebury's .flo, displacements in pixels of two images in the plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....core.geometry import Array, Grid
from ....transforms import Affine, Displacement, Transform, chain
from ...flo import MAGIC, read_flo, write_flo
from ..base import ALONE, Found, Grids


def recognises(head: bytes) -> bool:
    """Whether it begins as these files do."""
    return head.startswith(MAGIC)


def read(path: Path, grids: Grids) -> Found:
    """The map between the worlds of the two images; without their grids, between their pixels.

    Raises
    ------
    ValueError
        If the file is damaged or not of the fixed image's shape, or its flow is not known anywhere.
    """
    flow = np.asarray(read_flo(path), dtype=float)
    shape = flow.shape[:2]
    if grids.in_chain and grids.fixed is None and set(grids.units or ()) - {"pixel"}:
        raise ValueError(f"{path.name} counts in pixels of its own two images; {ALONE}.")
    fixed = Grid.from_spacing(shape) if grids.fixed is None else grids.fixed
    if fixed.shape != shape:
        raise ValueError(
            f"{path.name} has the shape {shape} and the fixed image {fixed.shape}; give the image that it is "
            "for."
        )
    moving = grids.moving
    moving = fixed if moving is None else moving.in_world_of(fixed)
    flow, notes = _filled(flow, path)
    pixels = Displacement(flow, Grid.from_spacing(shape))
    return Found(chain(Affine(np.linalg.inv(fixed.affine)), pixels, Affine(moving.affine)), notes)


def _filled(flow: Array, path: Path) -> tuple[Array, tuple[str, ...]]:
    """A flow with each unknown pixel like the nearest known one."""
    unknown = ~np.isfinite(flow).all(axis=-1)
    if not unknown.any():
        return flow, ()
    if unknown.all():
        raise ValueError(f"{path.name} marks the flow of all pixels as unknown; choose another file.")
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    percent = 100 * float(unknown.mean())
    note = f"{path.name} does not know {percent:.2g} % of its pixels; they move with the nearest known ones."
    return flow[tuple(nearest)], (note,)


def write(transform: Transform, path: Path, grids: Grids) -> tuple[str, ...]:
    """Write the displacements in pixels; without the moving image's grid, in pixels of the fixed one.

    Raises
    ------
    ValueError
        If it is not in the plane, or the fixed image's grid is not known.
    """
    fixed = grids.fixed
    if transform.ndim != 2 or fixed is None or fixed.ndim != 2:
        raise ValueError(
            f"{path.name} holds a plane of displacements in pixels; give a 2D transform and the fixed image "
            "(--fixed)."
        )
    moving = fixed if grids.moving is None else grids.moving.in_world_of(fixed)
    index = moving.to_index(transform(fixed.nodes())).reshape(*fixed.shape, 2)
    write_flo(path, index - np.moveaxis(np.indices(fixed.shape), 0, -1))
    return (f"{path.name} is exact at the pixels of the fixed image, to single precision.",)
