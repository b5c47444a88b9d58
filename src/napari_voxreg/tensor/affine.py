"""Affine maps of batches: (B, d, d + 1), matrix and shift in pixels about the images' middle.

With the middle c = (shape - 1) / 2 of both images, x goes to c + A (x - c) + b; A is ``[..., :d]``, b the
last column. They map places of the fixed image to places of the moving image, like displacements.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .warp import identity


def identities(count: int, ndim: int, like: Tensor) -> Tensor:
    """Maps (count, d, d + 1) that move nothing, of the type and on the device of `like`."""
    one = torch.eye(ndim, ndim + 1, dtype=like.dtype, device=like.device)
    return one.expand(count, ndim, ndim + 1)


def turned(degrees: float, ndim: int, like: Tensor) -> Tensor:
    """The map (1, d, d + 1) that turns by an angle in the plane of the last two axes."""
    found = identities(1, ndim, like).clone()
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    found[0, -2:, -3:-1] = found.new_tensor([[c, -s], [s, c]])
    return found


def half_side(shape: tuple[int, ...]) -> float:
    """Half the longest side in pixels: the length in which shifts are as large as matrices' entries."""
    return max((max(shape) - 1) / 2, 0.5)


def displacement(affine: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What a map (B, d, d + 1) adds to every pixel's place, (B, d, *shape) in pixels."""
    d = len(shape)
    middle = torch.tensor([(n - 1) / 2 for n in shape], dtype=affine.dtype, device=affine.device)
    places = identity(shape, affine).flatten(1) - middle[:, None]
    change = affine - identities(len(affine), d, affine)
    # Half precision would round places far from the middle by a tenth of a pixel.
    with torch.autocast(affine.device.type, enabled=False):
        return (change[:, :, :d] @ places + change[:, :, d:]).unflatten(2, shape)


def compose(second: Tensor, first: Tensor) -> Tensor:
    """The map that applies `first`, then `second`."""
    d = first.shape[1]
    with torch.autocast(first.device.type, enabled=False):
        moved = second[:, :, :d] @ first
    return torch.cat([moved[:, :, :d], moved[:, :, d:] + second[:, :, d:]], 2)


def invert(affine: Tensor) -> Tensor:
    """The way back.

    Raises
    ------
    RuntimeError
        If a matrix is singular (torch's own).
    """
    d = affine.shape[1]
    matrix = torch.linalg.inv(affine[:, :, :d])
    return torch.cat([matrix, -matrix @ affine[:, :, d:]], 2)
