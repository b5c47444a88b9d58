"""What the optical flow methods share: images on one grid and one scale, a flow in pixels as a transform."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...core.geometry import Array, Image
from ...transforms import Displacement, Transform, chain
from ..base import Outcome
from .resampled import on_fixed_grid


def register_by_flow(
    flow: Callable[[Array, Array], Array],
    fixed: Image,
    moving: Image,
    *,
    initial: Transform | None,
    fixed_mask: Image | None,
    moving_mask: Image | None,
) -> Outcome:
    """Find a dense deformation with a flow function.

    Where the moving image ends or a mask is false, the moving image is given the fixed image's values: there
    the flow finds nothing to do and only follows its surroundings.

    Parameters
    ----------
    flow : callable
        Takes the fixed and the moving image, both of the fixed grid's shape, float32 and from 0 to 1, and
        returns the flow in pixels, (d, *shape): moving at x + flow(x) looks like fixed at x.
    fixed, moving, initial, fixed_mask, moving_mask
        As `Run` has them.

    Returns
    -------
    Outcome
        The flow as `Displacement` on the fixed grid, followed by `initial`.
    """
    grid = fixed.grid
    start, trusted = on_fixed_grid(fixed, moving, initial, fixed_mask, moving_mask)
    # One scale for both: optical flow takes a pixel to keep its brightness while it moves.
    low, high = np.percentile(np.concatenate([fixed.data[trusted], start[trusted]]), [0.5, 99.5])
    if high <= low:
        raise ValueError("The images show nothing but one value where they overlap; choose others.")
    first, second = (np.clip((x - low) / (high - low), 0, 1).astype(np.float32) for x in (fixed.data, start))
    pixels = flow(first, np.where(trusted, second, first))
    world = np.moveaxis(pixels, 0, -1).astype(np.float64) @ grid.affine[:-1, :-1].T
    found = Displacement(world, grid)
    notes = ["Optical flow expects the same brightness in both images."]
    if not trusted.all():
        notes.append("Outside the masks and the overlap the flow only follows its surroundings.")
    # moving(initial(x + u(x))) is what the flow compared with fixed(x)
    return Outcome(found if initial is None else chain(found, initial), tuple(notes))
