"""Folding of displacements: the Jacobian determinant, and smoothing where it is too small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .similarity import box_mean_batch

MIN_DETERMINANT = 0.05
ROUNDS = 50  # of smoothing, at most
WINDOW = 5  # pixels


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """Determinant (B, *shape) of x + u(x) by central differences, for u (B, d, *shape) in pixels."""
    d = displacement.shape[1]
    # Row k of the Jacobian: the derivatives of component k along each axis.
    rows = [
        torch.stack(torch.gradient(displacement[:, k], dim=tuple(range(1, d + 1))), dim=1) for k in range(d)
    ]
    for k, row in enumerate(rows):
        row[:, k] += 1
    if d == 2:
        return rows[0][:, 0] * rows[1][:, 1] - rows[0][:, 1] * rows[1][:, 0]
    return (rows[0] * torch.linalg.cross(rows[1], rows[2], dim=1)).sum(1)


def without_folding(displacement: Tensor) -> Tensor:
    """The displacement, smoothed only where it folds until it no longer does.

    Parameters
    ----------
    displacement : Tensor, shape (B, d, *shape)
        In pixels. Each side has at least two pixels.

    Returns
    -------
    Tensor, shape (B, d, *shape)
    """
    pool = F.max_pool2d if displacement.ndim == 4 else F.max_pool3d
    for _ in range(ROUNDS):
        folding = (jacobian_determinant(displacement) < MIN_DETERMINANT)[:, None]
        if not bool(folding.any()):
            break
        near = pool(folding.float(), WINDOW, 1, WINDOW // 2)
        smooth = box_mean_batch(displacement, WINDOW)
        displacement = torch.lerp(displacement, smooth, near)
    return displacement
