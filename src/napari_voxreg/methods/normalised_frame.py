"""A normalised frame in which a pair is registered, and the inverse mapping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..transforms import Transform


@dataclass(frozen=True)
class Frame:
    """A similarity of the world after which the fixed grid is centred, upright and has unit spacing.

    Optimisers have step lengths and tolerances in world units; in this frame these are pixels, so a change of
    units, origin or orientation changes nothing. Being a similarity, the frame keeps rigid motions rigid.

    Parameters
    ----------
    matrix : ndarray, shape (d + 1, d + 1)
        From world to frame.
    """

    matrix: Array

    @classmethod
    def of(cls, grid: Grid) -> Frame:
        """The frame of a fixed grid; the finest spacing becomes 1."""
        d = grid.ndim
        u, _, vt = np.linalg.svd(
            grid.direction
        )  # the nearest orthogonal matrix: a sheared grid keeps its shear
        linear = (u @ vt).T / grid.spacing.min()
        matrix = np.eye(d + 1)
        matrix[:d, :d] = linear
        matrix[:d, d] = -linear @ grid.centre
        return cls(matrix)

    def image(self, image: Image) -> Image:
        """The image moved into the frame."""
        return image.with_grid(image.grid.moved(self.matrix))

    def from_frame(self, transform: Transform) -> Transform:
        """A transform found in the frame, in the world."""
        return transform.moved(np.linalg.inv(self.matrix))
