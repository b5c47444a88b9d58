"""How alike two images are, how well labels and landmarks meet, and whether space folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, silent, subprogress
from ..images.preprocess import unit_range
from ..transforms import (
    Affine,
    Displacement,
    Transform,
    displacement_on,
    jacobian_determinant,
    warp,
)

SSIM_WINDOW = 7
LOCAL_WINDOW = 9
BINS = 64
SIMILARITIES = ("l1", "rmse", "ncc", "nmi", "ssim")


@dataclass(frozen=True)
class Scores:
    """What was measured on the fixed grid under one transform.

    Parameters
    ----------
    whole, overlap : mapping
        ``l1``, ``rmse``, ``ncc``, ``nmi`` and ``ssim`` over the whole grid, and over the pixels where both
        images have data. Each image is first scaled to [0, 1] by its own 0.1 and 99.9 percentiles.
    overlap_fraction : float
        Part of the fixed grid (inside its mask) onto which the moving image (inside its mask) falls.
    folded : float
        Percentage of the fixed grid where the Jacobian determinant is not positive.
    landmark_error : float or None
        Mean distance of corresponding points, world units.
    """

    whole: Mapping[str, float]
    overlap: Mapping[str, float]
    overlap_fraction: float
    folded: float
    landmark_error: float | None = None


def l1(a: Array, b: Array) -> float:
    """Mean absolute difference."""
    return float(np.mean(np.abs(a - b)))


def rmse(a: Array, b: Array) -> float:
    """Root of the mean squared difference."""
    return float(np.sqrt(np.mean((a - b) ** 2)))


def ncc(a: Array, b: Array) -> float:
    """Pearson correlation, -1 to 1; 0 where one image is constant."""
    a = a - a.mean()
    b = b - b.mean()
    norm = np.sqrt(np.mean(a * a) * np.mean(b * b))
    return float(np.mean(a * b) / norm) if norm > 1e-12 else 0.0


def nmi(a: Array, b: Array) -> float:
    """Normalised mutual information (H(a) + H(b)) / H(a, b), 1 (independent) to 2 (Studholme et al., 1999).

    Both images are in [0, 1]; a joint histogram of 64 x 64 bins.
    """
    # Counting whole numbers is ten times quicker than numpy's general histogram of floats.
    bins_a = np.clip(a * BINS, 0, BINS - 1).astype(np.int32)
    bins_b = np.clip(b * BINS, 0, BINS - 1).astype(np.int32)
    joint = np.bincount((bins_a * BINS + bins_b).ravel(), minlength=BINS * BINS).reshape(BINS, BINS)
    p = joint / max(joint.sum(), 1)
    together = _entropy(p)
    return (_entropy(p.sum(0)) + _entropy(p.sum(1))) / together if together > 0 else 1.0


def ssim_map(a: Array, b: Array, progress: Progress = silent) -> Array:
    """Structural similarity at each pixel (Wang et al., IEEE TIP 13, 2004), uniform windows of 7 pixels.

    Parameters
    ----------
    a, b : ndarray, same shape
        In [0, 1]. Axes shorter than the window use a shorter one.

    Returns
    -------
    ndarray, float32
        -1 to 1.
    """
    result = np.empty(a.shape, dtype=np.float32)
    for slab, wide, inner in _slabs(a.shape, SSIM_WINDOW):
        progress(slab.start / a.shape[0], "measuring structural similarity")
        result[slab] = _ssim(a[wide], b[wide])[inner]
    return result


def local_correlation(a: Array, b: Array, inside: Array, progress: Progress = silent) -> float:
    """Mean squared correlation in windows of 9 pixels (Avants et al., Medical Image Analysis 12, 2008).

    It asks whether structures meet, whatever their contrast: brightness that changes slowly and the common
    outline of two fields of view, which lift global measures, count for little.

    Parameters
    ----------
    a, b : ndarray, same shape
        In [0, 1]. Axes shorter than the window use a shorter one.
    inside : ndarray of bool, same shape
        Which pixels count, at least one.

    Returns
    -------
    float
        0 to 1.
    """
    total, count = 0.0, 0
    for slab, wide, inner in _slabs(a.shape, LOCAL_WINDOW):
        progress(slab.start / a.shape[0], "comparing before and after")
        counted = inside[slab]
        total += float(_local_correlation(a[wide], b[wide], inside[wide])[inner][counted].sum())
        count += int(np.count_nonzero(counted))
    return total / count


def dice(a: npt.ArrayLike, b: npt.ArrayLike, label: int | None = None) -> float:
    """Dice overlap of two label images for one label, or the mean over all labels but 0 found in either."""
    a, b = np.asarray(a), np.asarray(b)
    labels = [label] if label is not None else [x for x in np.union1d(a, b) if x != 0]
    if not labels:
        return float("nan")
    values = []
    for x in labels:
        total = np.count_nonzero(a == x) + np.count_nonzero(b == x)
        values.append(2 * np.count_nonzero((a == x) & (b == x)) / total if total else 1.0)
    return float(np.mean(values))


def hd95(a: npt.ArrayLike, b: npt.ArrayLike, spacing: npt.ArrayLike) -> float:
    """95th percentile of the distances between the surfaces of two masks; nan if one is empty.

    `spacing` is that of the pixels along each axis; the result is in its units.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt

    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if not a.any() or not b.any():
        return float("nan")
    edge_a, edge_b = a & ~binary_erosion(a), b & ~binary_erosion(b)
    to_a = distance_transform_edt(~edge_a, sampling=spacing)
    to_b = distance_transform_edt(~edge_b, sampling=spacing)
    return float(np.percentile(np.concatenate([to_a[edge_b], to_b[edge_a]]), 95))


def landmark_errors(transform: Transform, fixed: npt.ArrayLike, moving: npt.ArrayLike) -> Array:
    """Distance between each transformed fixed point and its moving point, (N,), world units."""
    return np.linalg.norm(transform(fixed) - np.asarray(moving, dtype=float), axis=1)


def folded_percentage(transform: Transform, grid: Grid) -> float:
    """Percentage of a grid's nodes where the Jacobian determinant is not positive."""
    if transform.linear:
        return 0.0  # a reflection turns space over everywhere but folds it nowhere
    return _folded(displacement_on(transform, grid), grid)


class PairMetrics:
    """A pair made ready to be measured under several transforms.

    Parameters
    ----------
    fixed, moving : Image
        One channel each, in the same units.
    fixed_mask, moving_mask : Image or None
        Boolean, on the grids of `fixed` and `moving`.
    points : tuple of ndarray or None
        Corresponding world points.
    """

    def __init__(
        self,
        fixed: Image,
        moving: Image,
        fixed_mask: Image | None = None,
        moving_mask: Image | None = None,
        points: tuple[Array, Array] | None = None,
    ) -> None:
        self.fixed = fixed.with_data(unit_range(fixed.data))
        self.moving = moving.with_data(unit_range(moving.data))
        self.fixed_mask = fixed_mask
        self.moving_mask = moving_mask
        self.points = points

    def warped(self, transform: Transform | None) -> tuple[Array, Array]:
        """The moving image on the fixed grid, in [0, 1], and where both images count."""
        grid = self.fixed.grid
        picture = warp(self.moving, transform, grid, fill=-1.0).data
        inside = picture >= 0  # pixels are in [0, 1]: what is below comes from outside
        picture = np.maximum(picture, 0, out=picture)
        if self.moving_mask is not None:
            inside &= warp(self.moving_mask, transform, grid, order=0).data
        if self.fixed_mask is not None:
            inside &= self.fixed_mask.data
        return picture, inside

    def scores(self, transform: Transform | None, progress: Progress = silent) -> Scores:
        """All scores under a transform; None stands for the identity."""
        progress(0.0, "measuring")
        fixed, grid = self.fixed.data, self.fixed.grid
        field = None if transform is None or transform.linear else displacement_on(transform, grid)
        # At the nodes the field is the transform; evaluated once, it serves the picture and the folds.
        picture, inside = self.warped(transform if field is None else Displacement(field, grid))
        ssim = ssim_map(fixed, picture, subprogress(progress, 0.1, 0.8))
        progress(0.8, "measuring")
        whole = _similarities(fixed, picture, ssim)
        if inside.all():
            overlap = whole
        elif inside.any():
            overlap = _similarities(fixed[inside], picture[inside], ssim[inside])
        else:
            overlap = dict.fromkeys(SIMILARITIES, float("nan"))
        counted = inside.size if self.fixed_mask is None else np.count_nonzero(self.fixed_mask.data)
        progress(0.9, "measuring the deformation")
        error = None
        if self.points is not None:
            moved = Affine.identity(self.fixed.ndim) if transform is None else transform
            error = float(landmark_errors(moved, *self.points).mean())
        return Scores(
            whole,
            overlap,
            np.count_nonzero(inside) / max(counted, 1),
            0.0 if field is None else _folded(field, grid),
            error,
        )


def _folded(field: Array, grid: Grid) -> float:
    """Percentage of nodes where a displacement field folds."""
    return 100.0 * float(np.mean(jacobian_determinant(field, grid) <= 0))


def _similarities(a: Array, b: Array, ssim: Array) -> dict[str, float]:
    """The five similarities of pixels that are already chosen."""
    return dict(
        zip(SIMILARITIES, (l1(a, b), rmse(a, b), ncc(a, b), nmi(a, b), float(ssim.mean())), strict=True)
    )


def _entropy(p: Array) -> float:
    """Shannon entropy of a histogram that sums to 1."""
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _slabs(shape: tuple[int, ...], window: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut an image along its first axis, so that large volumes need little memory and can be cancelled.

    Yields each slab, the slab with the margin that a window needs, and the slab inside that.
    """
    halo = window // 2
    thick = max(1, 1_000_000 // max(1, int(np.prod(shape[1:]))))
    for start in range(0, shape[0], thick):
        stop, low = min(start + thick, shape[0]), max(start - halo, 0)
        yield slice(start, stop), slice(low, stop + halo), slice(start - low, stop - low)


def _window(shape: tuple[int, ...], window: int) -> list[int]:
    """An odd window size along each axis, shorter where the axis is: thin stacks have such axes."""
    return [min(window, n - 1 + n % 2) for n in shape]


def _local_correlation(a: Array, b: Array, inside: Array) -> Array:
    """Squared correlation around each pixel of one slab, from the pixels inside alone."""
    from scipy.ndimage import uniform_filter

    size = _window(a.shape, LOCAL_WINDOW)
    weight = inside.astype(np.float32)
    share = np.maximum(uniform_filter(weight, size), 1e-3)

    def mean(x: Array) -> Array:
        return np.asarray(uniform_filter(x.astype(np.float32) * weight, size) / share)

    mean_a, mean_b = mean(a), mean(b)
    # The constant keeps flat places, where a correlation means nothing, near zero.
    var_a = np.maximum(mean(a * a) - mean_a**2, 0) + 1e-3
    var_b = np.maximum(mean(b * b) - mean_b**2, 0) + 1e-3
    return np.asarray((mean(a * b) - mean_a * mean_b) ** 2 / (var_a * var_b))


def _ssim(a: Array, b: Array) -> Array:
    """Structural similarity of one slab."""
    from scipy.ndimage import uniform_filter

    size = _window(a.shape, SSIM_WINDOW)  # scikit-image's own refuses axes shorter than its window
    a, b = a.astype(np.float32), b.astype(np.float32)
    count = float(np.prod(size))
    unbiased = count / (count - 1) if count > 1 else 1.0
    mean_a, mean_b = uniform_filter(a, size), uniform_filter(b, size)
    var_a = unbiased * (uniform_filter(a * a, size) - mean_a**2)
    var_b = unbiased * (uniform_filter(b * b, size) - mean_b**2)
    covariance = unbiased * (uniform_filter(a * b, size) - mean_a * mean_b)
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return np.asarray(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
