"""What each recipe minimises on synthetic pairs, whose map is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...nets.architectures.network import Network
from ...nets.losses import diffusion, endpoint_error, inside
from ...tensor import affine as affines
from ...tensor.similarity import mean
from ...tensor.warp import identity, warp_batch
from .synthetic_pairs import Batch

BLACK = 0.02  # up to which the fixed image shows nothing
ELSEWHERE = 0.3  # weight of a flat pixel against a textured one: there the map can only be guessed

SCALES = (1, 2, 4)  # pixels averaged before images are compared: large motions are found at the coarsest
SMOOTH = 0.15  # weight of the squared slopes against the difference in brightness
COARSER = 0.5  # weight of a level against that of the next finer one
ROUGH = 3.0  # weight of the squared slopes of the error against the error in pixels

Objective = Callable[[Any, Batch], Tensor]


def end_point(displacement: Tensor, batch: Batch) -> Tensor:
    """Mean distance from the true map, pixels; flat and unmatched pixels count little."""
    weight = ELSEWHERE + (1 - ELSEWHERE) * batch.textured * batch.seen
    return endpoint_error(displacement.float(), batch.displacement, weight)


def of_displacement(net: Network, batch: Batch) -> Tensor:
    """The end-point error."""
    return end_point(net(batch.fixed, batch.moving).displacement, batch)


def of_levels(net: Any, batch: Batch) -> Tensor:
    """The end-point errors after every level, half as important from one to the next coarser.

    The last one's error must be smooth too: an error that differs from pixel to pixel causes folding.
    """
    found = net.levels(batch.fixed, batch.moving)
    errors = [end_point(field, batch) for field in found]
    weights = [0.5 ** (len(errors) - 1 - k) for k in range(len(errors))]
    total = torch.stack([w * e for w, e in zip(weights, errors, strict=True)])
    return total.sum() / sum(weights) + ROUGH * diffusion(found[-1].float() - batch.displacement)


def of_matches(net: Any, batch: Batch) -> Tensor:
    """How improbable the true matches are, both ways: the negative logarithm, mean over textured places."""
    matches = net.matches(batch.fixed, batch.moving)
    lattice = matches.shape
    shape = tuple(batch.fixed.shape[2:])
    block = [n // m for n, m in zip(shape, lattice, strict=True)]
    pool = F.avg_pool2d if len(shape) == 2 else F.avg_pool3d
    moved = pool(batch.displacement, block)
    moved = moved / moved.new_tensor(block).view(1, -1, *(1,) * len(shape))
    weight = pool(batch.textured * batch.seen, block) * inside(moved)
    places = (identity(lattice, moved) + moved).flatten(2)
    lower = places.floor()
    probable = matches.log_probabilities()
    total = torch.zeros_like(places[:, 0])
    # A true place between four (in 3D eight) of the lattice counts for each of them, by its nearness.
    for corner in product((0, 1), repeat=len(shape)):
        index, near = torch.zeros_like(lower[:, 0]).long(), torch.ones_like(total)
        for axis, (step, n) in enumerate(zip(corner, lattice, strict=True)):
            index = index * n + (lower[:, axis] + step).clamp(0, n - 1).long()
            near = near * (1 - (places[:, axis] - lower[:, axis] - step).abs())
        total = total - near * probable.gather(2, index[..., None])[..., 0]
    return mean(total, weight.flatten(1))


def of_affine(net: Network, batch: Batch) -> Tensor:
    """Mean distance of an affine map from the true one, pixels, where the fixed image is not black."""
    affine = net(batch.fixed, batch.moving).affine
    return _affine_distance(affine, batch)


def _affine_distance(affine: Tensor | None, batch: Batch) -> Tensor:
    if affine is None:
        raise ValueError("This objective is for networks with an affine part; choose another recipe.")
    shape = tuple(batch.fixed.shape[2:])
    found, truth = (affines.displacement(x.float(), shape) for x in (affine, batch.affine))
    return endpoint_error(found, truth, (batch.fixed > BLACK).float())


def of_both(net: Network, batch: Batch) -> Tensor:
    """The end-point error of the whole and the distance of the affine part."""
    found = net(batch.fixed, batch.moving)
    return end_point(found.displacement, batch) + _affine_distance(found.affine, batch)


def of_coarse_and_fine(net: Network, batch: Batch) -> Tensor:
    """The end-point errors of the joint-saliency network's prediction and of its coarse displacements."""
    found = net(batch.fixed, batch.moving)
    coarse = [end_point(u, batch) for name, u in found.extras.items() if "displacement" in name]
    return end_point(found.displacement, batch) + torch.stack(coarse).mean()


def of_similarity(net: Network, batch: Batch) -> Tensor:
    """The difference of the images and the roughness of the map, without the true one.

    Each pixel has the weight that the network gives it; see `Network.loss_weight`. Of several displacements,
    each is half as important as the next finer one.
    """
    _, fields = net.with_levels(batch.fixed, batch.moving)
    costs = [_difference(net, batch, u.float()) + SMOOTH * diffusion(u.float()) for u in fields]
    weights = [COARSER ** (len(costs) - 1 - k) for k in range(len(costs))]
    return torch.stack([w * cost for w, cost in zip(weights, costs, strict=True)]).sum() / sum(weights)


def _difference(net: Network, batch: Batch, displacement: Tensor) -> Tensor:
    """Charbonnier's difference of the images under a displacement, mean over scales and pairs."""
    pool = F.avg_pool2d if displacement.ndim == 4 else F.avg_pool3d
    found = []
    for size in SCALES:
        fixed, moving, field = (pool(x, size) for x in (batch.fixed, batch.moving, displacement))
        warped = warp_batch(moving, field / size)
        difference = ((fixed - warped) ** 2 + 1e-6).sqrt()
        weight = net.loss_weight(fixed, warped)
        if weight is not None:
            # By the mean of each pair, else pairs with much structure would count more.
            axes = tuple(range(1, weight.ndim))
            difference = difference * weight / weight.mean(axes, keepdim=True).clamp_min(1e-6)
        found.append(difference.mean())
    return torch.stack(found).mean()


OBJECTIVES: dict[str, Objective] = {
    "displacement": of_displacement,
    "levels": of_levels,
    "matches": of_matches,
    "affine": of_affine,
    "affine and displacement": of_both,
    "coarse and fine": of_coarse_and_fine,
    "similarity": of_similarity,
}
