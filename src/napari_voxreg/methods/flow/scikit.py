"""Shared by the optical flow methods: images on one grid and scale, a flow in pixels as a transform."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...core.geometry import Array
from ...transforms import Displacement
from ..base import Outcome, Task
from .resampled import on_fixed_grid


def register_by_flow(flow: Callable[[Array, Array], Array], task: Task) -> Outcome:
    """Find a dense deformation with a flow function.

    Where the moving image ends or a mask is false, the moving image is given the fixed image's values: there
    the flow has no data and only follows its surroundings.

    Parameters
    ----------
    flow : callable
        Takes the fixed and the moving image, both of the fixed grid's shape, float32 and from 0 to 1, and
        returns the flow in pixels, (d, *shape): moving at x + flow(x) corresponds to fixed at x.
    task : Task

    Returns
    -------
    Outcome
        The flow as `Displacement` on the fixed grid.
    """
    fixed, grid = task.fixed, task.fixed.grid
    moving, trusted = on_fixed_grid(task)
    # One scale for both: optical flow takes a pixel to keep its brightness while it moves.
    low, high = np.percentile(np.concatenate([fixed.data[trusted], moving[trusted]]), [0.5, 99.5])
    if high <= low:
        raise ValueError("The images are constant where they overlap; choose others.")
    first, second = (np.clip((x - low) / (high - low), 0, 1).astype(np.float32) for x in (fixed.data, moving))
    pixels = flow(first, np.where(trusted, second, first))
    world = np.moveaxis(pixels, 0, -1).astype(np.float64) @ grid.affine[:-1, :-1].T
    notes = ["Optical flow expects the same brightness in both images."]
    if not trusted.all():
        notes.append("Outside the masks and the overlap the flow only follows its surroundings.")
    return Outcome(Displacement(world, grid), tuple(notes))
