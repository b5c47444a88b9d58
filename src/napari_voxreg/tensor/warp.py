"""Sampling of images and fields; the only module that uses normalised [-1, 1] coordinates.

Tensors are channels first, (C, *shape); fields hold one channel for each array axis, in array-axis order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def identity(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Index coordinates of every pixel, (d, *shape), of the type and on the device of `like`."""
    axes = [torch.arange(n, dtype=like.dtype, device=like.device) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def normalised(coordinates: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Index coordinates (d, *grid) as `grid_sample` requires them: -1 to 1, last axis first, (*grid, d).

    Those of a batch, (B, d, *grid), give (B, *grid, d).
    """
    d = len(shape)
    scale = torch.tensor([2.0 / max(n - 1, 1) for n in shape], dtype=coordinates.dtype)
    scaled = coordinates * scale.to(coordinates.device).view(-1, *(1,) * d) - 1
    return scaled.flip(-d - 1).movedim(-d - 1, -1)


def sample(image: Tensor, grid: Tensor) -> Tensor:
    """Linear interpolation at normalised coordinates; outside the image its border is repeated.

    Parameters
    ----------
    image : Tensor, shape (C, *shape)
    grid : Tensor, shape (*out, d)
        From `normalised`, or interpolated from such coordinates, which are linear in space.

    Returns
    -------
    Tensor, shape (C, *out)
    """
    options: dict[str, Any] = {"mode": "bilinear", "padding_mode": "border", "align_corners": True}
    if grid.shape[-1] == 2:
        return F.grid_sample(image[None], grid[None], **options)[0]
    # torch shares the work among threads by batch only, so each slice of the output is a batch of its own.
    slices = image[None].expand(len(grid), *image.shape)
    return F.grid_sample(slices, grid[:, None], **options)[:, :, 0].movedim(1, 0)


def warp(image: Tensor, displacement: Tensor) -> Tensor:
    """The image (C, *shape) sampled at x + u(x), u (d, *shape) in pixels; outside, its border is repeated."""
    shape = tuple(image.shape[1:])
    return sample(image, normalised(identity(shape, displacement) + displacement, shape))


def warp_batch(images: Tensor, displacement: Tensor) -> Tensor:
    """A batch of images (B, C, *shape) sampled at x + u(x), u (B, d, *out) in pixels of the images.

    For training: the gradient needs no more memory than the images, unlike that of `warp` in 3D. The output
    has the shape of the displacement; outside an image its border is repeated.
    """
    shape = tuple(images.shape[2:])
    out = tuple(displacement.shape[2:])
    grid = normalised(identity(out, displacement) + displacement, shape)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def resize(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Linear resampling of (B, C, *shape) with the outermost nodes in place."""
    if tuple(images.shape[2:]) == shape:
        return images
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    return F.interpolate(images, size=shape, mode=mode, align_corners=True)


def interpolation(positions: Tensor, nodes: int) -> Tensor:
    """The matrix (N, nodes) that interpolates values at nodes 0, 1, ... linearly at N positions.

    Positions beyond the outermost nodes take the value there.
    """
    distance = (positions.clamp(0, nodes - 1)[:, None] - torch.arange(nodes, device=positions.device)).abs()
    return (1 - distance).clamp_min(0).to(torch.float32)


def apply_along(field: Tensor, matrices: list[Tensor]) -> Tensor:
    """A matrix (out, in) applied along each spatial axis of (C, *shape): separable interpolation.

    With the transposed matrices it is the adjoint.
    """
    d = len(matrices)
    field = field @ matrices[-1].T
    if d == 3:
        field = matrices[1] @ field
    first = matrices[0] @ field.flatten(2)
    return first.reshape(field.shape[0], matrices[0].shape[0], *field.shape[2:])
