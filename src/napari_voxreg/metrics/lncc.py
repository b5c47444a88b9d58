"""One honest number for how well the structures of two images meet under a transform."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Array, Image
from ..core.progress import Progress, silent, subprogress
from ..images.field_of_view import field_of_view
from ..images.preprocess import block_mean, steps_to, unit_range
from ..transforms import Displacement, Transform, displacement_on, warp
from .similarity import local_correlation

# Longest side at which pairs are compared: finer detail is mostly noise, and large images cost no more.
SIZES = {2: 640, 3: 128}
BORDER = 5  # pixels along the edge of a field of view that do not count: half a window of the measure


class LNCC:
    """The local correlation of a pair, compared between transforms on the same pixels.

    Fields of view are respected: black corners, padding and round borders, which meet wherever they are put,
    do not count.

    Parameters
    ----------
    fixed, moving : Image
        One channel each, in the same units.
    fixed_mask, moving_mask : Image or None
        Boolean, on the grids of `fixed` and `moving`.
    size : int, optional
        Pixels along the longest side at which the pair is compared.
    """

    def __init__(
        self,
        fixed: Image,
        moving: Image,
        fixed_mask: Image | None = None,
        moving_mask: Image | None = None,
        size: int | None = None,
    ) -> None:
        size = SIZES[fixed.ndim] if size is None else size
        self.fixed, self._view = _prepared(fixed, fixed_mask, size)
        self._moving, view = _prepared(moving, moving_mask, size)
        self._covered = Image(view, self._moving.grid)

    def warped(self, transform: Transform | None) -> tuple[Array, Array]:
        """The moving image on the coarse fixed grid, and where both images show something."""
        if transform is not None and not transform.linear:
            # At the nodes the field is the transform; evaluated once, it serves the picture and its cover.
            transform = Displacement(displacement_on(transform, self.fixed.grid), self.fixed.grid)
        inside = warp(self._covered, transform, self.fixed.grid, order=0).data & self._view
        return warp(self._moving, transform, self.fixed.grid).data, inside

    def compare(
        self, *transforms: Transform | None, progress: Progress = silent
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Local correlation under each transform where all of them overlap, and each one's overlap.

        Parameters
        ----------
        *transforms : Transform or None
            None stands for the identity.

        Returns
        -------
        correlations : tuple of float
            0 to 1 each; nan if there is no common pixel.
        overlaps : tuple of float
            Part of the fixed image's field of view on which the moving image shows something.
        """
        pictures = [self.warped(transform) for transform in transforms]
        common = np.logical_and.reduce([inside for _, inside in pictures])
        total = max(int(np.count_nonzero(self._view)), 1)
        overlaps = tuple(np.count_nonzero(inside) / total for _, inside in pictures)
        if not common.any():
            return (float("nan"),) * len(pictures), overlaps
        steps = np.linspace(0, 1, len(pictures) + 1)
        values = tuple(
            local_correlation(self.fixed.data, picture, common, subprogress(progress, *steps[k : k + 2]))
            for k, (picture, _) in enumerate(pictures)
        )
        return values, overlaps

    def unrelated(self, transform: Transform | None) -> float:
        """Local correlation with the moving image upside down along every axis.

        So much do textures like these agree where nothing belongs together: the smoother, the more.

        Parameters
        ----------
        transform : Transform or None
            How the moving image lies before it is turned about the middle of the fixed image.

        Returns
        -------
        float
            0 to 1; nan if there is no common pixel.
        """
        picture, inside = self.warped(transform)
        common = inside & np.flip(inside)
        return local_correlation(self.fixed.data, np.flip(picture), common) if common.any() else float("nan")


def _prepared(image: Image, mask: Image | None, size: int) -> tuple[Image, Array]:
    """The image in [0, 1] at the size of comparison, and its field of view without the rim."""
    from scipy.ndimage import binary_erosion

    steps = steps_to(image.grid, size)
    small = block_mean(image.with_data(unit_range(image.data)), steps)
    view = field_of_view(small.data)
    if not view.all():
        # Along the picture's own edge the window simply ends; only an edge inside the picture is eroded.
        eroded = binary_erosion(view, iterations=BORDER, border_value=1)
        view = eroded if eroded.any() else view
        # The black around would make what is inside look flat.
        low, high = np.percentile(small.data[view], (0.1, 99.9))
        small = small.with_data(np.clip((small.data - low) / max(high - low, 1e-6), 0, 1).astype(np.float32))
    if mask is not None:
        view = view & (block_mean(mask, steps).data > 0.5)
    return small, view
