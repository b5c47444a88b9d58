"""Batches of affine maps: (B, d, d + 1), matrix and translation in pixels about the images' centre.

With the centre c = (shape - 1) / 2 of both images, x is mapped to c + A (x - c) + b; A is ``[..., :d]``, b
the last column. Like displacements, they map points of the fixed image to points of the moving image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .warp import identity


def identities(count: int, ndim: int, like: Tensor) -> Tensor:
    """Identity maps (count, d, d + 1), of the type and on the device of `like`."""
    one = torch.eye(ndim, ndim + 1, dtype=like.dtype, device=like.device)
    return one.expand(count, ndim, ndim + 1)


def rotation(degrees: float, ndim: int, like: Tensor) -> Tensor:
    """Rotation (1, d, d + 1) by an angle in the plane of the last two axes."""
    found = identities(1, ndim, like).clone()
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    found[0, -2:, -3:-1] = found.new_tensor([[c, -s], [s, c]])
    return found


def half_side(shape: tuple[int, ...]) -> float:
    """Half the longest side in pixels: in this unit, translations are about as large as matrix entries."""
    return max((max(shape) - 1) / 2, 0.5)


def displacement(affine: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Displacement (B, d, *shape) in pixels of a map (B, d, d + 1)."""
    d = len(shape)
    centre = torch.tensor([(n - 1) / 2 for n in shape], dtype=affine.dtype, device=affine.device)
    points = identity(shape, affine).flatten(1) - centre[:, None]
    change = affine - identities(len(affine), d, affine)
    # Half precision would round points far from the centre by a tenth of a pixel.
    with torch.autocast(affine.device.type, enabled=False):
        return (change[:, :, :d] @ points + change[:, :, d:]).unflatten(2, shape)


def compose(second: Tensor, first: Tensor) -> Tensor:
    """The map that applies `first`, then `second`."""
    d = first.shape[1]
    with torch.autocast(first.device.type, enabled=False):
        moved = second[:, :, :d] @ first
    return torch.cat([moved[:, :, :d], moved[:, :, d:] + second[:, :, d:]], 2)


def invert(affine: Tensor) -> Tensor:
    """Inverse maps.

    Raises
    ------
    RuntimeError
        If a matrix is singular (raised by torch).
    """
    d = affine.shape[1]
    matrix = torch.linalg.inv(affine[:, :, :d])
    return torch.cat([matrix, -matrix @ affine[:, :, d:]], 2)
