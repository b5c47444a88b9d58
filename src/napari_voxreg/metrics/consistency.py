"""How far two maps that were found apart, there and back, agree."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Grid
from ..transforms import Transform

PLACES = {2: 48, 3: 16}  # along each axis that are followed there and back
CLOSE = 0.01  # of the diagonal
TRUST = 0.25  # part of the places that must come back; of pairs that have nothing in common fewer do
# Part from which two affine maps that move the places by so much of the diagonal do not agree by chance.
SURE, FAR = 0.6, 0.03


def sure(answer: Transform, start: Transform, confidence: float, fixed: Grid) -> bool:
    """Whether an affine answer is right by its agreement alone, though it may not be close enough to be seen.

    Where structures are thinner than what is left of the error, images are no more alike than they were.
    """
    corners = fixed.corners()
    moved = np.linalg.norm(answer(corners) - start(corners), axis=1).mean()
    return confidence >= SURE and bool(moved > FAR * fixed.diagonal)


def agreement(there: Transform, back: Transform, fixed: Grid, moving: Grid) -> float:
    """Part of the fixed image's places that come back to where they were.

    Parameters
    ----------
    there, back : Transform
        From world points of fixed to moving, and from moving to fixed.
    fixed, moving : Grid
        Of the images.

    Returns
    -------
    float
        Of the places that the moving image shows, those that come back to within `CLOSE` of the fixed image's
        diagonal; 0 if it shows none.
    """
    places = fixed.coarsened([max(1, n // PLACES[fixed.ndim]) for n in fixed.shape]).nodes()
    seen = there(places)
    index = moving.to_index(seen)
    inside = np.all((index >= 0) & (index <= np.array(moving.shape) - 1), axis=1)
    if not inside.any():
        return 0.0
    gaps = np.linalg.norm(back(seen[inside]) - places[inside], axis=1)
    diagonal = float(np.linalg.norm(fixed.spacing * fixed.shape))
    return float((gaps < CLOSE * diagonal).mean())
