"""A network's own grid: where it lies, the images on it, and its answers in the world."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..geometry import Array, Grid, Image
from ..preprocess import block_mean
from ..transforms import Affine, Transform, displacement_on
from .warp import normalised, sample

SAME = 1e-6  # pixels, by which matrices of the same grid may differ


def network_grid(fixed: Grid, stride: int, size: int) -> Grid:
    """The grid on which a network sees a pair.

    Cubic pixels along the fixed image's axes, as large as its finest spacing, or larger so that its longest
    side takes `size` of them. They cover the fixed image to its rims, and fall on its own pixels where both
    are as large.

    Parameters
    ----------
    fixed : Grid
        Of the fixed image.
    stride : int
        Each side is a multiple of it.
    size : int
        Pixels along the longest side, at most, before that.
    """
    spacing = fixed.spacing
    extent = spacing * fixed.shape
    pixel = max(float(spacing.min()), float(extent.max()) / size)
    needed = [max(1, math.ceil(e / pixel - 1e-6)) for e in extent]
    shape = tuple(-(-n // stride) * stride for n in needed)
    before = np.array([(n - m) // 2 for n, m in zip(shape, needed, strict=True)])
    affine = fixed.affine.copy()
    affine[:-1, :-1] = fixed.direction * pixel
    # The rim of the fixed image's first pixel is that of the first pixel needed.
    first = -0.5 + (0.5 - before) * pixel / spacing
    affine[:-1, -1] = fixed.to_world([first])[0]
    return Grid(shape, affine, fixed.units)


def lattice_grid(grid: Grid, shape: tuple[int, ...]) -> Grid:
    """The grid of so many nodes whose outermost ones are the outermost pixels of a network's grid."""
    if tuple(shape) == grid.shape:
        return grid
    pixels, nodes = np.array(grid.shape), np.array(shape)
    # A single node stands in the middle for everything.
    step = np.where(nodes > 1, (pixels - 1) / np.maximum(nodes - 1, 1), pixels)
    start = np.where(nodes > 1, 0.0, (pixels - 1) / 2)
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world([start])[0]
    affine[:-1, :-1] *= step
    return Grid(tuple(shape), affine, grid.units)


def coarsened(image: Image, grid: Grid) -> Image:
    """An image with pixels no finer than it takes to sample it on a grid without aliasing."""
    along = np.abs(image.grid.direction.T @ (grid.direction * grid.spacing)).max(axis=1)
    steps = [
        max(1, min(math.floor(wide / fine + 0.25), n))
        for wide, fine, n in zip(along, image.grid.spacing, image.grid.shape, strict=True)
    ]
    return block_mean(image, steps)


def sampled(image: Image, grid: Grid, through: Transform | None, device: torch.device) -> Tensor:
    """An image on a grid through a transform, (1, 1, *grid.shape); its border goes on outside."""
    d = grid.ndim
    to_index = np.linalg.inv(image.grid.affine)
    bends = through is not None and not isinstance(through, Affine)
    matrix = to_index @ (through.matrix if isinstance(through, Affine) else np.eye(d + 1)) @ grid.affine
    if not bends and np.allclose(matrix, _shift(matrix), rtol=0, atol=SAME):
        data = _cut(image.data, np.rint(matrix[:d, d]).astype(int), grid.shape)
        return torch.from_numpy(np.ascontiguousarray(data, np.float32))[None, None].to(device)
    index = index_map(matrix, grid.shape, device)
    if through is not None and bends:
        field = displacement_on(through, grid) @ to_index[:d, :d].T
        index += torch.from_numpy(np.moveaxis(field, -1, 0).astype(np.float32)).to(device)
    pixels = torch.from_numpy(np.ascontiguousarray(image.data, np.float32))[None].to(device)
    return sample(pixels, normalised(index, image.grid.shape))[None]


def _shift(matrix: Array) -> Array:
    """The nearest shift by whole pixels."""
    whole = np.eye(len(matrix))
    whole[:-1, -1] = np.rint(matrix[:-1, -1])
    return whole


def _cut(data: Array, start: Array, shape: tuple[int, ...]) -> Array:
    """Pixels from `start` on, the border going on outside; what sampling there would give, but at once."""
    places = [
        np.clip(np.arange(n) + int(s), 0, m - 1) for n, s, m in zip(shape, start, data.shape, strict=True)
    ]
    return data[np.ix_(*places)]


def index_map(matrix: Array, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """The nodes of a grid mapped by a homogeneous matrix, (d, *shape)."""
    d = len(shape)
    m = torch.tensor(matrix, dtype=torch.float64)
    rows = []
    for i in range(d):
        row = m[i, d].view((1,) * d)
        for k, n in enumerate(shape):
            along = m[i, k] * torch.arange(n, dtype=torch.float64)
            row = row + along.view(*(-1 if k == axis else 1 for axis in range(d)))
        rows.append(row.float())
    return torch.stack(rows).to(device)


def vectors(field: Tensor, grid: Grid) -> Array:
    """Vectors in pixels of a network's grid (d, *nodes) in world units, (*nodes, d) float64."""
    pixels = np.moveaxis(field.detach().cpu().double().numpy(), 0, -1)
    return pixels @ grid.affine[:-1, :-1].T


def world_affine(affine: Tensor, grid: Grid) -> Affine:
    """A matrix and a shift in pixels about the middle of a network's grid, (d, d + 1), in the world."""
    d = grid.ndim
    values = affine.detach().cpu().double().numpy()
    middle = (np.array(grid.shape) - 1) / 2
    pixels = np.eye(d + 1)
    pixels[:d, :d] = values[:, :d]
    pixels[:d, d] = middle + values[:, d] - values[:, :d] @ middle
    return Affine(grid.affine @ pixels @ np.linalg.inv(grid.affine))
