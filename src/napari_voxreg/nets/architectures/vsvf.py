"""Vector momentum-parametrised stationary velocity fields, vSVF (Shen, Han, Xu, Niethammer, CVPR 2019).

Fields are (B, d, *shape) tensors in array-axis order, in nodes of their own lattice unless stated otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ...tensor.warp import apply_along, warp_batch

SIGMAS = (0.05, 0.1, 0.15, 0.2, 0.25)  # fractions of the image's sides
WEIGHTS = (1 / 15, 2 / 15, 3 / 15, 4 / 15, 5 / 15)
RK4_STEPS = (10, 100)  # at least, at most
MAX_STEP = 2.5  # nodes, summed over the axes; from 2.83 on the advection is unstable
FAINTEST = 1e-3  # gain below which frequencies of a velocity are not turned into momentum
MIN_GAIN = 1e-8  # of the narrowest Gaussian; frequencies with less are omitted


def smooth(momentum: Tensor) -> Tensor:
    """Velocity K m, with K a weighted sum of Gaussians whose widths are fractions of the image's sides.

    Gaussians are diagonal in the cosine basis and keep only low frequencies, so all five together take two
    small matrix products an axis. Borders are reflected: constants are preserved, and K is symmetric and
    positive, so that the energy <v, m> is never negative.
    """
    shape = tuple(momentum.shape[2:])
    bases = [_cosines(n, momentum) for n in shape]
    gain = _gain([len(basis) for basis in bases], momentum)
    spectrum = apply_along(momentum.flatten(0, 1), bases) * gain
    return apply_along(spectrum, [basis.T for basis in bases]).unflatten(0, momentum.shape[:2])


def momentum_of(velocity: Tensor) -> Tensor:
    """Momentum whose `smooth` is nearly a velocity: all of it at low frequencies, none at the highest.

    K has no stable inverse. Frequencies that it weakens below `FAINTEST` fade out.
    """
    shape = tuple(velocity.shape[2:])
    bases = [_cosines(n, velocity) for n in shape]
    gain = _gain([len(basis) for basis in bases], velocity)
    spectrum = apply_along(velocity.flatten(0, 1), bases) * (gain / (gain**2 + FAINTEST**2))
    return apply_along(spectrum, [basis.T for basis in bases]).unflatten(0, velocity.shape[:2])


def _cosines(n: int, like: Tensor) -> Tensor:
    """Orthonormal cosines (frequencies, n), even about both ends, up to the highest frequency kept."""
    highest = math.sqrt(-2 * math.log(MIN_GAIN)) / (math.pi * min(SIGMAS))
    k = torch.arange(min(n, math.ceil(highest) + 1), dtype=like.dtype, device=like.device)
    x = (torch.arange(n, dtype=like.dtype, device=like.device) + 0.5) / n
    basis = torch.cos(math.pi * k[:, None] * x) * math.sqrt(2 / n)
    return torch.cat([basis[:1] / math.sqrt(2), basis[1:]])


def _gain(counts: list[int], like: Tensor) -> Tensor:
    """Gain (*counts) of K for each product of cosines."""
    squares = [(math.pi * torch.arange(n, dtype=like.dtype, device=like.device)) ** 2 for n in counts]
    total = torch.stack(torch.meshgrid(*squares, indexing="ij")).sum(0)
    terms = [w * torch.exp(-(s**2) * total / 2) for s, w in zip(SIGMAS, WEIGHTS, strict=True)]
    return torch.stack(terms).sum(0)


def advect(start: Tensor, velocity: Tensor) -> Tensor:
    """Displacement at time 1 of the map phi with phi_t + Dphi v = 0 that is x + start(x) at time 0.

    The result is the map of `start` after the flow of -v. Central differences and fourth-order Runge-Kutta,
    in 10 steps or more, depending on the velocity.
    """
    shares = []
    for axis, n in enumerate(velocity.shape[2:]):
        # Neighbours are two nodes apart, at the border one.
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
    """The next node minus the previous one; outside the lattice the border is repeated."""
    n = field.shape[axis]
    after = torch.cat([field.narrow(axis, 1, n - 1), field.narrow(axis, n - 1, 1)], axis)
    before = torch.cat([field.narrow(axis, 0, 1), field.narrow(axis, 0, n - 1)], axis)
    return after - before


def transport(start: Tensor, velocity: Tensor) -> Tensor:
    """Displacement at time 1 of points that start at x + start(x) and move with v; v is constant outside.

    Applied to the inverse of `advect`'s `start`, it gives the inverse of `advect`'s map:
    phi^-1_t = v o phi^-1.
    """
    return _rk4(lambda field: warp_batch(velocity, field), start, _steps(velocity))


def _steps(velocity: Tensor) -> int:
    """Number of steps from time 0 to 1 that keeps the advection stable."""
    least, most = RK4_STEPS
    fastest = velocity.detach().abs().amax((0, *range(2, velocity.ndim)))
    # In this order of arguments, a NaN velocity gives the most steps instead of an exception.
    return max(least, math.ceil(min(most, float(fastest.sum()) / MAX_STEP)))


def _rk4(rate: Callable[[Tensor], Tensor], value: Tensor, steps: int) -> Tensor:
    """Fourth-order Runge-Kutta from time 0 to 1."""
    dt = 1 / steps
    for _ in range(steps):
        k1 = rate(value)
        k2 = rate(value + k1 * (dt / 2))
        k3 = rate(value + k2 * (dt / 2))
        k4 = rate(value + k3 * dt)
        value = value + (k1 + 2 * (k2 + k3) + k4) * (dt / 6)
    return value


def energy(velocity: Tensor, momentum: Tensor) -> Tensor:
    """Deformation energy <v, m>: mean over pixels and batch, lengths in the image's sides.

    Parameters
    ----------
    velocity, momentum : Tensor, shape (B, d, *shape)
        In nodes of their lattice.
    """
    sides = extent(tuple(velocity.shape[2:]), velocity)
    return (velocity * momentum / sides**2).sum(1).mean()


def extent(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Sides from the first to the last node, (d, 1, ...), to convert fractions of the sides into nodes."""
    sides = torch.tensor([max(n - 1, 1) for n in shape], dtype=like.dtype, device=like.device)
    return sides.view(-1, *(1,) * len(shape))
