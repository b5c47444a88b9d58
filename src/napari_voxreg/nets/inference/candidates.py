"""Affine maps that a matching network proposes from several initial poses."""

from __future__ import annotations

import numpy as np
import torch

from ...core.geometry import Array, Image
from ...transforms import Affine
from ..architectures.match import MatchAffine
from .frame import TensorImage, coarsened, network_grid, sampled, world_affine

BATCH = {2: 8, 3: 1}  # moving images compared at a time
SINGULAR = 1e-3  # determinant below which a step is no map between images


def affine_candidates(
    fixed: Image, moving: Image, net: MatchAffine, initial: Array, *, size: int, kept: int, passes: int
) -> tuple[Array, Array]:
    """Maps after some passes from several initial maps, and how far the network's matches agree on each.

    The first pass starts from all initial maps. The best few are continued.

    Parameters
    ----------
    fixed, moving : Image
        One channel, with as many axes as the network has.
    net : MatchAffine
        Used on the CPU.
    initial : ndarray, shape (n, d + 1, d + 1)
        Homogeneous, from world points of the fixed image to those of the moving image.
    size : int
        Pixels along the longest side that the network sees.
    kept : int
        Maps that are continued after the first pass.
    passes : int
        At least 1.

    Returns
    -------
    ndarray, shape (m, d + 1, d + 1)
        The most agreed on first; none that is not finite or cannot be inverted.
    ndarray, shape (m,)
        Fraction of the network's nodes whose matches agree, 0 to 1.
    """
    grid = network_grid(fixed.grid, net.stride, size)
    cpu = torch.device("cpu")
    net = net.eval().to(cpu)
    here = sampled(coarsened(TensorImage.of(fixed, cpu), grid), grid)
    there = coarsened(TensorImage.of(moving, cpu), grid)

    def advanced(maps: Array) -> tuple[Array, Array]:
        """One pass further from each map, the most agreed on first."""
        found, agreed = [], []
        for start in range(0, len(maps), BATCH[grid.ndim]):
            some = maps[start : start + BATCH[grid.ndim]]
            images = torch.cat([sampled(there, grid, Affine(each)) for each in some])
            steps, shares = net.step(here, images)
            for before, step, share in zip(some, steps, shares.tolist(), strict=True):
                if step.isfinite().all() and torch.linalg.det(step[:, :-1]).abs() > SINGULAR:
                    found.append(before @ world_affine(step, grid).matrix)
                    agreed.append(share)
        order = np.argsort(-np.array(agreed), kind="stable")
        shape = (-1, *initial.shape[1:])
        return np.array(found).reshape(shape)[order], np.array(agreed)[order]

    with torch.inference_mode():
        maps, agreed = advanced(initial)
        for _ in range(passes - 1):
            maps, agreed = advanced(maps[:kept])
    return maps[:kept], agreed[:kept]
