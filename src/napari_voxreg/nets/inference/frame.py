"""The grid of a network: its position, the images on it, and predictions in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.geometry import Array, Grid, Image
from ...images.preprocess import range_of
from ...images.task import around
from ...tensor.warp import identity, normalised, sample
from ...transforms import Affine, Displacement, Transform, chain, displacement_on

MARGIN = 1 / 16  # of a grid's sides, by which a prediction goes on around it
SAME = 1e-6  # pixels, tolerance for matrices of the same grid


@dataclass(frozen=True, eq=False)
class TensorImage:
    """An image on the device of a network.

    Parameters
    ----------
    pixels : Tensor, shape (1, *shape)
        In [0, 1], float32, on the network's device.
    grid : Grid
        Of the pixels in the world.
    """

    pixels: Tensor
    grid: Grid

    @classmethod
    def of(cls, image: Image, device: torch.device) -> TensorImage:
        """One channel, scaled to [0, 1] by its 0.1 and 99.9 percentiles."""
        low, extent = range_of(image.data)
        # A copy, modified in place: memory does not hold many large volumes.
        pixels = torch.from_numpy(np.array(image.data, np.float32))[None].to(device)
        return cls(pixels.sub_(low).div_(extent).clamp_(0, 1), image.grid)


def network_grid(fixed: Grid, stride: int, size: int) -> Grid:
    """The grid on which a network sees a pair.

    Cubic pixels along the fixed image's axes with its finest spacing, or coarser so that its longest side has
    `size` of them. They cover the whole fixed image, and coincide with its pixels where the spacing is equal.

    Parameters
    ----------
    fixed : Grid
        Of the fixed image.
    stride : int
        Each side is a multiple of it.
    size : int
        Pixels along the longest side, at most, before rounding up to the stride.
    """
    spacing = fixed.spacing
    extent = spacing * fixed.shape
    pixel = max(float(spacing.min()), float(extent.max()) / size)
    needed = [max(1, math.ceil(e / pixel - 1e-6)) for e in extent]
    shape = tuple(-(-n // stride) * stride for n in needed)
    before = np.array([(n - m) // 2 for n, m in zip(shape, needed, strict=True)])
    affine = fixed.affine.copy()
    affine[:-1, :-1] = fixed.direction * pixel
    # The edge of the fixed image's first pixel is that of the first pixel needed.
    first = -0.5 + (0.5 - before) * pixel / spacing
    affine[:-1, -1] = fixed.to_world([first])[0]
    return Grid(shape, affine, fixed.units)


def lattice_grid(grid: Grid, shape: tuple[int, ...]) -> Grid:
    """Grid with `shape` nodes, the outermost ones on the outermost pixels of a network's grid."""
    if tuple(shape) == grid.shape:
        return grid
    pixels, nodes = np.array(grid.shape), np.array(shape)
    # A single node lies in the middle.
    step = np.where(nodes > 1, (pixels - 1) / np.maximum(nodes - 1, 1), pixels)
    start = np.where(nodes > 1, 0.0, (pixels - 1) / 2)
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world([start])[0]
    affine[:-1, :-1] *= step
    return Grid(tuple(shape), affine, grid.units)


def continued(field: Array, grid: Grid) -> Displacement:
    """A displacement that goes on around its grid as at the border.

    A transform in front may lead out of the grid, where a displacement that ends at once would fold.

    Parameters
    ----------
    field : ndarray, shape (*grid.shape, d)
        World displacements.
    grid : Grid
    """
    wide = around(grid, MARGIN)
    margin = [((n - m) // 2,) * 2 for n, m in zip(wide.shape, grid.shape, strict=True)]
    return Displacement(np.pad(field, [*margin, (0, 0)], mode="edge"), wide)


def coarsened(image: TensorImage, grid: Grid) -> TensorImage:
    """An image averaged over blocks, as coarse as sampling it on `grid` without aliasing requires."""
    own = image.grid
    along = np.abs(own.direction.T @ (grid.direction * grid.spacing)).max(axis=1)
    steps = [
        max(1, min(math.floor(wide / fine + 0.25), n))
        for wide, fine, n in zip(along, own.spacing, own.shape, strict=True)
    ]
    if max(steps) == 1:
        return image
    padding = [side for n, step in zip(own.shape, steps, strict=True) for side in (-n % step, 0)]
    whole = F.pad(image.pixels[None], padding[::-1], mode="replicate")
    pool = F.avg_pool2d if own.ndim == 2 else F.avg_pool3d
    return TensorImage(pool(whole, steps)[0], own.blocks(steps))


def sampled(
    image: TensorImage, grid: Grid, transform: Transform | None = None, displacement: Tensor | None = None
) -> Tensor:
    """An image resampled on a grid, (1, 1, *grid.shape); outside, its border is repeated.

    Parameters
    ----------
    image : TensorImage
    grid : Grid
    transform : Transform, optional
        From world points of the grid to those of the image.
    displacement : Tensor, shape (d, *grid.shape), optional
        In pixels of the grid; applied before the transform.
    """
    d, device = grid.ndim, image.pixels.device
    to_index = np.linalg.inv(image.grid.affine)
    if transform is None or isinstance(transform, Affine):
        matrix = to_index @ (np.eye(d + 1) if transform is None else transform.matrix) @ grid.affine
        if displacement is None and np.allclose(matrix, _whole_translation(matrix), rtol=0, atol=SAME):
            return _cropped(image.pixels, np.rint(matrix[:d, d]).astype(int), grid.shape)[None]
        index = moved(matrix, grid.shape, device, displacement)
    else:
        if displacement is not None:
            transform = chain(Displacement(vectors(displacement, grid), grid), transform)
        field = displacement_on(transform, grid) @ to_index[:d, :d].T
        index = moved(to_index @ grid.affine, grid.shape, device)
        index += torch.from_numpy(np.moveaxis(field, -1, 0).astype(np.float32)).to(device)
    return sample(image.pixels, normalised(index, image.grid.shape))[None]


def _whole_translation(matrix: Array) -> Array:
    """The nearest translation by whole pixels."""
    whole = np.eye(len(matrix))
    whole[:-1, -1] = np.rint(matrix[:-1, -1])
    return whole


def _cropped(pixels: Tensor, start: Array, shape: tuple[int, ...]) -> Tensor:
    """Pixels from `start` on, the border repeated outside; as sampled there, but faster."""
    for axis, (n, s) in enumerate(zip(shape, start, strict=True), 1):
        m = pixels.shape[axis]
        if s or n != m:
            index = (torch.arange(n, device=pixels.device) + int(s)).clamp(0, m - 1)
            pixels = pixels.index_select(axis, index)
    return pixels


def moved(
    matrix: Array, shape: tuple[int, ...], device: torch.device, displacement: Tensor | None = None
) -> Tensor:
    """Nodes x of a grid, or x + displacement(x), mapped by a homogeneous matrix, (d, *shape)."""
    d = len(shape)
    rows = []
    for i in range(d):
        row = torch.full((1,) * d, matrix[i, d], dtype=torch.float32, device=device)
        for k, n in enumerate(shape):
            along = torch.from_numpy((matrix[i, k] * np.arange(n)).astype(np.float32)).to(device)
            row = row + along.view(*(-1 if k == axis else 1 for axis in range(d)))
        rows.append(row)
    points = torch.stack(rows)
    if displacement is None:
        return points
    return points + torch.einsum("ij,j...->i...", displacement.new_tensor(matrix[:d, :d]), displacement)


def with_affine(displacement: Tensor, affine: Affine, grid: Grid) -> Tensor:
    """Displacement of x + displacement(x) followed by an affine map in the world, in pixels of a grid."""
    matrix = np.linalg.inv(grid.affine) @ affine.matrix @ grid.affine
    return moved(matrix, grid.shape, displacement.device, displacement) - identity(grid.shape, displacement)


def vectors(field: Tensor, grid: Grid) -> Array:
    """Vectors (d, *nodes) in pixels of a network's grid to world units, (*nodes, d)."""
    world = torch.einsum("ij,j...->...i", field.new_tensor(grid.affine[:-1, :-1]), field.detach())
    found: Array = world.cpu().numpy()
    return found


def world_affine(affine: Tensor, grid: Grid) -> Affine:
    """World map of a matrix and translation (d, d + 1) in pixels about the centre of a network's grid."""
    d = grid.ndim
    values = affine.detach().cpu().double().numpy()
    centre = (np.array(grid.shape) - 1) / 2
    pixels = np.eye(d + 1)
    pixels[:d, :d] = values[:, :d]
    pixels[:d, d] = centre + values[:, d] - values[:, :d] @ centre
    return Affine(grid.affine @ pixels @ np.linalg.inv(grid.affine))
