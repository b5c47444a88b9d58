"""Refinement of many poses at once by Gauss-Newton steps on polarity-free orientations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.geometry import Array, apply_affine
from .volume_view import Volume, along, weights

PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
EDGE = 1.0  # voxels: width of the derivatives
POOL = 0.8  # voxels: smoothing of the orientations
FLAT = 0.7  # of the mean gradient: weaker ones count less
ISOTROPIC = 0.8  # fraction of the mean over orientations that is subtracted
BLOCK = 6  # voxels: side of the blocks whose fit is assessed one by one
SUPPORT = 0.2  # fraction of one image's structure that must overlap the other
STILL = 0.02  # voxels: shorter steps end a refinement
REACH = 3  # voxels by which a block may fit elsewhere


@dataclass(frozen=True, eq=False)
class Level:
    """A pair at one spacing.

    Parameters
    ----------
    fixed, moving : Volume
        On lattices of the same spacing.
    """

    fixed: Volume
    moving: Volume
    features: Tensor
    energy: float
    moving_energy: float
    floors: tuple[float, float]

    def centroid(self) -> Array:
        """The middle of the fixed volume's structure in the world, (3,)."""
        weight = self.features.square().sum(0).double()
        total = weight.sum().clamp_min(1e-12)
        index = [
            float(
                (weight.sum([j for j in range(3) if j != k]) * torch.arange(n, device=weight.device)).sum()
                / total
            )
            for k, n in enumerate(weight.shape)
        ]
        return apply_affine(self.fixed.to_world, [index])[0]


def level(fixed: Volume, moving: Volume, spacing: float) -> Level:
    """Both volumes at one spacing with the fixed one's features."""
    fixed, moving = fixed.at(spacing), moving.at(spacing)
    floors = tuple(_floor(v) for v in (fixed, moving))
    features = orientations(fixed.pixels[None], floors[0])[0] * fixed.mask
    theirs = orientations(moving.pixels[None], floors[1])[0] * moving.mask
    return Level(
        fixed,
        moving,
        features,
        float(features.square().sum()),
        float(theirs.square().sum()),
        (floors[0], floors[1]),
    )


def gradient(pixels: Tensor, sigma: float) -> Tensor:
    """Derivatives of the smoothed volumes (B, a, b, c) along their axes, (B, 3, a, b, c)."""
    return torch.stack(torch.gradient(smoothed(pixels, sigma), dim=(-3, -2, -1)), 1)


def smoothed(field: Tensor, sigma: float) -> Tensor:
    """A field smoothed by a Gaussian along its three last axes."""
    for axis in (-3, -2, -1):
        n = field.shape[axis]
        field = along(field, weights(np.arange(n), n, sigma).to(field.device), axis)
    return field


def orientations(pixels: Tensor, floor: float) -> Tensor:
    """Where edges run, whichever side is brighter: the gradient's normalised outer product with itself.

    After the normalised gradient fields of Haber and Modersitzki (MICCAI 2006); strong and weak edges count
    about the same, noise less.

    Parameters
    ----------
    pixels : Tensor, shape (B, a, b, c)
    floor : float
        Gradient below which a direction is mostly noise.

    Returns
    -------
    Tensor, shape (B, 6, a, b, c)
    """
    slope = gradient(pixels, EDGE)
    slope = slope / (slope.square().sum(1, keepdim=True) + floor**2).sqrt()
    mean = slope.square().sum(1) * (ISOTROPIC / 3)
    parts = [slope[:, i] ** 2 - mean if i == j else 2**0.5 * slope[:, i] * slope[:, j] for i, j in PAIRS]
    return smoothed(torch.stack(parts, 1), POOL)


def _floor(view: Volume) -> float:
    """The gradient that separates an edge from noise in a volume."""
    length = gradient(view.pixels[None], EDGE)[0].square().sum(0).sqrt()
    return FLAT * float((length * view.mask).sum() / view.mask.sum().clamp_min(1)) + 1e-6


def warped(level: Level, poses: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, 6, a, b, c) and votes (B, a, b, c) of the moving volume under poses (B, 4, 4), indices."""
    pixels, mask = sampled(level.moving, poses, level.fixed.shape)
    mask = mask * level.fixed.mask
    return orientations(pixels, level.floors[1]), mask


def sampled(view: Volume, poses: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Voxels and votes of a volume where poses (B, 4, 4) put a lattice's nodes, (B, *shape) each."""
    size = torch.tensor(view.shape, dtype=torch.float32, device=poses.device)
    # grid_sample takes the last axis first, and -1 and 1 as the outer edges of the outermost voxels.
    scale = torch.eye(4, device=poses.device)
    scale[:3, :3] = torch.diag(2 / size)
    scale[:3, 3] = 1 / size - 1
    axes = [torch.arange(n, dtype=torch.float32, device=poses.device) for n in shape]
    m = (scale @ poses)[:, :3].flip(1)
    grid = m[:, None, None, None, :, 3].expand(-1, *shape, 3).clone()
    for k, axis in enumerate(axes):
        grid += (
            axis.view([-1 if j == k else 1 for j in range(3)])[None, ..., None] * m[:, None, None, None, :, k]
        )
    both = torch.stack([view.pixels, view.mask]).expand(len(poses), -1, *view.shape)
    taken = F.grid_sample(both, grid, padding_mode="border", align_corners=False)
    inside = (grid.abs() <= 1).all(-1)
    return taken[:, 0], (taken[:, 1] > 0.5) & inside


def score(level: Level, poses: Tensor, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Correlation of the features where both vote, and the fraction of one image's that they cover, (B,)."""
    # Edges are as thick at any scale, so their energy goes with their area.
    area = torch.linalg.det(poses[:, :3, :3]).abs() ** (2 / 3)
    shared = mask[:, None] * level.features
    ours = (shared * level.features).sum((1, 2, 3, 4))
    theirs = (mask[:, None] * features.square()).sum((1, 2, 3, 4))
    both = (shared * features).sum((1, 2, 3, 4))
    overlap = torch.maximum(ours / level.energy, area * theirs / level.moving_energy).clamp(0, 1)
    return both / (ours * theirs).clamp_min(1e-12).sqrt(), overlap


def rank(correlation: Tensor, overlap: Tensor) -> Tensor:
    """What poses are ranked by: correlation, less where little of the structure overlaps."""
    return correlation * overlap.clamp_min(1e-6) ** 0.25 * (overlap > SUPPORT)


def generators(model: str) -> Tensor:
    """The small motions of a model as a basis (k, 3, 4) about the origin."""
    basis = []
    eye = np.eye(3)
    for k in range(3):
        translation = np.zeros((3, 4))
        translation[k, 3] = 1
        basis.append(translation)
    if model == "affine":
        for i in range(3):
            for j in range(3):
                linear = np.zeros((3, 4))
                linear[i, j] = 1
                basis.append(linear)
    else:
        for k in range(3):
            basis.append(np.hstack([np.cross(eye, eye[k]), np.zeros((3, 1))]))
        basis.append(np.hstack([eye, np.zeros((3, 1))]))
    return torch.tensor(np.array(basis), dtype=torch.float32)


def refine(level: Level, poses: Tensor, model: str, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """Climb from each pose to the nearest peak by damped symmetric Gauss-Newton steps.

    Efficient second-order minimisation (Benhimane and Malis, IROS 2004): slopes are the mean of both images'.
    Features are computed anew after every warp, because orientations rotate with the image.

    Parameters
    ----------
    poses : Tensor, shape (B, 4, 4)
        From fixed to moving indices.
    model : str
        "similarity" or "affine".

    Returns
    -------
    poses, correlation, overlap : Tensor, shapes (B, 4, 4), (B,), (B,)
    """
    places = _places(level)
    basis = generators(model).to(poses.device)
    slopes = _slopes(level.features[None])
    damping = torch.full((len(poses),), 1e-3, device=poses.device)
    features, mask = warped(level, poses)
    correlation, overlap = score(level, poses, features, mask)
    step = _step(level, features, mask, slopes, places, basis)
    for _ in range(iterations):
        motion, length = _motion(level, step, damping, basis)
        if float(length.max()) < STILL:
            break
        trial = poses @ motion
        new, votes = warped(level, trial)
        c, o = score(level, trial, new, votes)
        better = rank(c, o) > rank(correlation, overlap)
        damping = torch.where(better, damping / 5, damping * 10).clamp(1e-6, 1e3)
        if better.any():
            wins = better.nonzero()[:, 0]
            fresh = _step(level, new[wins], votes[wins], slopes, places, basis)
            step[0][wins], step[1][wins] = fresh
        poses = torch.where(better[:, None, None], trial, poses)
        correlation, overlap = torch.where(better, c, correlation), torch.where(better, o, overlap)
    return poses, correlation, overlap


def _frame(level: Level) -> tuple[Tensor, float]:
    """The middle of the fixed lattice and half its mean side: about there all motions are of one size."""
    shape = torch.tensor(level.fixed.shape, dtype=torch.float32, device=level.features.device)
    return (shape - 1) / 2, float(shape.prod() ** (1 / 3)) / 2


def _places(level: Level) -> Tensor:
    """Products of the homogeneous coordinates of all voxels, (voxels, 4, 4), for the normal equations."""
    middle, half = _frame(level)
    axes = [
        (torch.arange(n, device=middle.device) - c) / half
        for n, c in zip(level.fixed.shape, middle, strict=True)
    ]
    x = torch.stack(
        [*torch.meshgrid(*axes, indexing="ij"), torch.ones(level.fixed.shape, device=middle.device)], -1
    )
    return x.reshape(-1, 4)


def _slopes(features: Tensor) -> Tensor:
    """Central differences of features (B, c, *shape), (B, c, 3, voxels)."""
    return torch.stack(torch.gradient(features, dim=(-3, -2, -1)), 2).flatten(3)


def _step(
    level: Level, features: Tensor, mask: Tensor, slopes: Tensor, places: Tensor, basis: Tensor
) -> tuple[Tensor, Tensor]:
    """Normal equations (B, k, k) and right sides (B, k) of one Gauss-Newton step in a model."""
    w = mask.flatten(1).float()
    ours, theirs = level.features.flatten(1)[None], features.flatten(2)
    gain = (w[:, None] * ours * theirs).sum((1, 2)) / (w[:, None] * ours * ours).sum((1, 2)).clamp_min(1e-9)
    gain = gain.clamp_min(0.05)[:, None, None]
    g = 0.5 * (_slopes(features) + gain[..., None] * slopes)
    residual = gain * ours - theirs
    gram = torch.einsum("bcin,bcjn->bijn", g, g) * w[:, None, None]
    pull = (g * residual[:, :, None]).sum(1) * w[:, None]
    products = (places[:, :, None] * places[:, None]).reshape(-1, 16)
    h = (gram.flatten(1, 2) @ products).view(-1, 3, 3, 4, 4)
    b = pull @ places
    return torch.einsum("bijkl,pik,qjl->bpq", h, basis, basis), torch.einsum("bik,pik->bp", b, basis)


def _motion(
    level: Level, step: tuple[Tensor, Tensor], damping: Tensor, basis: Tensor
) -> tuple[Tensor, Tensor]:
    """The small motion (B, 4, 4) that solves the damped normal equations, and its length (B,), in voxels."""
    middle, half = _frame(level)
    h, b = step[0].double(), step[1].double()
    diagonal = h.diagonal(dim1=1, dim2=2)
    diagonal = diagonal + 1e-3 * diagonal.mean(1, keepdim=True) + 1e-9
    solved = torch.linalg.solve(h + torch.diag_embed(damping[:, None].double() * diagonal), b)
    small = torch.zeros(len(b), 4, 4, dtype=torch.float64, device=b.device)
    small[:, :3] = torch.einsum("bp,pik->bik", solved, basis.double())
    length = small.flatten(1).norm(dim=1)
    small[:, :3, :3] /= half  # places are measured in halves of the lattice, translations in voxels
    there = torch.eye(4, dtype=torch.float64, device=b.device)
    there[:3, 3] = middle
    back = torch.linalg.inv(there)
    return (there @ torch.linalg.matrix_exp(small) @ back).float(), length


def agreement(level: Level, pose: Tensor) -> tuple[float, int]:
    """Fraction of the structure that locally fits best where a pose puts it, and the number of its blocks.

    Each block of the fixed volume is compared with the moving one at all translations of up to `REACH`
    voxels. At the right pose most fit best near zero, whatever the modality; at a wrong one they scatter.

    Parameters
    ----------
    pose : Tensor, shape (4, 4)
        From fixed to moving indices.
    """
    features, mask = warped(level, pose[None])
    both = mask[0]
    ours, theirs = level.features * both, features[0] * both
    rim = (REACH,) * 6
    theirs, energy = F.pad(theirs, rim), F.pad(theirs.square().sum(0), rim)
    own = _blocks(ours.square().sum(0))
    shifts = list(product(range(-REACH, REACH + 1), repeat=3))
    fits = []
    for shift in shifts:
        window = [slice(REACH + s, REACH + s + n) for s, n in zip(shift, level.fixed.shape, strict=True)]
        match = _blocks((ours * theirs[(slice(None), *window)]).sum(0))
        fits.append(match / (own * _blocks(energy[tuple(window)])).clamp_min(1e-9).sqrt())
    best = torch.stack(fits).argmax(0)
    near = torch.tensor(shifts, device=best.device).square().sum(1).float().sqrt()[best] < 1.6
    busy = own > 0.25 * own[own > 0].mean() if (own > 0).any() else own > 1
    if not busy.any():
        return 0.0, 0
    weight = own.sqrt() * busy
    return float((weight * near).sum() / weight.sum()), int(busy.sum())


def _blocks(values: Tensor) -> Tensor:
    """Sums over blocks of `BLOCK` voxels a side, the last ones cut short."""
    size = [min(BLOCK, n) for n in values.shape]
    return F.avg_pool3d(values[None, None], size, ceil_mode=True, divisor_override=1)[0, 0]
