"""Features for comparing images of any contrast: one block for all levels of a pyramid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...tensor.correlation import moments
from .network import conv

SLOPE = 0.1
WINDOW = 9  # pixels, of the local contrast


def stem(ndim: int, features: int) -> nn.Sequential:
    """Layers from intensity and local contrast to features at half the resolution."""
    layer, half = conv(ndim), features // 2
    return nn.Sequential(
        layer(2, half, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        _halved(ndim),
        layer(half, features, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        layer(features, features, 3, padding=1),
    )


def down(ndim: int, features: int) -> nn.Sequential:
    """Layers from the features of a level to those of the next coarser one."""
    layer = conv(ndim)
    return nn.Sequential(
        nn.LeakyReLU(SLOPE),
        _halved(ndim),
        layer(features, features, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        layer(features, features, 3, padding=1),
    )


def _halved(ndim: int) -> nn.Module:
    """Means of two pixels along each axis: each coarse pixel is centred on its fine ones."""
    return nn.AvgPool2d(2) if ndim == 2 else nn.AvgPool3d(2)


def unit_length(features: Tensor) -> Tensor:
    """Features (B, C, *shape) of unit length at each pixel; faster than `F.normalize` on a CPU."""
    return features * (features * features).sum(1, keepdim=True).clamp_min(1e-24).rsqrt()


def contrast(images: Tensor) -> tuple[Tensor, Tensor]:
    """The images with their local contrast, (B, 2, *shape), and their local variance, (B, 1, *shape).

    Local contrast is intensity minus its mean in a window, divided by its standard deviation there.
    """
    mean, variance = moments(images, WINDOW)
    local = (images - mean) / (variance + 4e-4).sqrt()
    return torch.cat([2 * images - 1, local], dim=1), variance
