"""The numbers that ITK's own kinds of transform are stored as, in ITK's order; needs no ITK."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..core.geometry import Array, Grid


def bspline_from_parameters(
    parameters: Array, fixed: Array, units: Sequence[str] | str = "millimeter"
) -> tuple[Array, Grid]:
    """Coefficients (d, *shape) and control grid of a cubic B-spline transform.

    Raises
    ------
    ValueError
        If the numbers of parameters do not fit each other.
    """
    grid = _grid(parameters, fixed, units)
    return np.reshape(parameters, (grid.ndim, *grid.shape))[::-1].copy(), grid


def displacement_from_parameters(
    parameters: Array, fixed: Array, units: Sequence[str] | str = "millimeter"
) -> tuple[Array, Grid]:
    """World displacements (*shape, d) and grid of a displacement field transform.

    Raises
    ------
    ValueError
        If the numbers of parameters do not fit each other.
    """
    grid = _grid(parameters, fixed, units)
    return np.reshape(parameters, (*grid.shape, grid.ndim))[..., ::-1].copy(), grid


def _grid(parameters: Array, fixed: Array, units: Sequence[str] | str) -> Grid:
    """The grid in the fixed parameters: size, origin, spacing and direction, of which the size is checked."""
    d = {10: 2, 18: 3}.get(len(fixed))
    if d is None:
        raise ValueError(f"a grid of vectors has 10 or 18 fixed parameters, not {len(fixed)}")
    size = fixed[:d]
    if not np.isfinite(fixed).all() or (size < 1).any() or (size != np.floor(size)).any():
        raise ValueError(f"the size of its grid, {size.tolist()}, is not made of whole numbers")
    shape = tuple(int(n) for n in size[::-1])
    if len(parameters) != d * math.prod(shape):
        raise ValueError(f"{d * math.prod(shape)} parameters are needed, not {len(parameters)}")
    spacing, origin = fixed[2 * d : 3 * d][::-1], fixed[d : 2 * d][::-1]
    return Grid.from_spacing(shape, spacing, origin, fixed[3 * d :].reshape(d, d)[::-1, ::-1], units)
