"""Whether a deformation is real or fits noise: found on half of the blocks, tested on the held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, subprogress
from ..images.preprocess import block_mean, steps_to
from ..transforms import Transform
from .pair import PairMetrics

SIZES = {2: 256, 3: 96}  # longest side, pixels: enough to test a smooth deformation
MARGIN = 0.1  # of its gain by which a less simple candidate must be better
BLOCKS = {2: 16, 3: 12}  # pixels along a block's side: less than the reach of most motions

Deform = Callable[[Image, Image, Image | None, Image | None, Progress], Transform]


@dataclass(frozen=True)
class Trial:
    """A deformation measured on held-out blocks.

    Parameters
    ----------
    name : str
        Which one.
    before, after : float
        LNCC on the held-out blocks, without and with it; nan if there was nothing to compare.
    """

    name: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        """Change of LNCC on the held-out blocks."""
        return self.after - self.before


def best_held_out(
    fixed: Image,
    moving: Image,
    fixed_mask: Image | None,
    moving_mask: Image | None,
    candidates: Mapping[str, Deform],
    progress: Progress,
) -> Trial:
    """The deformation that does best on held-out blocks.

    The blocks are the black and the white squares of a chessboard; in 2D each colour is held out once, in
    3D, with its many blocks, one of them. A motion that is real continues smoothly into the held-out blocks;
    what follows noise alone does not. So the same test determines whether to deform at all, how stiffly, and
    by which similarity.

    Parameters
    ----------
    fixed, moving : Image
        One channel each, as well aligned as the earlier stages left them.
    fixed_mask, moving_mask : Image or None
        Boolean, on the grids of `fixed` and `moving`.
    candidates : mapping
        Name to ``deform(fixed, moving, fixed_mask, moving_mask, progress)``, which gives a transform; the
        simplest first: a later one must gain clearly more.

    Returns
    -------
    Trial
        Of the best candidate. The second colour is tried with the better half of the candidates only.
    """
    size = SIZES[fixed.ndim]
    small = block_mean(fixed, steps_to(fixed.grid, size))
    other = block_mean(moving, steps_to(moving.grid, size))
    allowed = np.ones(small.grid.shape, bool) if fixed_mask is None else _coarse(fixed_mask, size).data
    other_mask = None if moving_mask is None else _coarse(moving_mask, size)
    white = _chessboard(small.grid)
    names = list(candidates)
    scores: dict[str, list[tuple[float, ...]]] = {name: [] for name in candidates}
    rounds = ((white, 0.65), (~white, 0.35)) if fixed.ndim == 2 else ((white, 1.0),)
    for k, (fitted, share) in enumerate(rounds):
        train, test = (Image(allowed & blocks, small.grid) for blocks in (fitted, ~fitted))
        if not train.data.any() or not test.data.any():
            return Trial(names[0], float("nan"), float("nan"))
        metrics = PairMetrics(small, other, test, other_mask)
        for i, name in enumerate(names):
            stage = subprogress(
                progress, 0.65 * k + share * i / len(names), 0.65 * k + share * (i + 1) / len(names)
            )
            found = candidates[name](small, other, train, other_mask, stage)
            scores[name].append((metrics.lncc(None), metrics.lncc(found)))
        names = sorted(names, key=lambda name: _gain(scores[name]), reverse=True)[: (len(names) + 1) // 2]
    most = max(_gain(scores[name]) for name in names)
    enough = most - MARGIN * abs(most)
    best = next(name for name in candidates if name in names and _gain(scores[name]) >= enough)
    before, after = np.mean(scores[best], axis=0)
    return Trial(best, float(before), float(after))


def _gain(scores: list[tuple[float, ...]]) -> float:
    """Mean gain of a candidate so far; -1 if it cannot be compared."""
    before, after = np.mean(scores, axis=0)
    return float(after - before) if np.isfinite(after - before) else -1.0


def _coarse(mask: Image, size: int) -> Image:
    """A mask on coarser pixels, True where most of a block is."""
    coarse = block_mean(mask, steps_to(mask.grid, size))
    return coarse.with_data(coarse.data > 0.5)


def _chessboard(grid: Grid) -> Array:
    """Every other block of some pixels of the finest spacing, as cubic as pixels allow."""
    sides = [max(1, round(BLOCKS[grid.ndim] * grid.spacing.min() / s)) for s in grid.spacing]
    colour = np.zeros(grid.shape, int)
    for index, side in zip(np.indices(grid.shape, sparse=True), sides, strict=True):
        colour = colour + index // side
    return colour % 2 == 0
