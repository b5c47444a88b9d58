"""Poses that others propose, and how much their source itself vouches for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..core.geometry import Array
from ..core.progress import Progress
from ..images.task import Task


@dataclass(frozen=True, eq=False)
class Proposals:
    """Poses worth refining.

    Parameters
    ----------
    matrices : ndarray, shape (n, d + 1, d + 1)
        Homogeneous, from world points of the fixed image to those of the moving image.
    support : ndarray, shape (n,)
        Fraction of the fixed image, 0 to 1, that speaks for the pose by the source's own measure; 0 where the
        source has none.
    """

    matrices: Array
    support: Array

    @classmethod
    def unsupported(cls, matrices: Array) -> Proposals:
        """Poses whose source says nothing about them."""
        return cls(matrices, np.zeros(len(matrices)))

    def joined(self, other: Proposals) -> Proposals:
        """Both one after the other."""
        return Proposals(
            np.concatenate([self.matrices, other.matrices]), np.concatenate([self.support, other.support])
        )


Source = Callable[[Task, Progress], Proposals]
"""Proposes poses of the moving image on the fixed one; may raise `Cancelled`."""
