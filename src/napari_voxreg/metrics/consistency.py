"""Consistency of a forward and a backward transform that were found independently."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Grid
from ..transforms import Transform

POINTS = {2: 48, 3: 16}  # along each axis that are mapped forward and back
CLOSE = 0.01  # of the diagonal
TRUST = 0.25  # fraction of the points that must return; on unrelated pairs fewer do
# Fraction from which two affine maps that move the points by FAR of the diagonal do not agree by chance.
SURE, FAR = 0.6, 0.03


def sure(prediction: Transform, initial: Transform, confidence: float, fixed: Grid) -> bool:
    """Whether an affine prediction is right by its agreement alone, even if it does not raise the similarity.

    Where structures are thinner than the remaining error, the similarity does not rise.
    """
    corners = fixed.corners()
    moved = np.linalg.norm(prediction(corners) - initial(corners), axis=1).mean()
    return confidence >= SURE and bool(moved > FAR * fixed.diagonal)


def agreement(forward: Transform, backward: Transform, fixed: Grid, moving: Grid) -> float:
    """Fraction of the fixed image's points that the backward transform returns to their position.

    Parameters
    ----------
    forward, backward : Transform
        From world points of fixed to moving, and from moving to fixed.
    fixed, moving : Grid
        Of the images.

    Returns
    -------
    float
        Of the points inside the moving image, those that return to within `CLOSE` of the fixed image's
        diagonal; 0 if none is inside.
    """
    points = fixed.coarsened([max(1, n // POINTS[fixed.ndim]) for n in fixed.shape]).nodes()
    mapped = forward(points)
    index = moving.to_index(mapped)
    inside = np.all((index >= 0) & (index <= np.array(moving.shape) - 1), axis=1)
    if not inside.any():
        return 0.0
    gaps = np.linalg.norm(backward(mapped[inside]) - points[inside], axis=1)
    diagonal = float(np.linalg.norm(fixed.spacing * fixed.shape))
    return float((gaps < CLOSE * diagonal).mean())
