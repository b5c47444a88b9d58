"""A pair of images, and how well a transform aligns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, silent, subprogress
from ..images.field_of_view import field_of_view
from ..images.preprocess import block_mean, steps_to, unit_range
from ..images.task import Landmarks, Task
from ..transforms import Affine, Displacement, Transform, displacement_on, warp
from .similarity import (
    LNCC_WINDOW,
    folded_percentage,
    l1,
    landmark_errors,
    lncc,
    lncc_map,
    ncc,
    nmi,
    rmse,
    ssim_map,
)

SIMILARITIES = ("l1", "rmse", "ncc", "nmi", "ssim")
# Longest side at which LNCC is measured: finer detail is mostly noise, and large images cost no more.
SIZES = {2: 640, 3: 128}
BORDER = LNCC_WINDOW // 2 + 1  # pixels along the edge of a field of view that do not count
NOISE = 0.005  # change of LNCC that interpolation and noise alone may bring
SCARCE = 0.05  # overlap, as a fraction of the fixed field of view, below which there is nothing to compare

T = TypeVar("T")


@dataclass(frozen=True)
class Scores:
    """What was measured on the fixed grid under one transform.

    Parameters
    ----------
    whole, overlap : mapping
        ``l1``, ``rmse``, ``ncc``, ``nmi`` and ``ssim`` over the whole grid, and over the pixels where both
        images have data. Each image is first scaled to [0, 1] by its own 0.1 and 99.9 percentiles.
    overlap_fraction : float
        Fraction of the fixed grid (inside its mask) onto which the moving image (inside its mask) falls.
    folded : float
        Percentage of the fixed grid where the Jacobian determinant is not positive.
    landmark_error : float or None
        Mean distance of corresponding landmarks, world units.
    """

    whole: Mapping[str, float]
    overlap: Mapping[str, float]
    overlap_fraction: float
    folded: float
    landmark_error: float | None = None


@dataclass(frozen=True, eq=False)
class Warped:
    """The moving image under a transform, on the fixed grid.

    Parameters
    ----------
    image : ndarray, shape of the fixed grid
        In [0, 1]; 0 where the moving image has no data.
    inside : ndarray of bool
        Where both images have data, inside their masks.
    ssim : ndarray, float32
        Structural similarity to the fixed image at each pixel, -1 to 1.
    """

    image: Array
    inside: Array
    ssim: Array


class PairMetrics:
    """A pair scaled once, to be measured under any number of transforms.

    The scores are measured at full resolution; LNCC on coarser pixels, inside the fields of view: black
    corners, padding and round borders, which coincide under many transforms, do not count. The last results
    are kept, so that a repeated query costs nothing.

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
        fixed_mask: Image | None = None,
        moving_mask: Image | None = None,
        landmarks: Landmarks | None = None,
    ) -> None:
        self._given = fixed, moving
        self.fixed_mask = fixed_mask
        self.moving_mask = moving_mask
        self.landmarks = landmarks
        self._at_nodes: _Recent[Displacement] = _Recent(2)
        self._warped: _Recent[Warped] = _Recent(2)
        self._coarsely: _Recent[tuple[Array, Array]] = _Recent(3)
        self._references: _Recent[tuple[Array, Array]] = _Recent(2)

    @classmethod
    def of(cls, task: Task) -> PairMetrics:
        """Of the pair of a task."""
        return cls(task.fixed, task.moving, task.fixed_mask, task.moving_mask, task.landmarks)

    @cached_property
    def fixed(self) -> Image:
        """The fixed image, scaled to [0, 1]."""
        return self._given[0].with_data(unit_range(self._given[0].data))

    @cached_property
    def moving(self) -> Image:
        """The moving image, scaled to [0, 1]."""
        return self._given[1].with_data(unit_range(self._given[1].data))

    @property
    def coarse_grid(self) -> Grid:
        """The grid on which LNCC is measured."""
        return self._coarse_fixed[0].grid

    def landmark_error(self, transform: Transform | None) -> float | None:
        """Mean distance of the landmarks, world units; None without any."""
        if self.landmarks is None:
            return None
        transform = Affine.identity(self._given[0].ndim) if transform is None else transform
        return float(landmark_errors(transform, *self.landmarks).mean())

    def at_nodes(self, transform: Transform | None, grid: Grid) -> Transform | None:
        """A transform that equals the given one at the nodes of a grid, where it is evaluated once."""
        if transform is None or transform.linear:
            return transform
        return self._at_nodes(lambda: Displacement(displacement_on(transform, grid), grid), transform, grid)

    def warped(self, transform: Transform | None, progress: Progress = silent) -> Warped:
        """The moving image on the fixed grid; None stands for the identity."""
        return self._warped(lambda: self._warp(transform, progress), transform)

    def scores(self, transform: Transform | None, progress: Progress = silent) -> Scores:
        """All scores under a transform; None stands for the identity."""
        progress(0.0, "measuring")
        found = self.warped(transform, subprogress(progress, 0.1, 0.8))
        progress(0.8, "measuring")
        fixed, image, inside = self.fixed.data, found.image, found.inside
        whole = _similarities(fixed, image, found.ssim)
        if inside.all():
            overlap = whole
        elif inside.any():
            overlap = _similarities(fixed[inside], image[inside], found.ssim[inside])
        else:
            overlap = dict.fromkeys(SIMILARITIES, float("nan"))
        counted = inside.size if self.fixed_mask is None else np.count_nonzero(self.fixed_mask.data)
        progress(0.9, "measuring the deformation")
        at_nodes = self.at_nodes(transform, self.fixed.grid)
        return Scores(
            whole,
            overlap,
            np.count_nonzero(inside) / max(counted, 1),
            0.0 if at_nodes is None else folded_percentage(at_nodes, self.fixed.grid),
            self.landmark_error(transform),
        )

    def lncc(
        self, transform: Transform | None, before: Transform | None = None, progress: Progress = silent
    ) -> float:
        """Local normalised cross-correlation under a transform, on pixels that do not depend on it.

        The pixels are those of the fixed field of view where the images overlap under `before`, so that all
        transforms that are compared with the same `before` are measured on the same pixels. A pixel that a
        transform leaves without data keeps its value under `before`: losing it is neither gain nor loss.
        Where the images overlap too little under `before` (see `SCARCE`), the pixels are the whole fixed
        field of view, and those without data count 0.

        Parameters
        ----------
        transform, before : Transform or None
            None stands for the identity.

        Returns
        -------
        float
            0 to 1; nan if the transform leaves data on none of the pixels, or is `before` itself and the
            images overlap too little.
        """
        first, second = subprogress(progress, 0.0, 0.5), subprogress(progress, 0.5, 1.0)
        counted, values = self._references(lambda: self._reference(before, first), before)
        if transform is before:
            return float(values[counted].mean(dtype=np.float64)) if self._enough(before) else float("nan")
        image, inside = self._coarse(transform)
        inside = inside & counted
        if not inside.any():
            return float("nan")
        found = lncc_map(self._coarse_fixed[0].data, image, inside, second)
        return float(np.where(inside, found, values)[counted].mean(dtype=np.float64))

    def coarsely(self, transform: Transform | None) -> tuple[Image, Image, Image]:
        """Fixed, warped moving image and where both have data, as LNCC is measured."""
        fixed = self._coarse_fixed[0]
        image, inside = self._coarse(transform)
        return fixed, fixed.with_data(image), fixed.with_data(inside)

    def overlap(self, transform: Transform | None) -> float:
        """Fraction of the fixed field of view that the moving image covers."""
        view, inside = self._coarse_fixed[1], self._coarse(transform)[1]
        return int(np.count_nonzero(inside)) / max(int(np.count_nonzero(view)), 1)

    def unrelated(self, transform: Transform | None) -> float:
        """LNCC with the moving image displaced by a quarter of its size along every axis, around its edges.

        This is the LNCC of such textures where nothing corresponds: the smoother they are, the higher. (The
        mirror image of a near-symmetric object, such as a head, would correspond.)

        Parameters
        ----------
        transform : Transform or None
            Applied to the moving image before it is displaced.

        Returns
        -------
        float
            0 to 1; nan if there is no common pixel.
        """
        image, inside = self._coarse(transform)
        axes = tuple(range(image.ndim))
        image, displaced = (np.roll(each, [n // 4 for n in image.shape], axes) for each in (image, inside))
        common = inside & displaced
        return lncc(self._coarse_fixed[0].data, image, common) if common.any() else float("nan")

    def _warp(self, transform: Transform | None, progress: Progress) -> Warped:
        grid = self.fixed.grid
        at_nodes = self.at_nodes(transform, grid)
        image = warp(self.moving, at_nodes, grid, fill=-1.0).data
        inside = image >= 0  # pixels are in [0, 1]: what is below comes from outside
        image = np.maximum(image, 0, out=image)
        if self.moving_mask is not None:
            inside &= warp(self.moving_mask, at_nodes, grid, order=0).data
        if self.fixed_mask is not None:
            inside &= self.fixed_mask.data
        return Warped(image, inside, ssim_map(self.fixed.data, image, progress))

    def _coarse(self, transform: Transform | None) -> tuple[Array, Array]:
        """The moving image on the coarse grid, and where both fields of view overlap."""

        def make() -> tuple[Array, Array]:
            (fixed, view), (moving, covered) = self._coarse_fixed, self._coarse_moving
            at_nodes = self.at_nodes(transform, fixed.grid)
            inside = warp(moving.with_data(covered), at_nodes, fixed.grid, order=0).data & view
            return warp(moving, at_nodes, fixed.grid).data, inside

        return self._coarsely(make, transform)

    def _enough(self, transform: Transform | None) -> bool:
        """Whether the images overlap enough to compare other transforms with this one."""
        return self.overlap(transform) >= SCARCE

    def _reference(self, before: Transform | None, progress: Progress) -> tuple[Array, Array]:
        """The pixels on which transforms are compared with `before`, and their values under it."""
        fixed, view = self._coarse_fixed
        if not self._enough(before):
            return view, np.zeros(view.shape, np.float32)
        image, inside = self._coarse(before)
        return inside, lncc_map(fixed.data, image, inside, progress)

    @cached_property
    def _coarse_fixed(self) -> tuple[Image, Array]:
        return _coarsened(self.fixed, self.fixed_mask)

    @cached_property
    def _coarse_moving(self) -> tuple[Image, Array]:
        return _coarsened(self.moving, self.moving_mask)


class _Recent(Generic[T]):
    """A cache of the values computed last, so that memory does not grow.

    Keys are objects, compared by identity.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._items: list[tuple[tuple[object, ...], T]] = []

    def __call__(self, make: Callable[[], T], *key: object) -> T:
        for k, (known, value) in enumerate(self._items):
            if all(a is b for a, b in zip(known, key, strict=True)):
                self._items.append(self._items.pop(k))
                return value
        value = make()
        self._items = [*self._items, (key, value)][-self._count :]
        return value


def _similarities(a: Array, b: Array, ssim: Array) -> dict[str, float]:
    """The five similarities of pixels that are already chosen."""
    return dict(
        zip(SIMILARITIES, (l1(a, b), rmse(a, b), ncc(a, b), nmi(a, b), float(ssim.mean())), strict=True)
    )


def _coarsened(image: Image, mask: Image | None) -> tuple[Image, Array]:
    """A scaled image at the size at which LNCC is measured, and its field of view without the rim."""
    from scipy.ndimage import binary_erosion

    steps = steps_to(image.grid, SIZES[image.ndim])
    small = block_mean(image, steps)
    view = field_of_view(small.data)
    if not view.all():
        # Along the image's own edge the window simply ends; only an edge inside the image is eroded.
        eroded = binary_erosion(view, iterations=BORDER, border_value=1)
        view = eroded if eroded.any() else view
        # The black surroundings would flatten the contrast inside.
        low, high = np.percentile(small.data[view], (0.1, 99.9))
        small = small.with_data(np.clip((small.data - low) / max(high - low, 1e-6), 0, 1).astype(np.float32))
    if mask is not None:
        view = view & (block_mean(mask, steps).data > 0.5)
    return small, view
