"""Smooth random fields, the material of synthetic images and motions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...tensor.warp import apply_along


def smooth_noise(
    count: int, channels: int, shape: tuple[int, ...], scale: float, generator: torch.Generator
) -> Tensor:
    """Random fields that change over about `scale` pixels, (count, channels, *shape), deviation 1.

    Cubic B-splines with normal numbers for coefficients; where their knots lie is random too.
    """
    matrices = [_splines(n, scale, generator) for n in shape]
    nodes = [matrix.shape[1] for matrix in matrices]
    coefficients = torch.randn(count * channels, *nodes, generator=generator)
    field = apply_along(coefficients, matrices).view(count, channels, *shape)
    return field.div_(field.std().clamp_min(1e-6))


def _splines(pixels: int, scale: float, generator: torch.Generator) -> Tensor:
    """Cubic B-splines `scale` pixels apart at every pixel, (pixels, splines)."""
    places = (torch.arange(pixels) + scale * torch.rand(1, generator=generator)) / scale + 1
    distance = (places[:, None] - torch.arange(math.ceil(pixels / scale) + 4)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp_min(0) ** 3 / 6
    return torch.where(distance < 1, near, far)


def uniform(generator: torch.Generator, low: float, high: float, *size: int) -> Tensor:
    """Uniform numbers."""
    return low + (high - low) * torch.rand(*size, generator=generator)


def chance(generator: torch.Generator, probability: float, count: int, ndim: int) -> Tensor:
    """1 with that probability, else 0, for each of a batch, (count, 1, 1, 1...)."""
    hit = torch.rand(count, generator=generator) < probability
    return hit.float().view(count, *(1,) * (ndim + 1))
