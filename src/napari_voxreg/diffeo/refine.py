"""Whether finer control points find structure or follow noise: half of the pixels judge the other half."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .optimise import Control, Side, run_level, warped_side

TRIAL = 3  # steps of a trial
UNIFORM = 0.8  # of the relation between both images' brightness, from which windows can be relied on
# Held-out gain per gain from which a refinement is followed, and with what part of the usual smoothness.
TRUSTED = ((0.93, 0.33), (0.85, 1.0), (0.75, 3.0))


def trial(
    sides: list[Side], control: Control, velocity: Tensor, smoothness: float
) -> tuple[Tensor, float | None]:
    """Refine by every other pixel and see how much of the gain the pixels between share.

    Noise differs from pixel to pixel, structure does not: what is noise lowers the cost of the pixels that
    were used as much as it raises that of the others.

    Returns
    -------
    velocity : Tensor
        Refined by half of the pixels.
    smoothness : float or None
        With which to go on; None if the refinement is not to be trusted.
    """
    seen = [_chequered(side.target.shape, velocity) for side in sides]
    before = _losses(sides, seen, control, velocity)
    if before is None:
        return velocity, None
    halves = [_only(side, half) for side, half in zip(sides, seen, strict=True)]
    bold = smoothness * TRUSTED[0][1]
    refined = run_level(halves, control, velocity, bold, TRIAL, None, lambda _, __: None, velocity)
    after = _losses(sides, seen, control, refined)
    if after is None:
        return velocity, None
    gain, shared = before[0] - after[0], before[1] - after[1]
    for least, part in TRUSTED:
        if gain > 0 and shared >= least * gain:
            return refined, smoothness * part
    return velocity, None


def _chequered(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """1 at every other pixel, 0 between, (1, *shape)."""
    total = torch.zeros(shape, device=like.device)
    for axis, n in enumerate(shape):
        total += torch.arange(n, device=like.device).view(-1, *(1,) * (len(shape) - 1 - axis))
    return (total % 2 == 0).to(like.dtype)[None]


def _only(side: Side, seen: Tensor) -> Side:
    """A side of which only some pixels count."""
    return replace(side, target_weight=seen if side.target_weight is None else side.target_weight * seen)


def _losses(
    sides: list[Side], seen: list[Tensor], control: Control, velocity: Tensor
) -> tuple[float, float] | None:
    """Loss of the seen pixels and of the others; None if these cannot tell noise from structure."""
    first, second = 0.0, 0.0
    for side, half in zip(sides, seen, strict=True):
        warped, inside = warped_side(side, control, velocity)
        pull = side.force(warped, inside)
        # Where the relation of the brightnesses changes from place to place, three tissues in a window
        # mislead all pixels alike.
        if pull.loss is None or pull.uniform() < UNIFORM:
            return None
        loss = pull.loss() if inside is None else pull.loss() * inside
        count = 1.0 if inside is None else inside
        first += float((loss * half).sum() / (half * count).sum().clamp_min(1))
        second += float((loss * (1 - half)).sum() / ((1 - half) * count).sum().clamp_min(1))
    return first, second
