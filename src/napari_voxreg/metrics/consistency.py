"""How far two transforms that were found independently, there and back, agree."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Grid
from ..transforms import Transform

POINTS = {2: 48, 3: 16}  # along each axis that are followed there and back
CLOSE = 0.01  # of the diagonal
TRUST = 0.25  # fraction of the points that must come back; of pairs that have nothing in common fewer do
# Fraction from which two affine maps that move the points by so much of the diagonal do not agree by chance.
SURE, FAR = 0.6, 0.03


def sure(prediction: Transform, start: Transform, confidence: float, fixed: Grid) -> bool:
    """Whether an affine prediction is right by its agreement alone, even if it raises no similarity.

    Where structures are thinner than the remaining error, images are no more alike than they were.
    """
    corners = fixed.corners()
    moved = np.linalg.norm(prediction(corners) - start(corners), axis=1).mean()
    return confidence >= SURE and bool(moved > FAR * fixed.diagonal)


def agreement(there: Transform, back: Transform, fixed: Grid, moving: Grid) -> float:
    """Fraction of the fixed image's points that come back to where they were.

    Parameters
    ----------
    there, back : Transform
        From world points of fixed to moving, and from moving to fixed.
    fixed, moving : Grid
        Of the images.

    Returns
    -------
    float
        Of the points that the moving image shows, those that come back to within `CLOSE` of the fixed image's
        diagonal; 0 if it shows none.
    """
    points = fixed.coarsened([max(1, n // POINTS[fixed.ndim]) for n in fixed.shape]).nodes()
    seen = there(points)
    index = moving.to_index(seen)
    inside = np.all((index >= 0) & (index <= np.array(moving.shape) - 1), axis=1)
    if not inside.any():
        return 0.0
    gaps = np.linalg.norm(back(seen[inside]) - points[inside], axis=1)
    diagonal = float(np.linalg.norm(fixed.spacing * fixed.shape))
    return float((gaps < CLOSE * diagonal).mean())
