"""All rotations, scales and translations of a volume on another, coarsely."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.spatial.transform import Rotation
from torch import Tensor

from ..core.geometry import Array
from ..core.progress import Progress
from .volume_refine import SUPPORT, Level, orientations, sampled, warped

STEP = 25.0  # degrees between rotations about each axis
SCALES = (0.76, 1.0, 1.32)
BATCH = 8
PEAKS = 2  # translations kept of each rotation and scale
APART = 2  # voxels between them


def rotations() -> Array:
    """Rotations to 45 degrees about each axis, (N, 3, 3): a body-centred lattice of Euler angles."""
    whole = product((-STEP, 0.0, STEP), repeat=3)
    half = product((-1.5 * STEP, -0.5 * STEP, 0.5 * STEP, 1.5 * STEP), repeat=3)
    return Rotation.from_euler("xyz", [*whole, *half], degrees=True).as_matrix()


def search(level: Level, linears: Array, progress: Progress) -> tuple[Tensor, Tensor]:
    """The best translations for given linear parts, by masked correlation (Padfield, IEEE TIP 21, 2012).

    Parameters
    ----------
    linears : ndarray, shape (N, 3, 3)
        In world units, from fixed to moving.

    Returns
    -------
    poses : Tensor, shape (M, 4, 4)
        From fixed to moving indices, best first.
    ranks : Tensor, shape (M,)
    """
    device = level.features.device
    a, b = level.fixed.to_world[:3, :3], level.moving.to_world[:3, :3]
    inner = np.linalg.inv(b) @ linears @ a
    box = _box(level, inner)
    size = tuple(next_fast_len(n + m - 1, real=True) for n, m in zip(level.fixed.shape, box, strict=True))
    spectra = _spectra(level.features[None], level.fixed.mask[None], size)
    half = torch.tensor([(m - 1) / 2 for m in box], device=device)
    centre = torch.tensor([(n - 1) / 2 for n in level.moving.shape], device=device)
    found: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(inner), BATCH):
        progress(start / len(inner), "searching rotations, scales and translations")
        linear = torch.tensor(inner[start : start + BATCH], dtype=torch.float32, device=device)
        poses = torch.eye(4, device=device).repeat(len(linear), 1, 1)
        poses[:, :3, :3] = linear
        poses[:, :3, 3] = centre - linear @ half
        pixels, mask = sampled(level.moving, poses, box)
        scores = _correlate(level, spectra, orientations(pixels, level.floors[1]), mask.float(), size)
        for pose, row in zip(poses, scores, strict=True):
            found += [_translated(pose, at, size, level.fixed.shape, value) for at, value in _peaks(row)]
    poses, values = (torch.stack(part) for part in zip(*found, strict=True))
    order = values.argsort(descending=True)
    return poses[order], values[order]


def elsewhere(level: Level, pose: Tensor, apart: int) -> Tensor:
    """A pose (4, 4) moved by the best translation of more than some voxels along an axis."""
    shape = level.fixed.shape
    size = tuple(next_fast_len(2 * n - 1, real=True) for n in shape)
    features, mask = warped(level, pose[None])
    spectra = _spectra(level.features[None], level.fixed.mask[None], size)
    row = _correlate(level, spectra, features, mask.float(), size)[0]
    near = [torch.arange(-apart, apart + 1, device=row.device) % n for n in size]
    row[torch.meshgrid(*near, indexing="ij")] = 0.0
    at = row.argmax()
    return _translated(pose, at, size, shape, row.flatten()[at])[0]


def _box(level: Level, inner: Array) -> tuple[int, ...]:
    """Lattice that holds the moving volume under all linear parts, but for corners."""
    lengths = np.array(level.moving.shape, dtype=float)
    reach = np.abs(np.linalg.inv(inner)) @ lengths
    longest = lengths.max() * max(np.linalg.norm(np.linalg.inv(m), 2) for m in inner)
    return tuple(max(2, round(min(r, 0.9 * longest))) for r in reach.max(axis=0))


def _spectra(features: Tensor, mask: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Fourier transforms of masked features, their energy and the mask."""
    features = features * mask[:, None]

    def transform(x: Tensor) -> Tensor:
        return torch.fft.rfftn(x, s=size, dim=(-3, -2, -1))

    return transform(features), transform(features.square().sum(1)), transform(mask)


def _correlate(
    level: Level, fixed: tuple[Tensor, ...], features: Tensor, mask: Tensor, size: tuple[int, ...]
) -> Tensor:
    """Rank (B, *size) of every translation."""
    moving = _spectra(features, mask, size)

    def back(x: Tensor) -> Tensor:
        return torch.fft.irfftn(x, s=size, dim=(-3, -2, -1))

    both = back((fixed[0] * moving[0].conj()).sum(1))
    ours = back(fixed[1] * moving[2].conj())
    theirs = back(fixed[2] * moving[1].conj())
    total = (features.square().sum(1) * mask).sum((1, 2, 3))[:, None, None, None]
    overlap = torch.maximum(ours / level.energy, theirs / total.clamp_min(1e-9)).clamp(0, 1)
    correlation = both / (ours * theirs).clamp_min(1e-6 * level.energy**2).sqrt()
    return correlation * overlap**0.25 * (overlap > SUPPORT)


def _peaks(row: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The highest values of a map that are some voxels apart, with their flat index."""
    row, found = row.clone(), []
    for _ in range(PEAKS):
        at = row.argmax()
        found.append((at, row.flatten()[at].clone()))
        near = [
            (torch.arange(-APART, APART + 1, device=row.device) + int(k)) % n
            for k, n in zip(np.unravel_index(int(at), row.shape), row.shape, strict=True)
        ]
        row[torch.meshgrid(*near, indexing="ij")] = 0.0
    return found


def _translated(
    pose: Tensor, at: Tensor, size: tuple[int, ...], shape: tuple[int, ...], value: Tensor
) -> tuple[Tensor, Tensor]:
    """The pose whose box starts at the fixed index that a position in the correlation map stands for."""
    index = np.array(np.unravel_index(int(at), size))
    translation = np.where(index >= np.array(shape), index - np.array(size), index)
    moved = pose.clone()
    moved[:3, 3] -= pose[:3, :3] @ torch.tensor(translation, dtype=torch.float32, device=pose.device)
    return moved, value


def distinct(poses: Tensor, shape: tuple[int, ...], apart: float, most: int) -> Tensor:
    """Indices of the first poses that differ from all before by more than `apart` moving voxels somewhere."""
    ends = torch.tensor(list(product(*[(0.0, n - 1.0) for n in shape])), device=poses.device)
    ends = 0.7 * ends + 0.3 * ends.mean(0)  # the corners themselves are seldom visible
    images = ends @ poses[:, :3, :3].transpose(1, 2) + poses[:, None, :3, 3]
    kept: list[int] = []
    for k in range(len(poses)):
        if len(kept) == most:
            break
        if all(float((images[k] - images[j]).norm(dim=1).max()) > apart for j in kept):
            kept.append(k)
    return torch.tensor(kept, dtype=torch.long, device=poses.device)
