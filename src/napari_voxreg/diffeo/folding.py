"""Removing folding from a flow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..tensor.similarity import box_mean
from .optimise import Control

LEAST = 0.02  # of its volume that every corner of every cell must keep
ROUNDS = 60


def unfolded(velocity: Tensor, control: Control) -> tuple[Tensor, int]:
    """Smooth a velocity (d, *shape) where its flow folds, until there is no folding.

    The flow is linear within the cells of the control grid, so the determinants at the corners of its
    cells decide.

    Returns
    -------
    velocity : Tensor
    rounds : int
        How often it was smoothed; 0 if nothing folded.
    """
    for done in range(ROUNDS):
        folded = least_volume(control.flow(velocity) / control.step) < LEAST
        if not bool(folded.any()):
            return velocity, done
        # Folding is caused as far away as the flow carries points, so each round reaches further.
        spot = folded.to(velocity.dtype)[None]
        reach = 3 + 2 * (done // 4)
        wide = F.max_pool3d if control.d == 3 else F.max_pool2d
        spot = box_mean(wide(spot[None], reach, 1, reach // 2)[0], 3)
        velocity = velocity + spot * (box_mean(velocity, 3) - velocity)
    return velocity * 0.5, ROUNDS


def least_volume(displacement: Tensor) -> Tensor:
    """Least Jacobian determinant among the cells that meet at each node, (*shape); displacement in nodes."""
    d = displacement.shape[0]
    least = None
    for corner in range(2**d):
        rows = []
        for axis in range(d):
            n = displacement.shape[axis + 1]
            slope = displacement.diff(dim=axis + 1)
            rim = slope.narrow(axis + 1, 0 if not corner >> axis & 1 else n - 2, 1)
            rows.append(torch.cat([rim, slope] if not corner >> axis & 1 else [slope, rim], axis + 1))
        j = torch.stack(rows, 1)
        for k in range(d):
            j[k, k] += 1
        if d == 2:
            volume = j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]
        else:
            volume = (j[0] * torch.linalg.cross(j[1], j[2], dim=0)).sum(0)
        least = volume if least is None else torch.minimum(least, volume)
    assert least is not None  # a cell has corners
    return least
