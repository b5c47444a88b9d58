"""All rotations of a volume about its middle, very coarsely."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from ..core.geometry import Array, apply_affine
from .volume_refine import Level, orientations, rank, score, warped
from .volume_view import Volume

EVERY = 480  # rotations, 20 degrees apart on average
BATCH = 48


def uniform(count: int) -> Array:
    """Rotations spread evenly over all, (count, 3, 3) (Alexa, Super-Fibonacci Spirals, CVPR 2022)."""
    step = np.arange(count) + 0.5
    inner, outer = np.sqrt(step / count), np.sqrt(1 - step / count)
    first, second = 2 * np.pi * step / 2**0.5, 2 * np.pi * step / 1.533751168755204
    parts = [inner * np.sin(first), inner * np.cos(first), outer * np.sin(second), outer * np.cos(second)]
    return Rotation.from_quat(np.stack(parts, 1)).as_matrix()


def around(level: Level) -> tuple[Tensor, Tensor]:
    """Poses that bring the middles of structure together, at rotations all around.

    The rotations are those that bring principal axes of one image onto those of the other, in every order and
    direction, and many more spread evenly.

    Parameters
    ----------
    level : Level
        About 20 voxels along a side.

    Returns
    -------
    poses : Tensor, shape (N, 4, 4)
        From fixed to moving indices, best first.
    ranks : Tensor, shape (N,)
    """
    ours = _moments(level.fixed, level.features)
    theirs = _moments(level.moving, orientations(level.moving.pixels[None], level.floors[1])[0])
    rotations = np.concatenate([theirs[1] @ axes @ ours[1].T for axes in _axes()[:, None]])
    rotations = np.concatenate([rotations, uniform(EVERY)])
    worlds = np.tile(np.eye(4), (len(rotations), 1, 1))
    worlds[:, :3, :3] = rotations
    worlds[:, :3, 3] = theirs[0] - rotations @ ours[0]
    inner = np.linalg.inv(level.moving.to_world) @ worlds @ level.fixed.to_world
    poses = torch.tensor(inner, dtype=torch.float32, device=level.features.device)
    ranks = torch.cat([rank(*score(level, some, *warped(level, some))) for some in poses.split(BATCH)])
    order = ranks.argsort(descending=True)
    return poses[order], ranks[order]


def _moments(view: Volume, features: Tensor) -> tuple[Array, Array]:
    """The middle of a volume's structure in the world (3,) and its principal axes (3, 3), a rotation."""
    weight = (features.square().sum(0) * view.mask).flatten().double().cpu().numpy()
    points = apply_affine(view.to_world, np.indices(view.shape).reshape(3, -1).T)
    middle = weight @ points / max(weight.sum(), 1e-12)
    away = points - middle
    _, axes = np.linalg.eigh((away * weight[:, None]).T @ away)
    return middle, axes * np.linalg.det(axes)


def _axes() -> Array:
    """The 24 rotations that bring axes onto axes, (24, 3, 3)."""
    signed = (
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order in permutations(range(3))
        for signs in product((-1.0, 1.0), repeat=3)
    )
    return np.array([matrix for matrix in signed if np.linalg.det(matrix) > 0])
