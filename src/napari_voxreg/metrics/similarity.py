"""Measures on arrays: similarity of images, overlap of labels, landmark errors, folding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid
from ..core.progress import Progress, silent
from ..transforms import Transform, displacement_on, jacobian_determinant

SSIM_WINDOW = 7
LNCC_WINDOW = 9
BINS = 64


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


def lncc(a: Array, b: Array, inside: Array, progress: Progress = silent) -> float:
    """Local normalised cross-correlation: the mean of `lncc_map` over the pixels inside, at least one."""
    return float(lncc_map(a, b, inside, progress)[inside].mean(dtype=np.float64))


def lncc_map(a: Array, b: Array, inside: Array, progress: Progress = silent) -> Array:
    """Squared correlation in windows of 9 pixels (Avants et al., Medical Image Analysis 12, 2008).

    It shows whether structures meet, whatever their contrast: brightness that changes slowly and the common
    outline of two fields of view, which lift global measures, count for little.

    Parameters
    ----------
    a, b : ndarray, same shape
        In [0, 1]. Axes shorter than the window use a shorter one.
    inside : ndarray of bool, same shape
        Which pixels count, also within the windows.

    Returns
    -------
    ndarray, float32
        0 to 1; 0 outside.
    """
    result = np.empty(a.shape, dtype=np.float32)
    for slab, wide, inner in _slabs(a.shape, LNCC_WINDOW):
        progress(slab.start / a.shape[0], "comparing before and after")
        result[slab] = np.where(inside[slab], _lncc(a[wide], b[wide], inside[wide])[inner], 0)
    return result


def local_correlation(a: Array, b: Array, inside: Array) -> tuple[Array, Array]:
    """Squared correlation in windows of 9 pixels, and how each pixel of `b` raises it.

    Parameters
    ----------
    a, b : ndarray, same shape
        In [0, 1].
    inside : ndarray of bool, same shape
        Which pixels count within the windows.

    Returns
    -------
    values : ndarray
        0 to 1 at each pixel.
    slopes : ndarray
        Their derivative with respect to `b`, at the centre of each window.
    """
    mean_a, mean_b, var_a, var_b, covariance = _moments(a, b, inside)
    values = covariance**2 / (var_a * var_b)
    slopes = 2 * covariance / (var_a * var_b) * (a - mean_a - covariance / var_b * (b - mean_b))
    return values, slopes


def uniformity(a: Array, b: Array, inside: Array) -> float:
    """How uniformly both brightnesses rise together, or one rises as the other falls, 0 to 1.

    Near 1 for two images of one modality that are aligned; lower where a tissue is brighter here and darker
    there, as between T1 and T2, or where nothing corresponds.
    """
    _, _, var_a, var_b, covariance = _moments(a, b, inside)
    signed = (covariance * np.abs(covariance) / (var_a * var_b))[inside]
    return float(np.abs(signed.mean()) / max(np.abs(signed).mean(), 1e-6))


def _moments(a: Array, b: Array, inside: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Means and variances of both images and their covariance in windows, from the pixels inside."""
    from scipy.ndimage import uniform_filter

    size = _window(a.shape, LNCC_WINDOW)
    weight = inside.astype(np.float32)
    share = np.maximum(uniform_filter(weight, size), 1e-3)

    def mean(x: Array) -> Array:
        return np.asarray(uniform_filter(x.astype(np.float32) * weight, size) / share)

    mean_a, mean_b = mean(a), mean(b)
    # The constant keeps flat places, where a correlation means nothing, near zero.
    var_a = np.maximum(mean(a * a) - mean_a**2, 0) + 1e-3
    var_b = np.maximum(mean(b * b) - mean_b**2, 0) + 1e-3
    return mean_a, mean_b, var_a, var_b, mean(a * b) - mean_a * mean_b


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


def landmark_errors(transform: Transform, fixed: npt.ArrayLike, moving: npt.ArrayLike) -> Array:
    """Distance between each transformed fixed point and its moving point, (N,), world units."""
    return np.linalg.norm(transform(fixed) - np.asarray(moving, dtype=float), axis=1)


def folded_percentage(transform: Transform, grid: Grid) -> float:
    """Percentage of a grid's nodes where the Jacobian determinant is not positive."""
    if transform.linear:
        return 0.0  # a reflection mirrors space everywhere but folds it nowhere
    return 100.0 * float(np.mean(jacobian_determinant(displacement_on(transform, grid), grid) <= 0))


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


def _lncc(a: Array, b: Array, inside: Array) -> Array:
    """Squared correlation around each pixel of one slab, from the pixels inside alone."""
    return local_correlation(a, b, inside)[0]


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
