"""How far a result displaces and by how much it changes volume, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ...core.geometry import Array, short_unit
from ...core.progress import Progress
from ...registration.result import Result
from ...transforms import displacement_on, jacobian_determinant, without_affine
from ..layers.drawings import STILL

NODES = 2100**2  # of larger images every second, third, ... pixel along each axis is measured
BINS = 60


@dataclass(frozen=True, eq=False)
class Spread:
    """How values are distributed.

    Parameters
    ----------
    counts : ndarray, shape (BINS,)
        Values per bin.
    edges : ndarray, shape (BINS + 1,)
        Of the bins.
    median, high, least, most : float
        Median, 95th percentile, minimum and maximum.
    """

    counts: Array
    edges: Array
    median: float
    high: float
    least: float
    most: float


@dataclass(frozen=True)
class Motion:
    """The motion of a result.

    Parameters
    ----------
    displacement : Spread
        World units.
    jacobian : Spread
        Of the Jacobian determinant.
    folded : float
        Percent of the fixed image.
    unit : str
        Of the displacement.
    step : int
        Every so many pixels along each axis were measured.
    """

    displacement: Spread
    jacobian: Spread
    folded: float
    unit: str
    step: int


def measure(result: Result, affine: bool, progress: Progress) -> Motion:
    """Measure the motion of a result on its fixed grid.

    Parameters
    ----------
    result : Result
    affine : bool
        Whether the affine part is included.
    progress : Progress
        May raise `Cancelled`.
    """
    grid, step = result.fixed, 1
    while prod(grid.shape) > NODES:
        step += 1
        grid = result.fixed.coarsened(step)
    progress(0.0, "measuring the displacement")
    displacement = displacement_on(result.transform, grid)
    if not affine:
        displacement = without_affine(displacement, grid)
    progress(0.5, "measuring the Jacobian")
    length = np.sqrt(np.einsum("...i,...i", displacement, displacement))
    length[length < STILL * grid.spacing.min()] = 0
    jacobian = jacobian_determinant(displacement, grid)
    return Motion(_spread(length), _spread(jacobian), result.after.folded, short_unit(grid.units[0]), step)


def _spread(values: Array) -> Spread:
    median, high = np.percentile(values, (50, 95))
    counts, edges = np.histogram(values, BINS)
    return Spread(counts, edges, float(median), float(high), float(values.min()), float(values.max()))
