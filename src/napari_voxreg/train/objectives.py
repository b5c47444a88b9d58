"""What each recipe minimises on synthetic pairs, whose map is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..nets import affines
from ..nets.losses import diffusion, endpoint_error
from ..nets.network import Network
from ..nets.pyramid import halves_to
from .synth import Batch

ELSEWHERE = 0.3  # weight of a flat pixel against a textured one: there the map can only be guessed

ROUGH = 3.0  # weight of the squared slopes of the error against the error in pixels

Objective = Callable[[Any, Batch], Tensor]


def end_point(displacement: Tensor, batch: Batch) -> Tensor:
    """Mean distance from the true map, pixels; flat pixels and those not seen count little."""
    weight = ELSEWHERE + (1 - ELSEWHERE) * batch.textured * batch.seen
    return endpoint_error(displacement.float(), batch.displacement, weight)


def of_displacement(net: Network, batch: Batch) -> Tensor:
    """The end-point error."""
    return end_point(net(batch.fixed, batch.moving).displacement, batch)


def of_levels(net: Any, batch: Batch) -> Tensor:
    """The end-point errors after every level, half as important from one to the next coarser.

    The last one's error must be smooth too: what is wrong by different amounts from pixel to pixel folds.
    """
    found = net.levels(batch.fixed, batch.moving)
    errors = [end_point(field, batch) for field in found]
    weights = [0.5 ** (len(errors) - 1 - k) for k in range(len(errors))]
    total = torch.stack([w * e for w, e in zip(weights, errors, strict=True)])
    return total.sum() / sum(weights) + ROUGH * diffusion(found[-1].float() - batch.displacement)


def of_affine(net: Any, batch: Batch) -> Tensor:
    """Mean distance of one step's affine map from the true one over the image, in pixels.

    The displacements that the map is fitted to are told the truth too, half as loudly: through the fit alone
    they would learn it slowly.
    """
    shape = tuple(batch.fixed.shape[2:])
    found, flows = net.fit(batch.fixed, batch.moving)
    fit = endpoint_error(*(affines.displacement(affine, shape) for affine in (found, batch.affine)))
    errors = [end_point(halves_to(flow, shape), batch) for flow in flows]
    return fit + 0.5 * torch.stack(errors).mean()


OBJECTIVES: dict[str, Objective] = {"displacement": of_displacement, "levels": of_levels, "affine": of_affine}
