"""Force and curvature of each similarity at the warped image, in one pass and without autograd.

Near the current match every similarity is approximated by half a sum of squares. The force is minus its
derivative with respect to the warped pixel, the curvature how fast that changes (Gauss-Newton; for mutual
information the squared score, as in Fisher scoring).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..tensor.similarity import FLOOR, box_mean, joint_histogram, mean


@dataclass(frozen=True)
class Pull:
    """A similarity's value, force and curvature.

    `cost` is the mean over the pixels that count, `force` and `curvature` are (C, *shape).

    `loss` gives each pixel's own share of the cost, (C, *shape), if neighbours' noise does not affect it.
    `uniform` measures, 0 to 1, how uniformly both brightnesses rise, or one rises as the other falls.
    """

    cost: Tensor
    force: Tensor
    curvature: Tensor | float
    loss: Callable[[], Tensor] | None = None
    uniform: Callable[[], float] = lambda: 1.0


class Squares:
    """Half the squared difference times `scale`, summed over the channels."""

    def __init__(self, fixed: Tensor, scale: float) -> None:
        self.fixed = fixed
        self.scale = scale

    def __call__(self, warped: Tensor, weight: Tensor | None) -> Pull:
        difference = self.fixed - warped
        cost = mean(difference**2, weight) * (self.scale * len(warped) / 2)
        if len(warped) > 1:  # descriptors share pixels with their neighbours
            return Pull(cost, difference * self.scale, self.scale)
        return Pull(cost, difference * self.scale, self.scale, lambda: difference**2 * (self.scale / 2))


class LocalCorrelation:
    """Half of 1 - squared correlation in windows (Avants et al., Medical Image Analysis 12, 2008)."""

    def __init__(self, fixed: Tensor, window: int) -> None:
        self.window = window
        self.mean = box_mean(fixed, window)
        variance = (box_mean(fixed * fixed, window) - self.mean**2).clamp_min_(0)
        self.deviation = (variance + FLOOR * fixed.var() + 1e-12).sqrt_()
        self.fixed = fixed
        self.standard = (fixed - self.mean) / self.deviation

    def __call__(self, warped: Tensor, weight: Tensor | None) -> Pull:
        average = box_mean(warped, self.window)
        variance = (box_mean(warped * warped, self.window) - average**2).clamp_min_(0)
        deviation = variance.add_(FLOOR * warped.var() + 1e-12).sqrt_()
        covariance = box_mean(self.fixed * warped, self.window).sub_(self.mean * average)
        rho = covariance.div_(self.deviation).div_(deviation)
        cost = 0.5 * (1 - mean(rho * rho, weight))
        # Every window around a pixel pulls at it; summed over the windows, that takes four box means.
        slope = rho / deviation
        toward, curvature = slope / self.deviation, slope * slope
        terms = torch.cat([toward, toward * self.mean, curvature, curvature * average])
        if weight is not None:
            terms *= weight
        toward, toward_mean, curvature, curvature_mean = box_mean(terms, self.window).split(1)
        signed = rho * rho.abs()
        return Pull(
            cost,
            self.fixed * toward - toward_mean - warped * curvature + curvature_mean,
            curvature,
            lambda: (self.standard - rho * (warped - average) / deviation) ** 2 / 2,
            lambda: float(mean(signed, weight).abs() / mean(signed.abs(), weight).clamp_min(1e-6)),
        )


class MutualInformation:
    """Minus mutual information from a joint histogram, in nats."""

    def __init__(self, fixed: Tensor, bins: int = 32) -> None:
        self.fixed = fixed
        self.bins = bins

    def __call__(self, warped: Tensor, weight: Tensor | None) -> Pull:
        p = joint_histogram(self.fixed, warped, weight, self.bins)
        p = _smooth(_smooth(p, 0), 1) + 1e-7
        conditional = (p / p.sum(0, keepdim=True)).log()  # log p(fixed | warped)
        information = (p * (conditional - p.sum(1, keepdim=True).log())).sum()
        score = torch.zeros_like(conditional)
        score[:, 1:-1] = (conditional[:, 2:] - conditional[:, :-2]) * ((self.bins - 1) / 2)
        score[:, 0] = (conditional[:, 1] - conditional[:, 0]) * (self.bins - 1)
        score[:, -1] = (conditional[:, -1] - conditional[:, -2]) * (self.bins - 1)
        force = _interpolated(score, self.fixed, warped)
        return Pull(-information, force, force * force)


def _smooth(p: Tensor, axis: int) -> Tensor:
    """Parzen window (1, 4, 1) / 6 of cubic B-splines along one axis of a histogram."""
    rim = [p.narrow(axis, 0, 1), p, p.narrow(axis, p.shape[axis] - 1, 1)]
    wide = torch.cat(rim, axis)
    n = p.shape[axis]
    return (wide.narrow(axis, 0, n) + 4 * wide.narrow(axis, 1, n) + wide.narrow(axis, 2, n)) / 6


def _interpolated(table: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Bilinear interpolation of a (bins, bins) table at images in [0, 1]."""
    bins = len(table)
    u, v = a.clamp(0, 1) * (bins - 1), b.clamp(0, 1) * (bins - 1)
    i, j = u.floor().clamp_(max=bins - 2), v.floor().clamp_(max=bins - 2)
    s, t = u - i, v - j
    at = (i * bins + j).long()
    flat = table.flatten()
    low = flat[at] * (1 - t) + flat[at + 1] * t
    high = flat[at + bins] * (1 - t) + flat[at + bins + 1] * t
    return low * (1 - s) + high * s
