"""Whether finer control points find structure or follow noise, tested on held-out pixels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .optimise import Control, Side, run_level, warped_side

TRIAL = 3  # steps of a trial
UNIFORM = 0.8  # of the relation between both images' brightness, from which windows are reliable
# Held-out gain per gain from which a refinement is accepted, and the fraction of the usual smoothness then.
TRUSTED = ((0.93, 0.33), (0.85, 1.0), (0.75, 3.0))


def trial(
    sides: list[Side], control: Control, velocity: Tensor, smoothness: float
) -> tuple[Tensor, float | None]:
    """Refine on every other pixel and measure how much of the gain the held-out pixels share.

    Noise differs from pixel to pixel, structure does not. Fitting noise lowers the cost of the fitted pixels
    as much as it raises that of the held-out ones.

    Returns
    -------
    velocity : Tensor
        Refined on half of the pixels.
    smoothness : float or None
        For the following steps; None if the refinement is rejected.
    """
    fitted = [_chequered(side.target.shape, velocity) for side in sides]
    before = _losses(sides, fitted, control, velocity)
    if before is None:
        return velocity, None
    halves = [_only(side, half) for side, half in zip(sides, fitted, strict=True)]
    bold = smoothness * TRUSTED[0][1]
    refined = run_level(halves, control, velocity, bold, TRIAL, None, lambda _, __: None, velocity)
    after = _losses(sides, fitted, control, refined)
    if after is None:
        return velocity, None
    gain, shared = before[0] - after[0], before[1] - after[1]
    for least, fraction in TRUSTED:
        if gain > 0 and shared >= least * gain:
            return refined, smoothness * fraction
    return velocity, None


def _chequered(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """1 at every other pixel, 0 between, (1, *shape)."""
    total = torch.zeros(shape, device=like.device)
    for axis, n in enumerate(shape):
        total += torch.arange(n, device=like.device).view(-1, *(1,) * (len(shape) - 1 - axis))
    return (total % 2 == 0).to(like.dtype)[None]


def _only(side: Side, fitted: Tensor) -> Side:
    """A side of which only some pixels count."""
    return replace(side, target_weight=fitted if side.target_weight is None else side.target_weight * fitted)


def _losses(
    sides: list[Side], fitted: list[Tensor], control: Control, velocity: Tensor
) -> tuple[float, float] | None:
    """Loss of the fitted and of the held-out pixels; None if they cannot separate noise from structure."""
    first, second = 0.0, 0.0
    for side, half in zip(sides, fitted, strict=True):
        warped, inside = warped_side(side, control, velocity)
        pull = side.force(warped, inside)
        # Where the relation of the brightnesses varies over the image, windows with three tissues
        # mislead fitted and held-out pixels in the same way.
        if pull.loss is None or pull.uniform() < UNIFORM:
            return None
        loss = pull.loss() if inside is None else pull.loss() * inside
        count = 1.0 if inside is None else inside
        first += float((loss * half).sum() / (half * count).sum().clamp_min(1))
        second += float((loss * (1 - half)).sum() / ((1 - half) * count).sum().clamp_min(1))
    return first, second
