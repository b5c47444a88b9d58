"""Whether one transform aligns a pair better than another, or only by chance."""

from __future__ import annotations

import numpy as np

from ..transforms import Transform
from .pair import SCARCE, PairMetrics
from .similarity import LNCC_WINDOW

KEPT = 0.5  # fraction of the overlap that a result must keep: a smaller one always looks more similar
LEAST = 0.002  # gain in LNCC below which one transform is not preferred to another
# Largest rise of LNCC by chance, measured on random textures: a fraction of the gap to 1, for an image of one
# window. More windows lower it by their square root. Smooth textures agree more by chance, at most by SMOOTH
# times their LNCC where nothing corresponds.
CHANCE = 0.6
SMOOTH = 8.0


class Judge:
    """Compares transforms of one pair: by landmarks where there are any, else by LNCC.

    Parameters
    ----------
    metrics : PairMetrics
        Of the pair.
    """

    def __init__(self, metrics: PairMetrics) -> None:
        self._metrics = metrics
        self._chance: float | None = None  # for one window

    def prefers(self, new: Transform, old: Transform, chances: float = 1.0) -> bool:
        """Whether the new transform is the better one.

        Parameters
        ----------
        new, old : Transform
            From world points of fixed to moving.
        chances : float
            Required gain of the new one in multiples of the gain by chance. It is 0 where small steps from a
            correct old transform reached the new one. Landmarks need no margin.
        """
        metrics = self._metrics
        errors = metrics.landmark_error(new), metrics.landmark_error(old)
        if errors[0] is not None and errors[1] is not None:
            return errors[0] < errors[1]
        before, after = (metrics.lncc(transform, old) for transform in (old, new))
        least, overlap = metrics.overlap(old), metrics.overlap(new)
        if np.isnan(before) or np.isnan(after):
            return overlap > least
        grid = metrics.coarse_grid
        windows = overlap * np.prod(grid.shape) / LNCC_WINDOW**grid.ndim
        if self._chance is None:
            self._chance = max(CHANCE, np.nan_to_num(SMOOTH * metrics.unrelated(old)))
        gain = LEAST + self._chance * (1 - before) / max(windows, 1.0) ** 0.5
        return bool(overlap >= KEPT * least and after > before + chances * gain)

    def overlaps(self, transform: Transform | None) -> bool:
        """Whether the images overlap enough under the transform to compare anything."""
        return self._metrics.overlap(transform) >= SCARCE
