"""A differentiable joint saliency map: where two images show the same structure.

A pixel is salient where its structure tensor differs from its neighbours'. It is jointly salient if it is
salient in both images and their tensors are similar, which excludes added and missing objects.

After the joint saliency map of Qin, Shen et al. for images with outliers, here for batches of 2D images,
(B, 1, H, W), and with gradients that are finite everywhere, even in flat images.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Smaller ranges of a map count as flat: edges below 1/10,000 of the intensity range are no structure.
FLAT = 1e-8
# Of the norms by the mean, as fractions of it: what counts as half salient, and as half in agreement. They
# were chosen on synthetic pairs.
HALF_SALIENT, HALF_AGREEING = 0.25, 0.3
# Each pair of neighbours once: offset in (rows, columns).
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


class JointSaliency(NamedTuple):
    """The saliency of two images and their joint saliency, (B, 1, H, W) each.

    Parameters
    ----------
    fixed, moving : Tensor
        Saliency of each pixel, at least 0; in squared intensities.
    joint : Tensor
        0 to 1: 1 where both images are most salient with similar structure; 0 everywhere without structure.
    """

    fixed: Tensor
    moving: Tensor
    joint: Tensor


def structure_tensor(images: Tensor, sigma: float = 1.0) -> Tensor:
    """Products of forward differences, averaged by a Gaussian.

    Parameters
    ----------
    images : Tensor, shape (B, 1, H, W)
    sigma : float
        Of the Gaussian, pixels; truncated at four sigma (9 x 9 pixels for 1, 13 x 13 for 1.5).

    Returns
    -------
    Tensor, shape (B, 3, H, W)
        The symmetric tensor's (row, row), (row, column) and (column, column) entries. Outside the image its
        border is repeated.
    """
    down = F.pad(images.diff(dim=2), (0, 0, 0, 1))
    right = F.pad(images.diff(dim=3), (0, 1))
    return _smooth(torch.cat([down * down, down * right, right * right], dim=1), sigma)


def _smooth(images: Tensor, sigma: float) -> Tensor:
    """A Gaussian over the rows and columns of (B, C, H, W)."""
    radius = round(4 * sigma)
    kernel = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(radius + 1)]
    total = kernel[0] + 2 * sum(kernel[1:])
    images = F.pad(images, (radius,) * 4, mode="replicate")
    # Shifted sums take a tenth of a convolution's time on a CPU, and autocast leaves them in float32.
    for axis in (2, 3):
        n = images.shape[axis] - 2 * radius
        smooth = images.narrow(axis, radius, n) * (kernel[0] / total)
        for k in range(1, radius + 1):
            pair = images.narrow(axis, radius - k, n) + images.narrow(axis, radius + k, n)
            smooth = torch.add(smooth, pair, alpha=kernel[k] / total)
        images = smooth
    return images


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Distance of two fields of structure tensors, taken as diffusion profiles.

    sqrt((8 pi / 15) (trace((A - B)^2) - trace(A - B)^2 / 3)), written so that rounding cannot make the
    argument of the root negative.

    Parameters
    ----------
    a, b : Tensor, shape (B, 3, H, W)
        From `structure_tensor`.

    Returns
    -------
    Tensor, shape (B, 1, H, W)
        Its gradient is zero where both are equal.
    """
    rows, mixed, columns = (a - b).unbind(1)
    square = (rows**2 + (rows - columns) ** 2 + columns**2) / 3 + 2 * mixed**2
    # The root's slope at zero is infinite; the clamp is far below any relevant value and has no gradient.
    return (8 * math.pi / 15 * square).clamp_min(1e-24).sqrt()[:, None]


def saliency(tensors: Tensor) -> Tensor:
    """Saliency of each pixel: a ninth of the summed distances of its tensor to its eight neighbours'.

    Parameters
    ----------
    tensors : Tensor, shape (B, 3, H, W)
        From `structure_tensor`.

    Returns
    -------
    Tensor, shape (B, 1, H, W)
        Neighbours outside the image do not count.
    """
    height, width = tensors.shape[2:]
    total = torch.zeros_like(tensors[:, :1])
    for rows, columns in NEIGHBOURS:
        if rows >= height or abs(columns) >= width:
            continue
        one = tensors[..., : height - rows, max(0, -columns) : width - max(0, columns)]
        other = tensors[..., rows:, max(0, columns) : width + min(0, columns)]
        apart = distance(one, other)
        left, right = max(0, -columns), max(0, columns)
        # The distance counts for both pixels.
        total = total + F.pad(apart, (left, right, 0, rows)) + F.pad(apart, (right, left, rows, 0))
    return total / 9


def joint_saliency(
    fixed: Tensor, moving: Tensor, sigma: float = 1.0, norm: Literal["range", "mean"] = "range"
) -> JointSaliency:
    """Where two aligned images show the same structure.

    norm(min(S_fixed, S_moving) / (1 + norm(D(T_fixed, T_moving)))) with the saliencies S, the structure
    tensors T and their distance D. The joint map is unchanged if the contrast of both images is scaled by the
    same factor.

    Parameters
    ----------
    fixed, moving : Tensor, shape (B, 1, H, W)
        In [0, 1]; the moving image is already warped.
    sigma : float
        Of the structure tensors, pixels.
    norm : {"range", "mean"}
        "range" scales each image of the batch to [0, 1], as published: the largest distance only halves the
        map, and few pixels are salient. "mean" compares with the mean of each image instead: saliency
        saturates, and distances beyond a third of the mean suppress a pixel.
    """
    tensors = structure_tensor(torch.cat([fixed, moving]), sigma)
    in_fixed, in_moving = saliency(tensors).chunk(2)
    apart = distance(*tensors.chunk(2))
    both = torch.minimum(in_fixed, in_moving)
    if norm == "range":
        return JointSaliency(in_fixed, in_moving, _by_range(both / (1 + _by_range(apart))))
    salient = _by_mean(both, HALF_SALIENT)
    return JointSaliency(in_fixed, in_moving, salient / (1 + salient) / (1 + _by_mean(apart, HALF_AGREEING)))


def _by_range(maps: Tensor) -> Tensor:
    """Each map (1, H, W) of a batch scaled to [0, 1]; a flat one becomes 0."""
    low, high = maps.amin((1, 2, 3), keepdim=True), maps.amax((1, 2, 3), keepdim=True)
    return (maps - low) / (high - low).clamp_min(FLAT)


def _by_mean(maps: Tensor, fraction: float) -> Tensor:
    """Each map (1, H, W) of a batch in units of a fraction of its mean."""
    return maps / (fraction * maps.mean((1, 2, 3), keepdim=True)).clamp_min(FLAT)
