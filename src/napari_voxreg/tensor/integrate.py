"""The flow of a stationary velocity by scaling and squaring (Arsigny et al., MICCAI 2006)."""

from __future__ import annotations

import math

from torch import Tensor

from .warp import identity, normalised, sample, warp_batch


def squarings(longest: float, at_least: int = 4, at_most: int = 12) -> int:
    """Squarings for a longest velocity in nodes, so that the first step is below half a node."""
    return min(at_most, max(at_least, math.ceil(math.log2(max(2 * longest, 1.0)))))


def integrate(velocity: Tensor, steps: int) -> Tensor:
    """Displacement at time 1, (d, *shape) in nodes, of a velocity in nodes; constant outside its grid.

    Interpolates as `transforms.StationaryVelocity` does, so both give the same map.
    """
    shape = tuple(velocity.shape[1:])
    here = identity(shape, velocity)
    field = velocity / 2**steps
    for _ in range(steps):
        field = field + sample(field, normalised(here + field, shape))
    return field


def integrate_batch(velocity: Tensor, steps: int) -> Tensor:
    """`integrate` for a batch of velocities (B, d, *shape), with a gradient that takes little memory."""
    field = velocity / 2**steps
    for _ in range(steps):
        field = field + warp_batch(field, field)
    return field
