"""What a look around tells: channels that say where the moving image resembles the fixed one, and how well.

A U-Net that sees nothing but two images must first find out by itself how to compare them, which takes it
tens of thousands of steps. With these channels beside the images it learns from the first hundred on.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from .similarity import box_mean

FIRST_SIDE = {2: 64, 3: 48}  # pixels of the first look of what compares nearby: about those of training
SCALES = (1, 2, 4)  # pixels averaged along each axis before images are compared
RADIUS = {2: 2, 3: 1}  # of the shifts, in such pixels
WINDOW = 5  # in which images are compared
FAINT = 4e-4  # variance below which a window tells little
SHARPNESS = 15.0  # of the choice among shifts
SIZE = 0.25  # brings displacements in pixels to about the size of the images' values


def channels(ndim: int) -> int:
    """How many there are."""
    return len(SCALES) * (ndim + 1)


def compared(fixed: Tensor, moving: Tensor) -> Tensor:
    """Where squared local correlation leads, and how high it is there.

    Being squared, it does not mind inverted contrast. Nothing is learnt through it.

    Parameters
    ----------
    fixed, moving : Tensor, shape (B, 1, *shape)
        In [0, 1].

    Returns
    -------
    Tensor, shape (B, channels, *shape)
        For each of `SCALES` the mean shift in pixels of the images times `SIZE`, and the best correlation.
    """
    shape = tuple(fixed.shape[2:])
    radius = RADIUS[len(shape)]
    found = []
    with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
        for scale in SCALES:
            here, there = (_averaged(image.float(), scale) for image in (fixed, moving))
            alike = _correlations(here, there, radius)
            shift = scale * SIZE * mean_shift(SHARPNESS * alike, radius)
            found.append(halves_to(torch.cat([shift, alike.amax(1, keepdim=True)], 1), shape))
    return torch.cat(found, 1)


def beside(fixed: Tensor, moving: Tensor, compare: bool) -> Tensor:
    """Both images as channels, (B, 2, *shape), followed by those of `compared` if wanted."""
    images = torch.cat([fixed, moving], 1)
    return torch.cat([images, compared(fixed, moving)], 1) if compare else images


def _averaged(image: Tensor, size: int) -> Tensor:
    """Means over blocks, cut ones at the end included."""
    pool = F.avg_pool2d if image.ndim == 4 else F.avg_pool3d
    return image if size == 1 else pool(image, size, ceil_mode=True)


def _correlations(here: Tensor, there: Tensor, radius: int) -> Tensor:
    """Squared local correlation with the other image at every shift, (B, (2 radius + 1)^d, *shape)."""
    means, variances = zip(*(_moments(image) for image in (here, there)), strict=True)
    others = [shifted(x, radius, "replicate") for x in (there, means[1], variances[1])]
    found = []
    for image, mean, variance in zip(*others, strict=True):
        covariance = _window_mean(here * image) - means[0] * mean
        found.append(covariance**2 / ((variances[0] + FAINT) * (variance + FAINT)))
    return torch.cat(found, 1)


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    mean = _window_mean(image)
    return mean, (_window_mean(image**2) - mean**2).clamp_min(0)


def _window_mean(image: Tensor) -> Tensor:
    return box_mean(image.flatten(0, 1), WINDOW).view_as(image)


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
        In the order of `shifted`.
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
