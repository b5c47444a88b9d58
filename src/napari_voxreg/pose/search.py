"""All translations, rotations and scales of one image on another, at a few dozen pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.geometry import Array
from ..core.progress import Progress, silent
from .features import channels
from .pyramid_image import PyramidImage, sample

SIZE = 64  # pixels on the long side of the smaller image
LARGEST = 200  # pixels on the long side of the larger one
ANGLE = 5.0  # degrees between two rotations; 90 is a multiple
SCALE = 1.13  # ratio of two neighbouring scales
RANGE = 2.0  # scales from 1 / RANGE to RANGE
MOST = 6.0  # times as long: the smaller image then has too few pixels in the larger one to rule out chance
OVERLAP = 0.3  # of the smaller view that a pose must keep
FAVOUR = 0.25  # power of the overlap in the score: more of both images is better than less
# Chance fits small overlaps best: that power alone misses faint pairs that overlap widely, a higher one alone
# those that overlap little.
FAVOURS = (FAVOUR, 0.75)
HALF = 0.5  # of the smaller view that must overlap where repetition is looked for
ASIDE = 0.08  # of the longer side: farther translations are other ones
TILE = 4  # pixels: two translations kept are not in the same tile
PEAKS = 6  # best translations kept for each rotation and scale


@dataclass(frozen=True, eq=False)
class Candidates:
    """Poses worth refining, best by the first score first.

    Parameters
    ----------
    matrices : ndarray, shape (n, 3, 3)
        Homogeneous, from world points of the fixed image to those of the moving image.
    scores : ndarray, shape (n, 2)
        Similarity times the overlap to the powers `FAVOURS`.
    """

    matrices: Array
    scores: Array


def scales(fixed: PyramidImage, moving: PyramidImage, pixels: bool) -> Array:
    """World lengths of the moving image per world length of the fixed one that are worth trying.

    Parameters
    ----------
    pixels : bool
        Whether world units are mere pixels: then the same scene may have been scanned at very different
        sizes, and the images' own ratio is tried as well, or alone where it is extreme.
    """
    steps = math.ceil(math.log(RANGE) / math.log(SCALE))
    around = RANGE ** (np.arange(-steps, steps + 1) / steps)
    ratio = moving.extent / fixed.extent
    if not pixels or 1 / 1.2 < ratio < 1.2:
        return around
    if not 1 / MOST < ratio < MOST:
        return ratio * around
    both = np.concatenate([around, ratio * around])
    kept: list[float] = []
    for scale in np.sort(both):
        if not kept or scale > kept[-1] * (1 + (SCALE - 1) / 2):
            kept.append(float(scale))
    return np.array(kept)


def search(
    fixed: PyramidImage,
    moving: PyramidImage,
    tried: Array,
    progress: Progress = silent,
    mirrored: bool = False,
    workers: int = 1,
) -> Candidates:
    """Correlate oriented channels over all translations for each rotation and scale.

    The correlation is normalised over the pixels in which both images vote (Padfield, IEEE TIP 21, 2012).

    Parameters
    ----------
    tried : ndarray
        Scales to try, see `scales`.
    mirrored : bool
        Flip the moving image's rows first.
    workers : int
        Scales searched side by side.

    Returns
    -------
    Candidates
        The best few of each rotation and scale; neighbours are not yet merged.
    """

    def at(scale: float) -> tuple[Array, Array]:
        extents = fixed.extent, moving.extent / scale
        spacing = max(min(extents) / SIZE, max(extents) / LARGEST)
        return _at_scale(fixed.at(spacing), moving.at(spacing * scale), mirrored)

    found: list[tuple[Array, Array]] = []
    with ThreadPoolExecutor(workers) as pool:
        for number, result in enumerate(pool.map(at, tried)):
            progress((number + 1) / len(tried), f"searching all poses, scale {number + 1} of {len(tried)}")
            found.append(result)
    matrices = np.concatenate([m for m, _ in found])
    scores = np.concatenate([s for _, s in found])
    order = np.argsort(-scores[:, 0], kind="stable")
    return Candidates(matrices[order], scores[order])


def repetition(fixed: tuple[Tensor, Tensor], moving: tuple[Tensor, Tensor]) -> float:
    """Correlation at the best other translation as a fraction of that at none: near 1 on repeated texture.

    Parameters
    ----------
    fixed, moving : tuple of Tensor, shapes (1, 2, h, w) and (1, 1, h, w)
        Channels and mask of the fixed image, and of the moving one under a pose.
    """
    longest = max(fixed[0].shape[2:])
    n = scipy.fft.next_fast_len(2 * longest, real=True)
    smaller = float(min(fixed[1].sum(), moving[1].sum()))
    f, m = (_spectrum(_canvas(z * mask, mask, n)) for z, mask in (fixed, moving))
    score = _correlation(f, m, n, HALF * smaller, smaller)[0]
    here = float(score[0, 0])
    near = torch.arange(n).minimum(n - torch.arange(n)) <= ASIDE * longest
    score[near[:, None] & near] = 0.0
    return float(score.max()) / max(here, 1e-6)


@contextmanager
def several_small_tasks() -> Iterator[int]:
    """One thread for each tensor operation meanwhile; gives how many tasks to run side by side instead.

    Threads that share the small tensors of this search wait for each other longer than they work.
    """
    workers = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield workers
    finally:
        torch.set_num_threads(workers)


def _at_scale(fixed: PyramidImage, moving: PyramidImage, mirrored: bool) -> tuple[Array, Array]:
    """The best translations for each rotation, of two images whose pixels correspond."""
    f, f_mask = channels(fixed.pixels[None, None], fixed.mask[None, None])
    pixels, mask = moving.pixels[None, None], moving.mask[None, None]
    if mirrored:
        pixels, mask = pixels.flip(2), mask.flip(2)
    m, m_mask = channels(pixels, mask)
    if not f_mask.any() or not m_mask.any():
        return np.zeros((0, 3, 3)), np.zeros((0, len(FAVOURS)))
    n = max(f.shape[2:]) + math.ceil(math.hypot(*m.shape[2:]) * 0.8)
    while n % TILE or scipy.fft.next_fast_len(n, real=True) != n:
        n += 1
    least = OVERLAP * float(min(f_mask.sum(), m_mask.sum()))
    smaller = float(min(f_mask.sum(), m_mask.sum()))
    spectra = [_spectrum(_canvas(_quarter(f, k), _quarter(f_mask, k, 0), n)) for k in range(4)]
    angles = np.arange(0.0, 90.0, ANGLE)
    rotated = _rotated(m, m_mask, np.deg2rad(angles), n)
    matrices, scores = [], []
    for angle, one in zip(angles, rotated, strict=True):
        spectrum = _spectrum(one[None])
        for quarter, reference in enumerate(spectra):
            score = _correlation(reference, spectrum, n, least, smaller)
            at = torch.cat([_peaks(one) for one in score]).unique()
            values = score.flatten(1)[:, at].T
            translation = torch.stack([at // n, at % n], -1).numpy().astype(float)
            translation -= n * (translation >= n / 2)  # circular
            scores.append(values.numpy())
            matrices.append(_matrices(fixed, moving, angle, quarter, translation, mirrored))
    return np.concatenate(matrices), np.concatenate(scores)


def _quarter(x: Tensor, k: int, order: int = 1) -> Tensor:
    """Channels after k rotations of the image by 90 degrees; each negates them (double angle)."""
    return torch.rot90(x, k, (2, 3)) * (-1) ** (k * order)


def _canvas(z: Tensor, mask: Tensor, n: int) -> Tensor:
    """Channels, their energy and the mask with their middle at (n // 2, n // 2) of an n x n canvas."""
    x = torch.cat([z, (z**2).sum(1, keepdim=True), mask], 1)
    h, w = x.shape[2:]
    top, left = n // 2 - (h - 1) // 2, n // 2 - (w - 1) // 2
    return F.pad(x, (left, n - w - left, top, n - h - top))


def _rotated(m: Tensor, mask: Tensor, angles: Array, n: int) -> Tensor:
    """The moving channels rotated about their middle: (angles, 4, n, n)."""
    h, w = m.shape[2:]
    y, x = torch.meshgrid(torch.arange(n) - n // 2, torch.arange(n) - n // 2, indexing="ij")
    cosine, sine = (torch.from_numpy(f(angles)).float()[:, None, None] for f in (np.cos, np.sin))
    index = torch.stack([cosine * y - sine * x + (h - 1) / 2, sine * y + cosine * x + (w - 1) / 2], -1)
    values = sample(torch.cat([m, mask], 1), index)
    inside = (values[:, 2] > 0.99).float()
    c, s = torch.cos(2 * torch.from_numpy(angles)), torch.sin(2 * torch.from_numpy(angles))
    c, s = c.float()[:, None, None], s.float()[:, None, None]
    a, b = values[:, 0] * inside, values[:, 1] * inside
    return torch.stack([c * a + s * b, c * b - s * a, a**2 + b**2, inside], 1)


def _spectrum(x: Tensor) -> Tensor:
    return torch.fft.rfft2(x)[0]


def _correlation(f: Tensor, m: Tensor, n: int, least: float, smaller: float) -> Tensor:
    """Normalised correlation times powers of the overlap, (2, n, n); -1 where too little overlaps."""
    conj = f.conj()
    products = torch.stack(
        [(conj[0] * m[0]).add_(conj[1] * m[1]), conj[2] * m[3], conj[3] * m[2], conj[3] * m[3]]
    )
    top, energy_f, energy_m, overlap = torch.fft.irfft2(products, s=(n, n))
    score = top / torch.sqrt((energy_f * energy_m).clamp_min(1e-6))
    part = (overlap / smaller).clamp(0, 1)
    return torch.where(overlap < least, -1.0, torch.stack([score * part**power for power in FAVOURS]))


def _peaks(score: Tensor) -> Tensor:
    """Flat positions of the highest values, one a tile."""
    n = len(score)
    tiles = score.reshape(n // TILE, TILE, n // TILE, TILE).transpose(1, 2).flatten(2)
    best, inner = tiles.max(-1)
    number = best.flatten().topk(PEAKS).indices
    place = inner.flatten()[number]
    row = number // (n // TILE) * TILE + place // TILE
    column = number % (n // TILE) * TILE + place % TILE
    return row * n + column


def _matrices(
    fixed: PyramidImage, moving: PyramidImage, angle: float, quarter: int, translation: Array, mirrored: bool
) -> Array:
    """World matrices (n, 3, 3) of one rotation and its translations in pixels of the rotated fixed image.

    With the translation t, p + t in the rotated moving image corresponds to p in the rotated fixed image,
    both measured from the middle.
    """
    h, w = fixed.pixels.shape
    size = (h, w) if quarter % 2 == 0 else (w, h)
    # rot90 of an array with an even side moves its middle by half a pixel against (n - 1) // 2.
    half = np.array([(n - 1) / 2 - (n - 1) // 2 for n in size])
    quarters = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), quarter)
    a = np.deg2rad(angle)
    rotate = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    linear = rotate @ quarters
    middle_f = fixed.origin + fixed.spacing * (np.array([h, w]) - 1) / 2
    middle_m = moving.origin + moving.spacing * (np.array(moving.pixels.shape) - 1) / 2
    flip = np.diag([-1.0, 1.0]) if mirrored else np.eye(2)
    matrix = flip @ linear * (moving.spacing / fixed.spacing)
    offset = moving.spacing * (translation + half) @ (flip @ rotate).T
    result = np.zeros((len(translation), 3, 3))
    result[:, :2, :2] = matrix
    result[:, :2, 2] = middle_m + offset - matrix @ middle_f
    result[:, 2, 2] = 1
    return result
