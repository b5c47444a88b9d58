"""Whether to trust a pose, which model it needs, and whether the current pose is as good."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.geometry import Array
from .models import Model, Poses
from .refine import Level, Scored, refine
from .search import repetition

REACH, BLOCK = 6, 12  # pixels: largest local translation, and side of the blocks that are translated
BLOCKS = 6  # blocks along each side of the view, for fits on half of them
TIE = 0.1  # poses whose scores differ by less than this fraction are equally good
ASIDE = 1.5  # pixels along both axes from the best pose: where the fits on half of the image start
CLEAR = 2.5  # standard errors by which a better model or pose must win


@dataclass(frozen=True)
class Evidence:
    """What speaks for the best pose.

    Parameters
    ----------
    similarity, overlap : float
        Of the best pose.
    margin : float
        How far its score is above that of the best pose elsewhere, as a fraction of the latter.
    deviations : float
        How far its score is above the mean of the poses elsewhere, in their standard deviations.
    halves : float
        Distance of two poses refined from either side on half of the image each, as a fraction of the
        image's length.
    agree : float
        Fraction of the structure that fits best where the pose puts it.
    support : float
        What a source that knows nothing of the channels said for the pose, see `Proposals`; 0 where another
        translation fits about as well.
    confidence : float
        0 to 1.
    reliable : bool
    notes : tuple of str
    """

    similarity: float = 0.0
    overlap: float = 0.0
    margin: float = 0.0
    deviations: float = 0.0
    halves: float = 1.0
    agree: float = 0.0
    support: float = 0.0
    confidence: float = 0.0
    reliable: bool = False
    notes: tuple[str, ...] = ()


def trust(
    apart: Array | None, crowd: Scored, best: Scored, gap: float, agree: float, support: float
) -> Evidence:
    """Compare the best pose with all others that were refined.

    Parameters
    ----------
    apart : ndarray, shape (n,), or None
        Distance of each of the crowd from the best pose, fractions of the image's length. None if the crowd
        is too small to stand out from: no search of all poses brought it.
    crowd : Scored
        All candidates at the size where many were refined.
    best : Scored
        The few best at the next size, best first.
    gap, agree, support : float
        See `Evidence`; the gap is `halves`.
    """
    near = np.ones(len(crowd.score), bool) if apart is None else apart < 0.1
    score = crowd.score
    top = float(score[near].max()) if near.any() else float(best.score[0])
    others = score[~near]
    second = float(others.max()) if len(others) else 0.3
    spread = float(others.std()) if len(others) > 3 else 0.03
    margin = 0.0 if apart is None else (top - second) / max(second, 0.1)
    deviations = (top - float(others.mean() if len(others) else second)) / max(spread, 0.01)
    confidence = _confidence(margin, gap, agree, support)
    reliable = confidence > 0.5
    notes: tuple[str, ...] = ()
    if not reliable and margin < TIE and agree > 0.5 and gap < 0.01 and best.similarity[0] > 0.5:
        notes += (
            "Several poses fit about equally well, as on repeated texture; "
            "use the initial transform 'landmarks'.",
        )
    if reliable and best.overlap[0] < 0.4:
        notes += (f"Only {100 * best.overlap[0]:.0f} % of the smaller view overlaps; check the result.",)
    similarity, overlap = float(best.similarity[0]), float(best.overlap[0])
    return Evidence(similarity, overlap, margin, deviations, gap, agree, support, confidence, reliable, notes)


def _confidence(margin: float, gap: float, agree: float, support: float) -> float:
    """How likely the pose is right; each of three must speak for it.

    Right poses of real and simulated pairs have margins above 0.12, halves that meet within 0.013 and more
    than 0.2 of the structure in place; chance fails at least one of them. The closer the halves, the less of
    the structure needs to agree. A source that knows nothing of the channels and proposed this pose counts as
    much as a margin: on unrelated pairs its support stays below 0.06, but for surfaces of one kind, whose
    other translations fit about as well. So then the halves need not meet as closely.
    """
    needed = 0.2 + 0.03 * np.clip(np.log2(max(gap, 1e-6) / 0.004), -2, 2)
    stands_out, supported = _sigmoid((margin - 0.08) / 0.025), _sigmoid((support - 0.075) / 0.01)
    meet = _sigmoid((0.0135 + 0.002 * supported - gap) / 0.001)
    unique = 1 - (1 - stands_out) * (1 - supported)
    return unique * meet * _sigmoid((agree - needed) / 0.02)


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(logit, -30, 30))))


def unrepeated(level: Level, poses: Poses) -> float:
    """How surely no other translation of the first pose fits about as well, 0 to 1.

    On brick, as at any period of a pattern, the best other one reaches 0.84 of the correlation or more, on
    real scenes of other kinds 0.7 at the most.
    """
    z, mask = level.warped(poses[:1])
    other = repetition((level.z[None], level.mask[None, None]), (z, mask[:, None]))
    return _sigmoid((0.77 - other) / 0.02)


def halves(level: Level, scored: Scored) -> float:
    """Final distance of two poses that are refined on half of the image each.

    They start on opposite sides of the best pose, so they meet only where both halves lead there.
    """
    aside = np.zeros((2, 2, 6))
    aside[0, :, 0] = ASIDE * level.fixed.spacing / scored.poses.radius
    aside[1] = -aside[0]
    two = refine(level, scored.poses[[0, 0]].after(aside), "affine", 6, _checkered(level))
    u = np.array([[a, b] for a in (-0.7, 0.0, 0.7) for b in (-0.7, 0.0, 0.7)])
    ends = two.poses.at(u)
    length = 2 * scored.poses.radius * two.poses.scale()[0]
    return float(np.linalg.norm(ends[0] - ends[1], axis=-1).mean() / length)


def agreeing(level: Level, poses: Poses) -> float:
    """Fraction of the first pose's structure that locally fits best where the pose puts it.

    Each block of the fixed image is compared with the moving one at all small translations. At the
    right pose most blocks fit best near zero, whatever the modality. Where chance brought a few edges
    together, the best translations of the others scatter.

    Parameters
    ----------
    level : Level
        About 128 pixels.
    """
    z, mask = level.warped(poses[:1])
    f = level.z * mask
    h, w = mask.shape[1:]
    reach, size = REACH, BLOCK
    padded = F.pad(z[0], (reach,) * 4)
    pool = partial(F.avg_pool2d, kernel_size=size, ceil_mode=True)
    energy = pool((f * f).sum(0)[None])[0]
    maps = []
    for row in range(2 * reach + 1):
        for column in range(2 * reach + 1):
            moved = padded[:, row : row + h, column : column + w] * mask
            top = pool((f * moved).sum(0)[None])[0]
            maps.append(top / torch.sqrt(energy * pool((moved * moved).sum(0)[None])[0]).clamp_min(1e-3))
    best = torch.stack(maps).max(0)
    rows = torch.div(best.indices, 2 * reach + 1, rounding_mode="floor") - reach
    columns = best.indices % (2 * reach + 1) - reach
    near = (torch.maximum(rows.abs(), columns.abs()) <= 2).float()
    weight = torch.sqrt(energy)
    return float((near * weight).sum() / weight.sum().clamp_min(1e-6))


def simplest(level: Level, initial: Poses, models: tuple[Model, ...]) -> Scored:
    """The simplest model whose fit to half of the image predicts the held-out half clearly better.

    Parameters
    ----------
    models : tuple of str
        From simple to rich; a single one is taken as it is.
    """
    best = refine(level, initial, models[0], 4)
    if len(models) == 1:
        return best
    parts = _checkered(level)
    now = _held_out(level, initial[[0, 0]], models[0], parts)
    for model in models[1:]:
        rich = _held_out(level, initial[[0, 0]], model, parts)
        if _clearly(rich - now):
            best, now = refine(level, best.poses, model, 4), rich
    return best


def stays(level: Level, current: Poses, found: Poses) -> bool:
    """Whether the current pose is about as good as the one found, block by block."""
    warped = [level.warped(poses) for poses in (found, current)]
    agree = _agreement(level, torch.cat([z for z, _ in warped]), torch.cat([mask for _, mask in warped]))
    enough = warped[1][1].sum() > 0.8 * warped[0][1].sum()
    return bool(enough and not _clearly(agree[0] - agree[1], 0.01))


def _held_out(level: Level, initial: Poses, model: Model, parts: Tensor) -> Array:
    """Agreement in each block under the pose that was fitted without it."""
    fitted = refine(level, initial, model, 4, parts)
    z, mask = level.warped(fitted.poses)
    agree = _agreement(level, z, mask)
    first = _blocks(level, parts[0]) > 0.5
    return np.where(first, agree[1], agree[0])


def _agreement(level: Level, z: Tensor, mask: Tensor) -> Array:
    """Each block's share of the correlation of the channels, (n, blocks), summing to the whole."""
    f = level.z
    product = (z * f).sum(1)
    norm = torch.sqrt(((f * f).sum(0) * mask).sum((1, 2)) * (z * z).sum((1, 2, 3))).clamp_min(1e-6)
    return np.stack([_blocks(level, p, total=True) for p in product / norm[:, None, None]])


def _checkered(level: Level) -> Tensor:
    """The two colours of a chessboard over the fixed view, (2, h, w)."""
    h, w = level.mask.shape
    size = max(h, w) / BLOCKS
    rows = torch.div(torch.arange(h), size, rounding_mode="floor")
    columns = torch.div(torch.arange(w), size, rounding_mode="floor")
    colour = ((rows[:, None] + columns) % 2).float()
    return torch.stack([colour, 1 - colour])


def _blocks(level: Level, x: Tensor, total: bool = False) -> Array:
    """Sum or mean of (h, w) in each block of the chessboard."""
    h, w = x.shape
    size = max(h, w) / BLOCKS
    rows = torch.div(torch.arange(h), size, rounding_mode="floor").long()
    columns = torch.div(torch.arange(w), size, rounding_mode="floor").long()
    number = (rows[:, None] * BLOCKS + columns).flatten()
    sums = torch.bincount(number, x.flatten().double(), BLOCKS**2).numpy()
    counts = torch.bincount(number, minlength=BLOCKS**2).numpy()
    covered = counts > 0
    return sums[covered] if total else sums[covered] / counts[covered]


def _clearly(gain: Array, least: float = 0.002) -> bool:
    """Whether a gain over blocks is above zero by more than its standard error allows."""
    total = float(gain.sum())
    error = float(gain.std(ddof=1)) * np.sqrt(len(gain))
    return total > least and total > CLEAR * error
