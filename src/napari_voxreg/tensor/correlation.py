"""Local correlation of two images or feature maps at every shift, and the displacement it indicates."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from .similarity import box_mean_batch

FIRST_SIDE = {
    2: 128,
    3: 48,
}  # longest side in the first pass, pixels: about that of training
LAST_SIDE = {2: 256, 3: 112}  # pixels; beyond, a field at half resolution gains little for its time
WINDOW = 5  # pixels, of the local correlation
FAINT = 4e-4  # variance of a window, below which it carries little information


def local_correlation(here: Tensor, there: Tensor, radius: int) -> Tensor:
    """Squared correlation in windows of images (B, 1, *shape) at every shift, ordered as `correlation`."""
    means, variances = zip(*(moments(image, WINDOW) for image in (here, there)), strict=True)
    found, side = [], 2 * radius + 1
    others = [shifted(x, radius, "replicate") for x in (there, means[1], variances[1])]
    # One row of shifts at a time: one by one is slower, all at once takes much memory.
    for k in range(0, len(others[0]), side):
        image, mean, variance = (torch.cat(some[k : k + side], 1) for some in others)
        covariance = box_mean_batch(here * image, WINDOW) - means[0] * mean
        found.append(covariance**2 / ((variances[0] + FAINT) * (variance + FAINT)))
    return torch.cat(found, 1)


def moments(images: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Local mean and variance of (B, C, *shape)."""
    mean = box_mean_batch(images, window)
    return mean, (box_mean_batch(images**2, window) - mean**2).clamp_min(0)


def correlation(here: Tensor, there: Tensor, radius: int) -> Tensor:
    """Scalar products of features at every shift up to `radius`, (B, (2 radius + 1)^d, *shape).

    Features are (B, C, *shape) of unit length; products are multiplied by the square root of C. The shift
    along the first axis varies slowest.
    """
    products = _one_by_one if here.device.type == "cpu" else _all_at_once
    return products(here, there, radius) * here.shape[1] ** 0.5


def _one_by_one(here: Tensor, there: Tensor, radius: int) -> Tensor:
    """One shift at a time: fits into a CPU's cache."""
    return torch.stack([(here * window).sum(1) for window in shifted(there, radius)], dim=1)


def _all_at_once(here: Tensor, there: Tensor, radius: int) -> Tensor:
    """All shifts at once: few kernel launches, which is what counts on a GPU."""
    d = here.ndim - 2
    windows = F.pad(there, (radius,) * (2 * d))
    for axis, n in enumerate(here.shape[2:], 2):
        windows = windows.unfold(axis, n, 1)
    places, shifts = "xyz"[:d], "XYZ"[:d]
    return torch.einsum(f"bc{places},bc{shifts}{places}->b{shifts}{places}", here, windows).flatten(1, d)


def shifted(images: Tensor, radius: int, beyond: str = "constant") -> list[Tensor]:
    """The images (B, C, *shape) at every shift up to `radius`, first axis slowest.

    Parameters
    ----------
    beyond : str
        Padding outside the image: zeros ("constant") or the border's values ("replicate").
    """
    d, shape = images.ndim - 2, images.shape[2:]
    padded = F.pad(images, (radius,) * (2 * d), mode=beyond)
    found = []
    for shift in product(range(2 * radius + 1), repeat=d):
        window = padded
        for axis, (start, n) in enumerate(zip(shift, shape, strict=True)):
            window = window.narrow(axis + 2, start, n)
        found.append(window)
    return found


def soft_argmax(scores: Tensor, radius: int) -> Tensor:
    """Mean of all shifts, weighted by the softmax of their scores.

    Parameters
    ----------
    scores : Tensor, shape (B, (2 radius + 1)^d, *shape)
        In the order of `correlation`.
    radius : int

    Returns
    -------
    Tensor, shape (B, d, *shape)
    """
    d = scores.ndim - 2
    steps = range(-radius, radius + 1)
    shifts = torch.tensor(list(product(steps, repeat=d)), dtype=scores.dtype, device=scores.device)
    return torch.einsum("bs...,sd->bd...", torch.softmax(scores, dim=1), shifts)


def upsample(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Linear upsampling of (B, C, *coarse) between pixel centres, the counterpart of means over blocks."""
    if tuple(values.shape[2:]) == shape:
        return values
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    return F.interpolate(values, size=shape, mode=mode, align_corners=False)
