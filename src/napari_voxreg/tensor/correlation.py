"""How alike two images are around each place, and where that points to."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from .similarity import box_mean_batch

FIRST_SIDE = {2: 128, 3: 48}  # pixels of the first look of what compares nearby: about those of training
LAST_SIDE = {2: 256, 3: 112}  # beyond which a field at half the resolution gains little for its time
WINDOW = 5  # in which images are compared
FAINT = 4e-4  # variance below which a window of an image tells little


def local_correlation(here: Tensor, there: Tensor, radius: int) -> Tensor:
    """Squared correlation in windows of images (B, 1, *shape) at every shift, ordered as `correlation`."""
    means, variances = zip(*(moments(image, WINDOW) for image in (here, there)), strict=True)
    found, side = [], 2 * radius + 1
    others = [shifted(x, radius, "replicate") for x in (there, means[1], variances[1])]
    # A row of shifts at once: one by one takes longer, all of them take much memory.
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
    """Products of features with those at every shift up to `radius`, (B, (2 radius + 1)^d, *shape).

    Of features (B, C, *shape) of length 1, times the root of C; the first axis' shift is the slowest.
    """
    products = _one_by_one if here.device.type == "cpu" else _all_at_once
    return products(here, there, radius) * here.shape[1] ** 0.5


def _one_by_one(here: Tensor, there: Tensor, radius: int) -> Tensor:
    """Of little memory, which a CPU's cache holds."""
    return torch.stack([(here * window).sum(1) for window in shifted(there, radius)], dim=1)


def _all_at_once(here: Tensor, there: Tensor, radius: int) -> Tensor:
    """Of few kernels, whose number is what counts on a GPU."""
    d = here.ndim - 2
    windows = F.pad(there, (radius,) * (2 * d))
    for axis, n in enumerate(here.shape[2:], 2):
        windows = windows.unfold(axis, n, 1)
    places, shifts = "xyz"[:d], "XYZ"[:d]
    return torch.einsum(f"bc{places},bc{shifts}{places}->b{shifts}{places}", here, windows).flatten(1, d)


def shifted(images: Tensor, radius: int, beyond: str = "constant") -> list[Tensor]:
    """The images (B, C, *shape) as seen through every shift up to `radius`, first axis slowest.

    Parameters
    ----------
    beyond : str
        What lies beyond the rim: nothing ("constant") or more of the border ("replicate").
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


def mean_shift(scores: Tensor, radius: int) -> Tensor:
    """The mean of all shifts, weighted by the exponents of their scores.

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


def halves_to(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Linear interpolation of (B, C, *coarse) between pixel middles, the partner of means over blocks."""
    if tuple(values.shape[2:]) == shape:
        return values
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    return F.interpolate(values, size=shape, mode=mode, align_corners=False)
