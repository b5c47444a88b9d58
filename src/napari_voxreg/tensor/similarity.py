"""Similarity of two images as differentiable costs (less is better), and the features they use.

Images are (C, *shape) tensors on one grid; `weight` (*shape) weights each pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

LNCC_WINDOW = 7
FLOOR = 1e-3  # fraction of an image's variance: local variance below it is noise


def box_mean(image: Tensor, size: int) -> Tensor:
    """Mean over windows of `size` (odd) pixels along each spatial axis of (C, *shape).

    Outside the image its border's values are repeated. Sums of 2, 4, ... neighbours are shared, so a window
    of 7 takes four additions an axis. Unlike cumulative sums, this loses no digits in float32.
    """
    for axis in range(1, image.ndim):
        image = _box_along(image, size, axis)
    return image / size ** (image.ndim - 1)


def box_mean_batch(images: Tensor, size: int) -> Tensor:
    """`box_mean` of every channel of a batch, (B, C, *shape)."""
    return box_mean(images.flatten(0, 1), size).view_as(images)


def _box_along(image: Tensor, size: int, axis: int) -> Tensor:
    """Sums over windows along one axis."""
    n, half = image.shape[axis], size // 2
    rim = [image.narrow(axis, 0, 1)] * half, [image.narrow(axis, n - 1, 1)] * half
    run = torch.cat([*rim[0], image, *rim[1]], axis)
    total = run.narrow(axis, 0, n)
    start, width = 1, 1
    while 2 * width <= size:
        run = run.narrow(axis, 0, run.shape[axis] - width) + run.narrow(axis, width, run.shape[axis] - width)
        width *= 2
        if size & width:
            total = total + run.narrow(axis, start, n)
            start += width
    return total


def mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean over all pixels, weighted."""
    if weight is None:
        return values.mean()
    return (values * weight).sum() / (weight.sum() * (values.numel() / weight.numel())).clamp_min(1e-6)


def mse(a: Tensor, b: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared difference."""
    return mean((a - b) ** 2, weight)


def lncc(a: Tensor, b: Tensor, weight: Tensor | None = None, window: int = LNCC_WINDOW) -> Tensor:
    """1 - mean squared correlation in windows (Avants et al., Medical Image Analysis 12, 2008).

    Flat windows, where correlation is undefined, count as uncorrelated: variances have a floor.
    """
    floor_a, floor_b = (FLOOR * x.detach().var() + 1e-12 for x in (a, b))
    mean_a, mean_b = box_mean(a, window), box_mean(b, window)
    var_a = (box_mean(a * a, window) - mean_a**2).clamp_min(0) + floor_a
    var_b = (box_mean(b * b, window) - mean_b**2).clamp_min(0) + floor_b
    covariance = box_mean(a * b, window) - mean_a * mean_b
    return 1 - mean(covariance**2 / (var_a * var_b), weight)


def joint_histogram(a: Tensor, b: Tensor, weight: Tensor | None = None, bins: int = 32) -> Tensor:
    """Joint probabilities (bins, bins) of two images in [0, 1], each pixel shared by the nearest bins.

    Differentiable (linear Parzen windows).
    """
    place = [x.flatten().clamp(0, 1) * (bins - 1) for x in (a, b)]
    lower = [p.detach().floor().clamp(max=bins - 2) for p in place]
    high = [p - low for p, low in zip(place, lower, strict=True)]
    counted = torch.ones_like(high[0]) if weight is None else weight.flatten().repeat(a.shape[0])
    base = (lower[0] * bins + lower[1]).long()
    joint = torch.zeros(bins * bins, dtype=a.dtype, device=a.device)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (high[0] if i else 1 - high[0]) * (high[1] if j else 1 - high[1]) * counted
        joint = joint.scatter_add(0, base + i * bins + j, share)
    return (joint / joint.sum().clamp_min(1e-12)).view(bins, bins)


def nmi(a: Tensor, b: Tensor, weight: Tensor | None = None, bins: int = 32) -> Tensor:
    """2 - normalised mutual information, 0 (each predicts the other) to 1 (independent); images in [0, 1]."""
    p = joint_histogram(a, b, weight, bins)
    together = _entropy(p)
    return 2 - (_entropy(p.sum(0)) + _entropy(p.sum(1))) / together.clamp_min(1e-12)


def _entropy(p: Tensor) -> Tensor:
    return -(p * (p + 1e-12).log()).sum()


def mind_ssc(image: Tensor, radius: int = 1, dilation: int = 2, floor: float | None = None) -> Tensor:
    """Self-similarity context, which is similar in any modality (Heinrich et al., MICCAI 2013).

    Parameters
    ----------
    image : Tensor, shape (1, *shape)
    radius : int
        Of the patches that are compared, pixels.
    dilation : int
        Distance of the six (2D: four) neighbours whose patches are compared in pairs, pixels.
    floor : float, optional
        Least mean difference of patches, below which all is noise; by default of this image.

    Returns
    -------
    Tensor, shape (12, *shape) in 3D or (4, *shape) in 2D
        0 to 1.
    """
    distances = _patch_distances(image, radius, dilation)
    noise = distances.mean(0, keepdim=True)
    if floor is None:
        floor = float(noise.detach().mean()) * FLOOR
    return (distances / noise.clamp_min(floor + 1e-12)).neg_().exp_()


def pooled_mind_ssc(image: Tensor, pool: Callable[[Tensor], Tensor], rows: int, most: int) -> Tensor:
    """`mind_ssc` after pooling, of a large image strip by strip: whole, it takes ten times its memory.

    Parameters
    ----------
    image : Tensor, shape (1, *shape)
    pool : callable
        Means over blocks of so many `rows` of the first axis; an incomplete last block is dropped.
    rows : int
    most : int
        Pixels of an image that is done at once; strips have a quarter of them.
    """
    if image.numel() <= most:
        return pool(mind_ssc(image))
    n, halo = image.shape[1], 3  # radius and dilation
    step = max(1, most * n // image.numel() // (4 * rows)) * rows
    ends = [(k, min(k + step, n)) for k in range(0, n, step)]
    strips = [image[:, max(0, a - halo) : b + halo] for a, b in ends]
    inner = [slice(min(a, halo), min(a, halo) + b - a) for a, b in ends]
    parts = list(zip(strips, inner, strict=True))
    noise = [_patch_distances(strip, 1, 2)[:, part].mean(0).sum() for strip, part in parts]
    floor = float(sum(noise)) / image.numel() * FLOOR
    whole = [(strip, part) for strip, part in parts if part.stop - part.start >= rows]
    return torch.cat([pool(mind_ssc(strip, floor=floor)[:, part]) for strip, part in whole], 1)


def _patch_distances(image: Tensor, radius: int, dilation: int) -> Tensor:
    """Differences of each pair of patches around each pixel, less the least of them."""
    d = image.ndim - 1
    pad = F.pad(image[None], [dilation] * 2 * d, mode="replicate")[0]
    offsets = [(k, s) for k in range(d) for s in (0, 2 * dilation)]

    def neighbour(axis: int, start: int) -> Tensor:
        part = pad
        for k in range(d):
            part = part.narrow(k + 1, start if k == axis else dilation, image.shape[k + 1])
        return part

    pairs = [(p, q) for p, q in combinations(offsets, 2) if p[0] != q[0]]
    distances = torch.cat([box_mean((neighbour(*p) - neighbour(*q)) ** 2, 2 * radius + 1) for p, q in pairs])
    distances -= distances.min(0, keepdim=True).values
    return distances
