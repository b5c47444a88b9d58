"""Whether one transform brings a pair together better than another, or only by chance."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Image
from ..images.task import Landmarks
from ..transforms import Transform
from .lncc import LNCC
from .similarity import LOCAL_WINDOW, landmark_errors

SCARCE = 0.05  # part of the fixed image: with less overlap there is nothing to compare with
KEPT = 0.5  # of the overlap that a result must keep: less of it always looks more alike
NOISE = 0.002  # of the local correlation, which interpolation alone may change as much
# Textures that have nothing to do with each other agree here more and there less: by how much their local
# correlation rises by chance at most, measured on random ones, in parts of what is missing to 1 and for a
# picture of one window; more windows lower it by their square root. Smooth textures agree more by chance: at
# most by so many times what they show where nothing belongs together.
CHANCE = 0.6
SMOOTH = 8.0


class Judge:
    """Compares transforms of one pair: by landmarks where there are any, else by local correlation.

    Parameters
    ----------
    fixed, moving : Image
        One channel each, in the same units.
    fixed_mask, moving_mask : Image or None
        Boolean, on the grids of `fixed` and `moving`.
    landmarks : tuple of ndarray or None
        Corresponding world points of fixed and moving, (N, d) each.
    """

    def __init__(
        self,
        fixed: Image,
        moving: Image,
        fixed_mask: Image | None,
        moving_mask: Image | None,
        landmarks: Landmarks | None,
    ) -> None:
        self._likeness = LNCC(fixed, moving, fixed_mask, moving_mask)
        self._landmarks = landmarks
        self._chance: float | None = None  # for one window

    def prefers(self, new: Transform, old: Transform, chances: float = 1.0) -> bool:
        """Whether the new transform is the better one.

        Parameters
        ----------
        new, old : Transform
            From world points of fixed to moving.
        chances : float
            By how many times the gain that chance may bring the new one must be ahead: 0 where it was reached
            by small steps from an old one that is known to be right. Landmarks need no margin.
        """
        if self._landmarks is not None:
            after, before = (float(landmark_errors(t, *self._landmarks).mean()) for t in (new, old))
            return after < before
        (before, after), (least, overlap) = self._likeness.compare(old, new)
        if np.isnan(before) or least < SCARCE:
            return overlap > least
        windows = overlap * self._likeness.fixed.data.size / LOCAL_WINDOW**self._likeness.fixed.ndim
        if self._chance is None:
            self._chance = max(CHANCE, np.nan_to_num(SMOOTH * self._likeness.unrelated(old)))
        gain = NOISE + self._chance * (1 - before) / max(windows, 1.0) ** 0.5
        return overlap >= KEPT * least and after > before + chances * gain

    def overlaps(self, transform: Transform | None) -> bool:
        """Whether the images overlap enough under the transform to compare anything."""
        return bool(self._likeness.warped(transform)[1].mean() >= SCARCE)
