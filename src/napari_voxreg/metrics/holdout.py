"""Whether a deformation is real or fits noise: found on half of the blocks, tested on the held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, subprogress
from ..images.preprocess import block_mean, steps_to
from ..transforms import Transform
from .chance import match
from .pair import PairMetrics
from .similarity import ncc, uniformity

SIZES = {2: 256, 3: 96}  # longest side, pixels: enough to test a smooth deformation
BLOCKS = {2: 16, 3: 12}  # pixels along a block's side: less than the reach of most motions
# Averages noise as much as linear interpolation does, on average over all places between pixels: what a
# deformation resampled must be compared with an image that was smoothed as much.
RESAMPLED = (0.1, 0.8, 0.1)

Deform = Callable[[Image, Image, Image | None, Image | None, Progress], Transform]


@dataclass(frozen=True)
class Trial:
    """A deformation measured on held-out blocks and on the whole of a small copy of the pair.

    Parameters
    ----------
    name : str
        Which one.
    before, after : float
        LNCC on the held-out blocks, without and with it; nan if there was nothing to compare.
    excess : float
        LNCC that it gains on the whole of the copy, less what a fit as rough gains where nothing
        corresponds; 0 if that was not measured.
    uniform : float
        How uniformly both brightnesses rise together under it, see `similarity.uniformity`; 1 if that was
        not measured.
    """

    name: str
    before: float
    after: float
    excess: float = 0.0
    uniform: float = 1.0

    @property
    def gain(self) -> float:
        """Change of LNCC on the held-out blocks."""
        return self.after - self.before


class Copies:
    """Small copies of a pair, on which deformations are tried.

    Parameters
    ----------
    fixed, moving : Image
        One channel each, as well aligned as the earlier stages left them.
    fixed_mask, moving_mask : Image or None
        Boolean, on the grids of `fixed` and `moving`.
    """

    def __init__(
        self, fixed: Image, moving: Image, fixed_mask: Image | None, moving_mask: Image | None
    ) -> None:
        size = SIZES[fixed.ndim]
        self.fixed = block_mean(fixed, steps_to(fixed.grid, size))
        self.moving = block_mean(moving, steps_to(moving.grid, size))
        self.fixed_mask = None if fixed_mask is None else _coarse(fixed_mask, size)
        self.moving_mask = None if moving_mask is None else _coarse(moving_mask, size)

    def held_out(self, candidates: Mapping[str, Deform], progress: Progress) -> dict[str, Trial]:
        """Find each deformation on half of the blocks and measure it on the others.

        The blocks are the black and the white squares of a chessboard; in 2D each colour is held out once,
        in 3D, with its many blocks, one of them. A motion that is real continues smoothly into the held-out
        blocks; what follows noise alone does not. So the same test determines whether to deform at all, how
        stiffly, and by which similarity.

        Parameters
        ----------
        candidates : mapping
            Name to ``deform(fixed, moving, fixed_mask, moving_mask, progress)``, which gives a transform.

        Returns
        -------
        dict
            Name to trial, in the order given. The second colour is tried with the better half only.
        """
        allowed = np.ones(self.fixed.grid.shape, bool) if self.fixed_mask is None else self.fixed_mask.data
        white = _chessboard(self.fixed.grid)
        names = list(candidates)
        scores: dict[str, list[tuple[float, ...]]] = {name: [] for name in candidates}
        rounds = ((white, 0.65), (~white, 0.35)) if self.fixed.ndim == 2 else ((white, 1.0),)
        for k, (fitted, share) in enumerate(rounds):
            train, test = (Image(allowed & blocks, self.fixed.grid) for blocks in (fitted, ~fitted))
            if not train.data.any() or not test.data.any():
                return {name: Trial(name, float("nan"), float("nan")) for name in candidates}
            metrics = PairMetrics(self.fixed, self.moving, test, self.moving_mask)
            before = self._before(metrics)
            for i, name in enumerate(names):
                start = 0.65 * k + share * i / len(names)
                stage = subprogress(progress, start, start + share / len(names))
                found = candidates[name](self.fixed, self.moving, train, self.moving_mask, stage)
                scores[name].append((before, metrics.lncc(found)))
            names = sorted(names, key=lambda name: _gain(scores[name]), reverse=True)[: (len(names) + 1) // 2]
        return {name: Trial(name, *(float(x) for x in np.mean(scores[name], axis=0))) for name in candidates}

    def with_excess(self, trial: Trial, deform: Deform, progress: Progress) -> Trial:
        """The trial with what its deformation of the whole copy gains beyond chance."""
        images = (self.fixed, self.moving, self.fixed_mask, self.moving_mask)
        found = deform(*images, subprogress(progress, 0.0, 0.6))
        chance = match(self._whole, found, subprogress(progress, 0.6, 1.0))
        gained = self._whole.lncc(found) - self._whole_before
        if chance is None or not np.isfinite(gained):
            return trial
        fixed, warped, inside = (image.data for image in self._whole.coarsely(found))
        return replace(
            trial,
            excess=gained - (chance.fitted - chance.unrelated),
            uniform=uniformity(fixed, warped, inside),
        )

    @property
    def correlation(self) -> float:
        """Of all pixels where both copies have data; 0 where none has."""
        fixed, moving, inside = (image.data for image in self._whole.coarsely(None))
        return ncc(fixed[inside > 0.5], moving[inside > 0.5]) if (inside > 0.5).any() else 0.0

    @cached_property
    def _whole(self) -> PairMetrics:
        """Of the whole copies."""
        return PairMetrics(self.fixed, self.moving, self.fixed_mask, self.moving_mask)

    @cached_property
    def _whole_before(self) -> float:
        return self._before(self._whole)

    @cached_property
    def _smoothed(self) -> Image:
        """The moving image with as little noise as an interpolated one."""
        from scipy.ndimage import convolve1d

        data = self.moving.data
        for axis in range(data.ndim):
            data = convolve1d(data, RESAMPLED, axis, mode="nearest")
        return self.moving.with_data(data)

    def _before(self, metrics: PairMetrics) -> float:
        """LNCC without a deformation; the moving image as sharp as an interpolated one, if that is more."""
        smooth = PairMetrics(self.fixed, self._smoothed, metrics.fixed_mask, self.moving_mask)
        return max(metrics.lncc(None), smooth.lncc(None))


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
