"""Volumes for the pose search: isotropic, small, with the voxels that may vote."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..core.geometry import Array, Image, apply_affine
from ..images.preprocess import block_mean, mask_on, unit_range


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels on an isotropic lattice along the image's own axes, made orthogonal.

    Parameters
    ----------
    pixels : Tensor, shape (a, b, c)
        Between 0 and 1.
    mask : Tensor, shape (a, b, c)
        1 where a voxel may vote, else 0.
    to_world : ndarray, shape (4, 4)
        Homogeneous matrix from index to world coordinates; its linear part is an orthogonal matrix times
        `spacing`.
    """

    pixels: Tensor
    mask: Tensor
    to_world: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along each axis."""
        return tuple(self.pixels.shape)

    @property
    def spacing(self) -> float:
        """World units."""
        return float(np.linalg.norm(self.to_world[:3, 0]))

    def at(self, spacing: float) -> Volume:
        """The volume at a coarser spacing, low-passed so that nothing aliases."""
        factor = spacing / self.spacing
        if factor < 1.05:
            return self
        shape = tuple(max(2, round(n / factor)) for n in self.shape)
        matrices, start = [], []
        for n, m in zip(self.shape, shape, strict=True):
            start.append((n - 1) / 2 - (m - 1) / 2 * factor)  # both lattices share their middle
            centres = start[-1] + factor * np.arange(m)
            matrices.append(weights(centres, n, 0.5 * math.sqrt(factor**2 - 1)).to(self.pixels.device))

        def averaged(values: Tensor) -> Tensor:
            for k, matrix in enumerate(matrices):
                values = along(values, matrix, k - 3)
            return values

        weight = averaged(self.mask)
        matrix = self.to_world.copy()
        matrix[:3, 3] = apply_affine(self.to_world, [start])[0]
        matrix[:3, :3] *= factor
        return Volume(averaged(self.pixels), (weight > 0.5).float(), matrix)


def along(field: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """A matrix (out, in) applied along one of the three last axes (-3, -2 or -1) of a field."""
    if axis == -1:
        return field @ matrix.T
    if axis == -2:
        return matrix @ field
    shape = field.shape
    flat = matrix @ field.reshape(*shape[:-3], shape[-3], -1)
    return flat.reshape(*shape[:-3], matrix.shape[0], *shape[-2:])


def weights(centres: Array, nodes: int, sigma: float) -> Tensor:
    """The matrix (N, nodes) that averages values at nodes 0, 1, ... with Gaussians around N centres."""
    distance = np.abs(np.asarray(centres)[:, None] - np.arange(nodes))
    near = np.exp(-0.5 * (distance / max(sigma, 0.3)) ** 2)
    near /= near.sum(axis=1, keepdims=True)
    return torch.from_numpy(near.astype(np.float32))


def extents(image: Image) -> tuple[Array, Array, Array]:
    """An orthonormal frame along an image's axes (3, 3), its box's lengths (3,) and its middle."""
    u, _, vt = np.linalg.svd(image.grid.direction)
    frame = u @ vt
    ends = list(product(*[(-0.5, n - 0.5) for n in image.grid.shape]))
    corners = image.grid.to_world(ends) @ frame
    low, high = corners.min(axis=0), corners.max(axis=0)
    return frame, high - low, frame @ ((low + high) / 2)


def volume(image: Image, mask: Image | None, spacing: float, device: torch.device) -> Volume:
    """An image prepared for the pose search.

    Parameters
    ----------
    image : Image
        3D, one channel, on any grid.
    mask : Image, optional
        Voxels that are not zero may vote.
    spacing : float
        World units; finer voxels are averaged.
    device : torch.device
        Of the tensors.
    """
    steps = tuple(
        max(1, min(n, round(spacing / s))) for n, s in zip(image.grid.shape, image.grid.spacing, strict=True)
    )
    small = block_mean(image, steps)
    small = small.with_data(unit_range(small.data))
    frame, lengths, middle = extents(image)
    shape = tuple(max(2, math.ceil(length / spacing - 1e-6)) for length in lengths)
    matrix = np.eye(4)
    matrix[:3, :3] = frame * spacing
    matrix[:3, 3] = middle - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    pixels = _resampled(small.data, np.linalg.inv(small.grid.affine) @ matrix, shape)
    covered = _inside(image, matrix, shape)
    if mask is not None:
        voting = mask_on(mask, image.grid)
        share = block_mean(voting.with_data(voting.data.astype(np.float32)), steps)
        covered &= _resampled(share.data, np.linalg.inv(share.grid.affine) @ matrix, shape) > 0.5
    if not covered.all() and covered.any():
        # What does not vote makes no edge either: the values at its rim go on, as they do outside an image.
        nearest = ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True)
        pixels = pixels[tuple(nearest)]
    return Volume(
        torch.from_numpy(pixels).to(device), torch.from_numpy(covered.astype(np.float32)).to(device), matrix
    )


def _resampled(data: Array, to_index: Array, shape: tuple[int, ...]) -> Array:
    """Data at a lattice's nodes by linear interpolation; its border goes on beyond it; float32."""
    return ndimage.affine_transform(
        data, to_index[:3, :3], to_index[:3, 3], shape, output=np.float32, order=1, mode="nearest"
    )


def _inside(image: Image, to_world: Array, shape: tuple[int, ...]) -> Array:
    """Which nodes of a lattice lie on the image's voxels."""
    to_index = np.linalg.inv(image.grid.affine) @ to_world
    inside = np.ones(shape, bool)
    axes = [
        np.arange(n, dtype=np.float32).reshape([-1 if j == k else 1 for j in range(3)])
        for k, n in enumerate(shape)
    ]
    for row, n in zip(to_index, image.grid.shape, strict=False):
        index = sum(float(row[k]) * axes[k] for k in range(3)) + float(row[3])
        inside &= (index > -0.5 - 1e-3) & (index < n - 0.5 + 1e-3)
    return inside
