"""Training losses of the networks; all differentiable, all means over the batch.

Images are (B, 1, *shape) tensors in [0, 1], displacements (B, d, *shape) in pixels, array-axis order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..tensor import similarity
from ..tensor.affine import compose, half_side, identities
from ..tensor.similarity import FLOOR, mean
from ..tensor.warp import apply_along, identity, warp_batch
from .architectures.vsvf import extent

TINY = 1e-12


def mse(fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared difference; `weight` (B, 1, *shape) weights each pixel."""
    return mean((fixed - warped) ** 2, weight)


def l1(fixed: Tensor, warped: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference; `weight` (B, 1, *shape) weights each pixel."""
    return mean((fixed - warped).abs(), weight)


def ncc(fixed: Tensor, warped: Tensor) -> Tensor:
    """1 - correlation of whole images: 0 if equal up to contrast, 2 if inverted, 1 if unrelated or flat."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (fixed, warped))
    power = (a * a).mean(1) * (b * b).mean(1)
    return 1 - ((a * b).mean(1) / (power + TINY).sqrt()).mean()


def lncc(fixed: Tensor, warped: Tensor, window: int = 9) -> Tensor:
    """1 - mean squared correlation in windows (LNCC) around each pixel: `similarity.lncc` of each pair."""
    costs = [similarity.lncc(a, b, window=window) for a, b in zip(fixed, warped, strict=True)]
    return torch.stack(costs).mean()


def mk_lncc(fixed: Tensor, warped: Tensor) -> Tensor:
    """1 - mean squared correlation in windows of several sizes (Shen et al., CVPR 2019).

    S is the shortest side. From 128 on, windows have S/16, S/8 and S/4 pixels, every second one along each
    axis, with weights 0.1, 0.3 and 0.6. From 64 on they have S/4 and S/2 of every second pixel, with weights
    0.3 and 0.7; below that S/2 of all pixels. They lie entirely within the image, a quarter of their size
    apart.
    """
    shape = tuple(fixed.shape[2:])
    side = min(shape)
    if side >= 128:
        kernels: tuple[tuple[int, float, int], ...]
        kernels = ((side // 16, 0.1, 2), (side // 8, 0.3, 2), (side // 4, 0.6, 2))
    elif side >= 64:
        kernels = ((side // 4, 0.3, 2), (side // 2, 0.7, 2))
    else:
        kernels = ((max(side // 2, 1), 1.0, 1),)
    # Minus the images' means, which loses fewer digits in float32.
    a, b = (x[:, 0] - x.mean(tuple(range(1, x.ndim)))[(...,) + (None,) * len(shape)] for x in (fixed, warped))
    products = torch.cat([a, b, a * a, b * b, a * b])
    floors = torch.cat([a * a, b * b]).flatten(1).mean(1) * FLOOR + 1e-6
    floor_a, floor_b = floors[(...,) + (None,) * len(shape)].chunk(2)
    total = fixed.new_zeros(())
    for size, weight, dilation in kernels:
        windows = [_windows(n, size, dilation, fixed) for n in shape]
        mean_a, mean_b, aa, bb, ab = apply_along(products, windows).chunk(5)
        var_a = (aa - mean_a**2).clamp_min(0) + floor_a
        var_b = (bb - mean_b**2).clamp_min(0) + floor_b
        total = total + weight * (1 - ((ab - mean_a * mean_b) ** 2 / (var_a * var_b)).mean())
    return total


def _windows(n: int, size: int, dilation: int, like: Tensor) -> Tensor:
    """Matrix (windows, n) of means over `size` pixels, `dilation` apart, from end to end."""
    span = dilation * (size - 1) + 1
    count = math.ceil((n - span) / max(size // 4, 1)) + 1
    starts = torch.linspace(0, n - span, count, dtype=torch.float64).round().long()
    pixels = starts[:, None] + dilation * torch.arange(size)
    matrix = torch.zeros(count, n, dtype=like.dtype).scatter_(1, pixels, 1 / size)
    return matrix.to(like.device)


def dice(first: Tensor, second: Tensor) -> Tensor:
    """1 - soft Dice of label probabilities (B, labels, *shape), over labels present in either image."""
    both = (first * second).flatten(2).sum(2)
    total = (first + second).flatten(2).sum(2)
    present = (total.detach() > 0.5).to(first.dtype)
    return 1 - (present * 2 * both / total.clamp_min(0.5)).sum() / present.sum().clamp_min(1)


def endpoint_error(displacement: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean length of the difference of two displacements, pixels; `weight` (B, 1, *shape)."""
    return mean((((displacement - truth) ** 2).sum(1, keepdim=True) + TINY).sqrt(), weight)


def diffusion(displacement: Tensor) -> Tensor:
    """Mean squared gradient: sum over axes of squared forward differences, mean over components."""
    return torch.stack([(slope**2).mean() for slope in _slopes(displacement)]).sum()


def bending(displacement: Tensor) -> Tensor:
    """Bending energy: mean squared second derivatives, mixed ones twice; mean over components."""
    parts = []
    for i, slope in enumerate(_slopes(displacement)):
        for j, curve in enumerate(_slopes(slope)):
            if j >= i:
                parts.append((curve**2).mean() * (1 if i == j else 2))
    return torch.stack(parts).sum()


def _slopes(field: Tensor) -> Iterator[Tensor]:
    """Forward differences along each spatial axis, one node fewer there."""
    return (field.diff(dim=axis) for axis in range(2, field.ndim))


def charbonnier(difference: Tensor) -> Tensor:
    """Mean of sqrt(x^2 + 1e-6), a smooth absolute value."""
    return (difference**2 + 1e-6).sqrt().mean()


def edge_aware(fixed: Tensor, warped: Tensor, displacement: Tensor, edges: float = 20.0) -> Tensor:
    """Differences of intensity and edge strength, and smoothness, in Charbonnier's norm.

    The loss of the joint-saliency network, with intensities from 0 to 255, as means over pixels, not sums.

    Parameters
    ----------
    edges : float
        Weight of the difference in gradient magnitude.
    """
    f, w = 255 * fixed, 255 * warped
    similarity_loss = charbonnier(f - w) + edges * charbonnier(_edge_strength(f) - _edge_strength(w))
    return similarity_loss + torch.stack([charbonnier(slope) for slope in _slopes(displacement)]).sum()


def _edge_strength(image: Tensor) -> Tensor:
    """Gradient magnitude by forward differences, one pixel fewer along each axis."""
    inner = [n - 1 for n in image.shape[2:]]
    squares = torch.zeros((), dtype=image.dtype, device=image.device)
    for slope in _slopes(image):
        for axis, n in enumerate(inner, 2):
            slope = slope.narrow(axis, 0, n)
        squares = squares + slope**2
    return (squares + 1e-6).sqrt()


def kl(average: Tensor, log_variance: Tensor, prior_lambda: float = 25.0) -> Tensor:
    """KL divergence of a velocity's posterior from a smooth prior, up to a constant.

    After Dalca et al. (MICCAI 2018): (tr(lambda D Sigma) - log|Sigma| + mu' Lambda mu) / 2, with D the number
    of neighbours. The posterior is normal and independent for each pixel. The prior's precision is
    `prior_lambda` times the Laplacian of the pixel lattice.

    Parameters
    ----------
    average, log_variance : Tensor, shape (B, d, *shape)
        Of the velocity, pixels.

    Returns
    -------
    Tensor
        Per pixel.
    """
    shape = tuple(average.shape[2:])
    neighbours = torch.zeros(shape, dtype=average.dtype, device=average.device)
    for axis, n in enumerate(shape):
        neighbours.narrow(axis, 1, n - 1).add_(1)
        neighbours.narrow(axis, 0, n - 1).add_(1)
    spread = (prior_lambda * neighbours * log_variance.exp() - log_variance).sum()
    rough = prior_lambda * torch.stack([(slope**2).sum() for slope in _slopes(average)]).sum()
    return (spread + rough) / 2 / (len(average) * math.prod(shape))


def probabilistic(
    fixed: Tensor,
    warped: Tensor,
    average: Tensor,
    log_variance: Tensor,
    image_sigma: float = 0.01,
    prior_lambda: float = 25.0,
) -> Tensor:
    """Loss of the probabilistic VoxelMorph per pixel: squared error over 2 image_sigma^2, plus `kl`."""
    return mse(fixed, warped) / (2 * image_sigma**2) + kl(average, log_variance, prior_lambda)


def affine_deviation(affine: Tensor, shape: tuple[int, ...]) -> Tensor:
    """||Gamma - Id||^2 of maps (B, d, d + 1) in pixels, translations in units of half the longest side."""
    change = affine - identities(len(affine), affine.shape[1], affine)
    length = change.new_tensor([1.0] * affine.shape[1] + [half_side(shape)])
    return ((change / length) ** 2).sum((1, 2)).mean()


def affine_symmetry(forward: Tensor, backward: Tensor, shape: tuple[int, ...]) -> Tensor:
    """||A B - I||^2 + ||A b + a||^2 of (A, a) from fixed to moving and (B, b) from moving to fixed."""
    return affine_deviation(compose(forward, backward), shape)


def affine_weight(epoch: int) -> float:
    """Weight of `affine_deviation`: from 9.9 in epoch 0 down to 0.001 (Shen et al., CVPR 2019)."""
    # After some hundred epochs exp would overflow, long after the minimum is reached.
    return max(30 / (3 + math.exp(min((epoch - 10) / 3, 100.0))), 1e-3)


def map_symmetry(forward: Tensor, backward: Tensor) -> Tensor:
    """Mean squared inverse-consistency error of two displacements, in the image's sides.

    Points mapped outside the moving image, where the backward displacement is unknown, do not count.

    Parameters
    ----------
    forward, backward : Tensor, shape (B, d, *shape)
        Displacements from fixed to moving and from moving to fixed, pixels.
    """
    error = (forward + warp_batch(backward, forward)) / extent(tuple(forward.shape[2:]), forward)
    return mean((error**2).sum(1, keepdim=True), inside(forward.detach()))


def inside(displacement: Tensor) -> Tensor:
    """1 where x + u(x) is in the image, 0 a pixel or more outside, linear between; (B, 1, *shape)."""
    shape = tuple(displacement.shape[2:])
    points = identity(shape, displacement) + displacement
    last = points.new_tensor([n - 1 for n in shape]).view(-1, *(1,) * len(shape))
    beyond = torch.maximum(-points, points - last).clamp_min(0)
    return (1 - beyond).clamp_min(0).prod(1, keepdim=True)


def overlap_ncc(
    fixed: Tensor, moving: Tensor, displacement: Tensor, black: float = 0.02, fraction: float = 0.5
) -> Tensor:
    """1 - correlation over the overlap of both images, so that black borders do not count.

    Pixels that are black in the fixed or the warped image, or outside the moving one, do not count. Below an
    overlap of `fraction` of the smaller image, the correlation is reduced in proportion: moving everything
    out of view costs as much as unrelated images.

    Parameters
    ----------
    black : float
        Pixels up to this intensity are black.
    fraction : float
        Overlap, as a fraction of the smaller image, below which the correlation is reduced; 0 to 1.
    """
    shown_fixed, shown_moving = ((x > black).to(x.dtype) for x in (fixed, moving))
    weight = shown_fixed * warp_batch(shown_moving, displacement) * inside(displacement)
    warped = warp_batch(moving, displacement)
    f, w, k = (x.flatten(1) for x in (fixed, warped, weight))
    overlap = k.sum(1)
    k = k / overlap.clamp_min(1)[:, None]
    f, w = (x - (k * x).sum(1, keepdim=True) for x in (f, w))
    power = (k * f * f).sum(1) * (k * w * w).sum(1)
    correlation = (k * f * w).sum(1) / (power + TINY).sqrt()
    least = torch.minimum(*(x.flatten(1).sum(1) for x in (shown_fixed, shown_moving))) * fraction
    scale = (overlap / least.clamp_min(1)).clamp_max(1)
    return 1 - (scale * correlation).mean()
