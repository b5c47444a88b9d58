"""Vector momentum-parametrised stationary velocity fields, vSVF (Shen, Han, Xu, Niethammer, CVPR 2019).

Fields are (B, d, *shape) tensors in array-axis order, in nodes of their own lattice unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...tensor.warp import apply_along, warp_batch

SIGMAS = (0.05, 0.1, 0.15, 0.2, 0.25)  # of the image's sides
WEIGHTS = (1 / 15, 2 / 15, 3 / 15, 4 / 15, 5 / 15)
RK4_STEPS = (10, 100)  # at least, at most
FARTHEST = 2.5  # nodes in a step, summed over the axes: from 2.83 on the advection explodes
LEAST_GAIN = 1e-8  # frequencies that the narrowest Gaussian weakens more than this are left out


def smooth(momentum: Tensor) -> Tensor:
    """The velocity K m, with K a weighted sum of Gaussians whose widths are parts of the image's sides.

    Gaussians are diagonal in the cosine basis, of which only low frequencies survive, so all five together
    take two small matrix products an axis. The rim reflects: constants stay what they are, and K is symmetric
    and positive, so that the energy <v, m> is never negative.
    """
    shape = tuple(momentum.shape[2:])
    bases = [_cosines(n, momentum) for n in shape]
    gain = _gain([len(basis) for basis in bases], momentum)
    spectrum = apply_along(momentum.flatten(0, 1), bases) * gain
    return apply_along(spectrum, [basis.T for basis in bases]).unflatten(0, momentum.shape[:2])


def _cosines(n: int, like: Tensor) -> Tensor:
    """Orthonormal cosines (frequencies, n) that are even about both ends, as far as they survive."""
    highest = math.sqrt(-2 * math.log(LEAST_GAIN)) / (math.pi * min(SIGMAS))
    k = torch.arange(min(n, math.ceil(highest) + 1), dtype=like.dtype, device=like.device)
    x = (torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) / n
    basis = torch.cos(math.pi * k[:, None] * x) * math.sqrt(2 / n)
    return torch.cat([basis[:1] / math.sqrt(2), basis[1:]])


def _gain(counts: list[int], like: Tensor) -> Tensor:
    """What K multiplies each product of cosines with, (*counts)."""
    squares = [(math.pi * torch.arange(n, dtype=like.dtype, device=like.device)) ** 2 for n in counts]
    total = torch.stack(torch.meshgrid(*squares, indexing="ij")).sum(0)
    terms = [w * torch.exp(-(s**2) * total / 2) for s, w in zip(SIGMAS, WEIGHTS, strict=True)]
    return torch.stack(terms).sum(0)


def advect(start: Tensor, velocity: Tensor) -> Tensor:
    """Displacement at time 1 of the map phi with phi_t + Dphi v = 0 that begins as x + start(x).

    The map becomes the start after the flow of -v. Central differences, Runge and Kutta's fourth order in 10
    steps, or more where the velocity is too fast for them.
    """
    shares = []
    for axis, n in enumerate(velocity.shape[2:]):
        # Neighbours lie two nodes apart, at the rim one.
        apart = torch.full((n,), 0.5, dtype=velocity.dtype, device=velocity.device)
        apart[[0, -1]] = 1
        shares.append(velocity[:, axis : axis + 1] * apart.view(-1, *(1,) * (velocity.ndim - 3 - axis)))

    def rate(field: Tensor) -> Tensor:
        moved = velocity
        for axis, share in enumerate(shares, 2):
            moved = torch.addcmul(moved, _neighbours(field, axis), share)
        return -moved

    return _rk4(rate, start, _steps(velocity))


def _neighbours(field: Tensor, axis: int) -> Tensor:
    """The next node minus the one before; beyond the rim the field goes on with its last value."""
    n = field.shape[axis]
    after = torch.cat([field.narrow(axis, 1, n - 1), field.narrow(axis, n - 1, 1)], axis)
    before = torch.cat([field.narrow(axis, 0, 1), field.narrow(axis, 0, n - 1)], axis)
    return after - before


def carry(start: Tensor, velocity: Tensor) -> Tensor:
    """Displacement at time 1 of points that begin at x + start(x) and swim with v; constant beyond its rim.

    From the inverse of `advect`'s start it leads to the inverse of `advect`'s map: phi^-1_t = v o phi^-1.
    """
    return _rk4(lambda field: warp_batch(velocity, field), start, _steps(velocity))


def _steps(velocity: Tensor) -> int:
    """How many steps from time 0 to 1 keep the advection stable."""
    least, most = RK4_STEPS
    fastest = velocity.detach().abs().amax((0, *range(2, velocity.ndim)))
    # In this order of arguments a velocity that is not a number gets the most steps, not an exception.
    return max(least, math.ceil(min(most, float(fastest.sum()) / FARTHEST)))


def _rk4(rate: Callable[[Tensor], Tensor], value: Tensor, steps: int) -> Tensor:
    """Runge and Kutta's fourth order from time 0 to 1."""
    dt = 1 / steps
    for _ in range(steps):
        k1 = rate(value)
        k2 = rate(value + k1 * (dt / 2))
        k3 = rate(value + k2 * (dt / 2))
        k4 = rate(value + k3 * dt)
        value = value + (k1 + 2 * (k2 + k3) + k4) * (dt / 6)
    return value


def energy(velocity: Tensor, momentum: Tensor) -> Tensor:
    """<v, m>, how much a deformation costs: mean over pixels and batch, lengths in the image's sides.

    Parameters
    ----------
    velocity, momentum : Tensor, shape (B, d, *shape)
        In nodes of the lattice they lie on.
    """
    sides = extent(tuple(velocity.shape[2:]), velocity)
    return (velocity * momentum / sides**2).sum(1).mean()


def extent(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Sides from the first to the last node, (d, 1, ...): turns parts of the image's sides into nodes."""
    sides = torch.tensor([max(n - 1, 1) for n in shape], dtype=like.dtype, device=like.device)
    return sides.view(-1, *(1,) * len(shape))
