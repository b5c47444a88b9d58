"""Matrices over time: bridged over bad frames, and smoothed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import expm, logm

from ...core.geometry import Array, Grid
from .consensus import nearest
from .motion import Kind

REACH = 4  # standard deviations of the Gaussian over time


def bridged(matrices: Sequence[Array | None]) -> list[Array]:
    """All matrices, those that are missing interpolated between their neighbours in time.

    Raises
    ------
    ValueError
        If all are missing.
    """
    known = [k for k, matrix in enumerate(matrices) if matrix is not None]
    if not known:
        raise ValueError("No frame of the series shows anything that the others show; check the images.")
    found: list[Array] = []
    for k, matrix in enumerate(matrices):
        if matrix is not None:
            found.append(matrix)
            continue
        before, after = (
            max((n for n in known if n < k), default=None),
            min((n for n in known if n > k), default=None),
        )
        if before is None or after is None:
            found.append(_of(matrices, after if before is None else before))
            continue
        first, second = _of(matrices, before), _of(matrices, after)
        way = logm(np.linalg.solve(first, second)).real * ((k - before) / (after - before))
        found.append(first @ expm(way))
    return found


def smoothed(matrices: Sequence[Array], sigma: float, grid: Grid, kind: Kind) -> list[Array]:
    """The matrices averaged over time by a Gaussian of so many frames; a motion of the kind each."""
    stack = np.array(matrices)
    times = np.arange(len(stack))
    found = []
    for k in times:
        near = np.abs(times - k) <= REACH * sigma
        weights = np.exp(-0.5 * ((times[near] - k) / sigma) ** 2)
        found.append(nearest(np.tensordot(weights / weights.sum(), stack[near], 1), kind, grid))
    return found


def _of(matrices: Sequence[Array | None], number: int | None) -> Array:
    """A matrix that is known to be there."""
    matrix = None if number is None else matrices[number]
    assert matrix is not None
    return matrix
