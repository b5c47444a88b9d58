"""What each recipe minimises on synthetic pairs, whose map is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..nets import affines
from ..nets.network import Network
from .synth import Batch

ELSEWHERE = 0.1  # weight of a flat pixel against a textured one: there the map can only be guessed

Objective = Callable[[Any, Batch], Tensor]


def end_point(displacement: Tensor, batch: Batch) -> Tensor:
    """Mean distance from the true map, pixels; flat pixels and those not seen count little."""
    weight = ELSEWHERE + (1 - ELSEWHERE) * batch.textured * batch.seen
    distance = ((displacement.float() - batch.displacement) ** 2).sum(1, keepdim=True)
    return ((distance + 1e-4).sqrt() * weight).sum() / weight.sum()


def of_displacement(net: Network, batch: Batch) -> Tensor:
    """The end-point error."""
    return end_point(net(batch.fixed, batch.moving).displacement, batch)


def of_levels(net: Any, batch: Batch) -> Tensor:
    """The end-point errors after every level, half as important from one to the next coarser."""
    found = net.levels(batch.fixed, batch.moving)
    errors = [end_point(field, batch) for field in found]
    weights = [0.5 ** (len(errors) - 1 - k) for k in range(len(errors))]
    total = torch.stack([w * e for w, e in zip(weights, errors, strict=True)])
    return total.sum() / sum(weights)


def of_affine(net: Any, batch: Batch) -> Tensor:
    """Mean distance of the affine map from the true one over the image, in pixels, after every step."""
    shape = tuple(batch.fixed.shape[2:])
    truth = affines.displacement(batch.affine, shape)
    errors = [
        ((affines.displacement(found, shape) - truth) ** 2).sum(1).add(1e-4).sqrt().mean()
        for found in net.all_steps(batch.fixed, batch.moving)
    ]
    return torch.stack(errors).mean()


OBJECTIVES: dict[str, Objective] = {"displacement": of_displacement, "levels": of_levels, "affine": of_affine}
