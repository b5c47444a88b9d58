"""The linear system of one Gauss-Newton step on the control grid."""

from __future__ import annotations

import torch
from torch import Tensor


def stiffness(field: Tensor, weights: list[float]) -> Tensor:
    """Minus the Laplacian of each channel of (d, *shape), free at the rim; `weights` scale the axes."""
    result = torch.zeros_like(field)
    for axis, weight in enumerate(weights, start=1):
        n = field.shape[axis]
        if n < 2:
            continue
        step = (field.narrow(axis, 1, n - 1) - field.narrow(axis, 0, n - 1)) * weight
        result.narrow(axis, 1, n - 1).add_(step)
        result.narrow(axis, 0, n - 1).sub_(step)
    return result


def step(force: Tensor, curvature: Tensor, velocity: Tensor, weights: list[float], iterations: int) -> Tensor:
    """Minimise 1/2 x'Hx - f'x + 1/2 (v + x)'L(v + x) by preconditioned conjugate gradients.

    Parameters
    ----------
    force : Tensor, shape (d, *shape)
        Minus the gradient of the data term at each node.
    curvature : Tensor, shape (d, d, *shape)
        Its (Gauss-Newton) Hessian, one positive matrix a node.
    velocity : Tensor, shape (d, *shape)
        The current field v, which L smooths together with the step.
    weights : list of float
        Of L along each axis; see `stiffness`.
    iterations : int
        Of conjugate gradients: each lets a step spread one node further.
    """
    d = force.shape[0]
    spread = 2 * sum(weights)
    inverse = _inverse(curvature + spread * _eye(d, force))
    residual = force - stiffness(velocity, weights)
    x = torch.zeros_like(force)
    z = _times(inverse, residual)
    direction = z
    slope = (residual * z).sum()
    for _ in range(iterations):
        applied = _times(curvature, direction) + stiffness(direction, weights)
        length = slope / (direction * applied).sum().clamp_min(1e-30)
        x = x + length * direction
        residual = residual - length * applied
        z = _times(inverse, residual)
        next_slope = (residual * z).sum()
        direction = z + (next_slope / slope.clamp_min(1e-30)) * direction
        slope = next_slope
    return x


def _eye(d: int, like: Tensor) -> Tensor:
    return torch.eye(d, dtype=like.dtype, device=like.device).view(d, d, *(1,) * d)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """A matrix (d, d, *shape) times a vector (d, *shape) at each node."""
    return (matrix * vector[None]).sum(1)


def _inverse(m: Tensor) -> Tensor:
    """Inverse of a positive matrix (d, d, *shape) at each node, d 2 or 3."""
    if m.shape[0] == 2:
        a, b, c = m[0, 0], m[0, 1], m[1, 1]
        rows = [[c, -b], [-b, a]]
        return torch.stack([torch.stack(row) for row in rows]) / (a * c - b * b)
    a, b, c, e, f, i = m[0, 0], m[0, 1], m[0, 2], m[1, 1], m[1, 2], m[2, 2]
    x, y, z = e * i - f * f, c * f - b * i, b * f - c * e
    u, v, w = a * i - c * c, b * c - a * f, a * e - b * b
    rows = [[x, y, z], [y, u, v], [z, v, w]]
    return torch.stack([torch.stack(row) for row in rows]) / (a * x + b * y + c * z)
