"""Mutual information over many poses, for pairs that have hardly any edge in common."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.geometry import Array
from ..core.progress import Progress, silent
from .models import Poses, freedoms
from .pyramid_image import PyramidImage, blur, sample

SIZE = 48  # pixels on the long side of the fixed image in the search over all translations
GREYS = 8  # grey values there
ANGLES = np.arange(-30.0, 31.0, 6.0)  # degrees
FARTHEST = 36.0  # degrees that the refinement may rotate
SCALES = (0.8, 0.9, 1.0, 1.12, 1.25)
OVERLAP = 0.5  # of the smaller view
BINS = 20  # of the joint histogram in the refinement
BEST = 3  # translations kept for each rotation and scale
INSIDE, SHADES = 160, 8  # pixels on the long side, and grey values there, when objects are compared inside
ROTATED = np.arange(45.0, 316.0, 15.0)  # degrees: rotations about the object under which nothing corresponds
LEAST = 50  # pixels of both objects

Motion = Literal["rigid", "similarity", "affine"]


def search(
    fixed: PyramidImage, moving: PyramidImage, scales: tuple[float, ...], progress: Progress = silent
) -> tuple[Array, Array]:
    """Mutual information at all translations for each rotation to 30 degrees and some scales.

    It is summed over the pixels that overlap, not their mean: half the likelihood ratio of dependence, which
    does not favour a small overlap.

    The joint histograms at all translations are correlations of the images' grey levels, one a pair of
    levels, by FFT (Ofverstedt, Lindblad and Sladoje, Pattern Recognition Letters 159, 2022).

    Returns
    -------
    ndarray, shape (n, 3, 3)
        World matrices, best first.
    ndarray, shape (n,)
        Mutual information in nats, times the fraction of the fixed view that overlaps.
    """
    spacing = max(fixed.extent, moving.extent) / SIZE
    a, b = fixed.at(spacing), moving.at(spacing)
    n = scipy.fft.next_fast_len(
        math.ceil(max(a.pixels.shape) + math.hypot(*b.pixels.shape) * 1.25), real=True
    )
    h, w = a.pixels.shape
    levels = _levels(_grey(a.pixels, a.mask), a.mask)
    reference = torch.fft.rfft2(F.pad(levels, (0, n - w, 0, n - h)))
    middle_a = a.origin + spacing * (np.array([h, w]) - 1) / 2
    middle_b = b.origin + spacing * (np.array(b.pixels.shape) - 1) / 2
    both = torch.stack([_grey(b.pixels, b.mask), b.mask])[None]
    rows = torch.arange(n) - n // 2
    at = np.stack(np.meshgrid(rows.numpy(), rows.numpy(), indexing="ij"), -1).astype(float)
    matrices, values = [], []
    for number, (angle, scale) in enumerate((a, s) for a in np.deg2rad(ANGLES) for s in scales):
        progress(number / (len(ANGLES) * len(scales)), "comparing grey values at all poses")
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        index = torch.from_numpy(at @ linear.T + (np.array(b.pixels.shape) - 1) / 2).float()
        pixels, mask = sample(both, index[None])[0]
        mask = (mask > 0.99).float()
        least = OVERLAP * float(min(a.mask.sum(), mask.sum()))
        score = _information(reference, torch.fft.rfft2(_levels(pixels, mask)), n, least) / a.mask.sum()
        # A magnified moving image has fewer pixels of its own, so it is weighted less.
        top = (score * min(1.0, scale**2)).flatten().topk(BEST)
        translation = np.stack([top.indices.numpy() // n, top.indices.numpy() % n], -1).astype(float)
        translation -= n * (translation >= n / 2)  # of the moving canvas's corner
        offset = translation - n // 2 + (np.array([h, w]) - 1) / 2
        found = np.zeros((BEST, 3, 3))
        found[:, :2, :2], found[:, 2, 2] = linear, 1
        found[:, :2, 2] = middle_b - middle_a @ linear.T + spacing * offset @ linear.T
        matrices.append(found)
        values.append(top.values.numpy())
    order = np.argsort(-np.concatenate(values), kind="stable")
    return np.concatenate(matrices)[order], np.concatenate(values)[order]


def refine(
    fixed: PyramidImage,
    moving: PyramidImage,
    poses: Poses,
    size: int,
    steps: int,
    model: Motion,
) -> tuple[Poses, Array]:
    """Pattern search of poses for the highest mutual information, best first.

    Parameters
    ----------
    model : {"rigid", "similarity", "affine"}
        How the poses may move.
    size : int
        Pixels on the long side.
    steps : int
        Rounds; a round that finds nothing better halves the step.
    """
    a = fixed.at(max(fixed.extent / size, fixed.spacing))
    b = moving.at(max(fixed.extent / size, moving.spacing))
    sigma = 1.0
    target = _grey(a.pixels, a.mask)
    both = torch.stack([blur(_grey(b.pixels, b.mask)[None, None], sigma)[0, 0], b.mask])[None]
    target = blur(target[None, None], sigma)[0, 0]
    index = np.indices(target.shape).reshape(2, -1).T
    world = a.origin + a.spacing * index

    def value(tried: Poses) -> Array:
        place = (tried(world) - b.origin) / b.spacing
        pixels, mask = sample(both, torch.from_numpy(place).float()).unbind(1)
        value = _mutual(target.flatten(), a.mask.flatten(), pixels, (mask > 0.99).float())
        scale = tried.scale()
        turned = np.abs(tried.rotation())
        possible = (scale > min(SCALES) / 1.1) & (scale < max(SCALES) * 1.1) & (turned < FARTHEST)
        # A magnified moving image has fewer pixels of its own, so it is weighted less.
        return np.where(possible, value * np.minimum(1, scale**2), 0.0)

    directions = freedoms("affine" if model == "affine" else "similarity")
    if model == "rigid":
        directions = directions[[0, 1, 3]]
    moves = np.concatenate([directions, -directions])
    step = np.full(len(poses), 0.08)
    best = value(poses)
    for _ in range(steps):
        tried = poses[np.repeat(np.arange(len(poses)), len(moves))]
        tried = tried.after(np.tile(moves, (len(poses), 1, 1)) * np.repeat(step, len(moves))[:, None, None])
        if model == "rigid":  # a step turns by its tangent, which changes the scale a little
            tried.numbers[:, :2, :2] *= (np.repeat(poses.scale(), len(moves)) / tried.scale())[:, None, None]
        values = value(tried).reshape(len(poses), len(moves))
        winner = values.argmax(1)
        better = values.max(1) > best
        chosen = tried[np.arange(len(poses)) * len(moves) + winner]
        numbers = np.where(better[:, None, None], chosen.numbers, poses.numbers)
        poses = Poses(poses.model, numbers, poses.centre, poses.radius)
        best = np.where(better, values.max(1), best)
        step = np.where(better, step, step / 2)
    order = np.argsort(-best, kind="stable")
    return poses[order], best[order]


def inside(fixed: PyramidImage, moving: PyramidImage, poses: Poses) -> float:
    """How many times as much two objects on a dark ground say of each other's inside as when rotated.

    Any two outlines can be brought together, and mutual information over whole images rises with them. So
    only pixels of both objects are compared here, with the most that any of `ROTATED` reaches.

    Parameters
    ----------
    poses : Poses
        The first one is meant.
    """
    spacing = fixed.extent / INSIDE
    a, b = fixed.at(max(spacing, fixed.spacing)), moving.at(max(spacing, moving.spacing))
    (grey, object_a), (other, object_b) = (_object(view.pixels, view.mask) for view in (a, b))
    world = a.origin + a.spacing * torch.nonzero(object_a).numpy()
    if len(world) < LEAST:
        return 0.0
    shown, both = grey[object_a], torch.stack([other, object_b.float()])[None]
    matrices, centre = np.tile(poses.matrices[0], (1 + len(ROTATED), 1, 1)), world.mean(0)
    for k, angle in enumerate(np.deg2rad(ROTATED), 1):
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrices[k, :2, 2] += matrices[k, :2, :2] @ (centre - rotation @ centre)
        matrices[k, :2, :2] = matrices[k, :2, :2] @ rotation
    place = world @ matrices[:, :2, :2].transpose(0, 2, 1) + matrices[:, None, :2, 2]
    pixels, mask = sample(both, torch.from_numpy((place - b.origin) / b.spacing).float()).unbind(1)
    found, *rotated = (_by_rank(shown[m], p[m]) for p, m in zip(pixels, mask > 0.5, strict=True))
    return found / max(*rotated, 1e-3)


def _object(pixels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Smoothed grey values, and where they are brighter than a dark ground."""
    from skimage.filters import threshold_otsu

    grey = blur(_grey(pixels, mask)[None, None], 1.0)[0, 0]
    voting = grey[mask > 0].numpy()
    ground = 0.5 * threshold_otsu(voting) if len(voting) else 1.0
    return grey, (grey > ground) & (mask > 0)


def _by_rank(a: Tensor, b: Tensor) -> float:
    """Mutual information of equally frequent shades in nats, 0 of too few pixels."""
    if len(a) < LEAST:
        return 0.0
    at = torch.linspace(0, 1, SHADES + 1)[1:-1]
    one, two = (torch.bucketize(x, torch.quantile(x, at)) for x in (a, b))
    p = torch.bincount(one * SHADES + two, minlength=SHADES**2).reshape(SHADES, SHADES) / len(a)
    return float(_plogp(p).sum() - _plogp(p.sum(0)).sum() - _plogp(p.sum(1)).sum())


def _grey(pixels: Tensor, mask: Tensor) -> Tensor:
    """Grey values between 0 and 1 by the percentiles of the pixels that vote."""
    voting = pixels[mask > 0]
    if not len(voting):
        return pixels
    low, high = torch.quantile(voting, torch.tensor([0.005, 0.995]))
    return ((pixels - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)


def _levels(pixels: Tensor, mask: Tensor) -> Tensor:
    """One image a grey level, 1 where the pixel has it: (GREYS, h, w)."""
    number = (pixels * GREYS).long().clamp(0, GREYS - 1)
    return F.one_hot(number, GREYS).permute(2, 0, 1).float() * mask


def _information(f: Tensor, m: Tensor, n: int, least: float) -> Tensor:
    """Mutual information at each translation (n, n) from the spectra of both images' levels."""
    joint = torch.fft.irfft2(f.conj()[:, None] * m[None], s=(n, n)).clamp_min(0)
    total = joint.sum((0, 1))
    p = joint / total.clamp_min(1e-3)
    value = _plogp(p).sum((0, 1)) - _plogp(p.sum(0)).sum(0) - _plogp(p.sum(1)).sum(0)
    return torch.where(total < least, 0.0, value * total)


def _mutual(f: Tensor, f_mask: Tensor, m: Tensor, m_mask: Tensor) -> Array:
    """Mutual information of one image (p,) with several (n, p) where both vote."""
    n = len(m)
    weight = f_mask * m_mask
    a, b = (f * (BINS - 1)).clamp(0, BINS - 1), (m * (BINS - 1)).clamp(0, BINS - 1)
    low_a, low_b = a.floor().clamp_max(BINS - 2), b.floor().clamp_max(BINS - 2)
    part_a, part_b = a - low_a, b - low_b
    joint = torch.zeros(n * BINS * BINS)
    first = torch.arange(n)[:, None] * BINS * BINS
    # Each pixel is shared among the nearest bins, so that the value is smooth in the pose.
    for up_a in (0, 1):
        for up_b in (0, 1):
            share = (part_a if up_a else 1 - part_a) * (part_b if up_b else 1 - part_b) * weight
            place = first + ((low_a + up_a) * BINS + low_b + up_b).long()
            joint += torch.bincount(place.flatten(), share.flatten(), len(joint))
    p = joint.reshape(n, BINS, BINS)
    total = p.sum((1, 2), keepdim=True)
    p = p / total.clamp_min(1e-3)
    value = _plogp(p).sum((1, 2)) - _plogp(p.sum(1)).sum(1) - _plogp(p.sum(2)).sum(1)
    least = OVERLAP * torch.minimum(f_mask.sum(), m_mask.sum(1))
    covered = total[:, 0, 0] / f_mask.sum()
    return torch.where(total[:, 0, 0] < least, 0.0, value * covered).numpy().astype(float)


def _plogp(p: Tensor) -> Tensor:
    return torch.special.xlogy(p, p)
