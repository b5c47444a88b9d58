"""A network's own grid: where it lies, the images on it, and its answers in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.geometry import Array, Grid, Image
from ...images.preprocess import range_of
from ...tensor.warp import identity, normalised, sample
from ...transforms import Affine, Displacement, Transform, chain, displacement_on

SAME = 1e-6  # pixels, by which matrices of the same grid may differ


@dataclass(frozen=True, eq=False)
class Picture:
    """An image where a network works.

    Parameters
    ----------
    pixels : Tensor, shape (1, *shape)
        In [0, 1], float32, on the network's device.
    grid : Grid
        Where they lie in the world.
    """

    pixels: Tensor
    grid: Grid

    @classmethod
    def of(cls, image: Image, device: torch.device) -> Picture:
        """One channel, scaled to [0, 1] by its 0.1 and 99.9 percentiles."""
        low, extent = range_of(image.data)
        # A copy, which is changed in place: of large volumes there is no room for many.
        pixels = torch.from_numpy(np.array(image.data, np.float32))[None].to(device)
        return cls(pixels.sub_(low).div_(extent).clamp_(0, 1), image.grid)


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


def coarsened(picture: Picture, grid: Grid) -> Picture:
    """A picture with pixels no finer than it takes to sample it on a grid without aliasing."""
    own = picture.grid
    along = np.abs(own.direction.T @ (grid.direction * grid.spacing)).max(axis=1)
    steps = [
        max(1, min(math.floor(wide / fine + 0.25), n))
        for wide, fine, n in zip(along, own.spacing, own.shape, strict=True)
    ]
    if max(steps) == 1:
        return picture
    beyond = [side for n, step in zip(own.shape, steps, strict=True) for side in (-n % step, 0)]
    whole = F.pad(picture.pixels[None], beyond[::-1], mode="replicate")
    pool = F.avg_pool2d if own.ndim == 2 else F.avg_pool3d
    return Picture(pool(whole, steps)[0], own.blocks(steps))


def sampled(
    picture: Picture, grid: Grid, through: Transform | None = None, bend: Tensor | None = None
) -> Tensor:
    """A picture on a grid, as (1, 1, *grid.shape); its border goes on outside.

    Parameters
    ----------
    picture : Picture
    grid : Grid
    through : Transform, optional
        From world points of the grid to those of the picture.
    bend : Tensor, shape (d, *grid.shape), optional
        A displacement in pixels of the grid that comes before it.
    """
    d, device = grid.ndim, picture.pixels.device
    to_index = np.linalg.inv(picture.grid.affine)
    if through is None or isinstance(through, Affine):
        matrix = to_index @ (np.eye(d + 1) if through is None else through.matrix) @ grid.affine
        if bend is None and np.allclose(matrix, _shift(matrix), rtol=0, atol=SAME):
            return _cut(picture.pixels, np.rint(matrix[:d, d]).astype(int), grid.shape)[None]
        index = moved(matrix, grid.shape, device, bend)
    else:
        if bend is not None:
            through = chain(Displacement(vectors(bend, grid), grid), through)
        field = displacement_on(through, grid) @ to_index[:d, :d].T
        index = moved(to_index @ grid.affine, grid.shape, device)
        index += torch.from_numpy(np.moveaxis(field, -1, 0).astype(np.float32)).to(device)
    return sample(picture.pixels, normalised(index, picture.grid.shape))[None]


def _shift(matrix: Array) -> Array:
    """The nearest shift by whole pixels."""
    whole = np.eye(len(matrix))
    whole[:-1, -1] = np.rint(matrix[:-1, -1])
    return whole


def _cut(pixels: Tensor, start: Array, shape: tuple[int, ...]) -> Tensor:
    """Pixels from `start` on, the border going on outside; what sampling there would give, but at once."""
    for axis, (n, s) in enumerate(zip(shape, start, strict=True), 1):
        m = pixels.shape[axis]
        if s or n != m:
            places = (torch.arange(n, device=pixels.device) + int(s)).clamp(0, m - 1)
            pixels = pixels.index_select(axis, places)
    return pixels


def moved(matrix: Array, shape: tuple[int, ...], device: torch.device, bend: Tensor | None = None) -> Tensor:
    """Where a homogeneous matrix takes the nodes x of a grid, or x + bend(x), (d, *shape)."""
    d = len(shape)
    rows = []
    for i in range(d):
        row = torch.full((1,) * d, matrix[i, d], dtype=torch.float32, device=device)
        for k, n in enumerate(shape):
            along = torch.from_numpy((matrix[i, k] * np.arange(n)).astype(np.float32)).to(device)
            row = row + along.view(*(-1 if k == axis else 1 for axis in range(d)))
        rows.append(row)
    places = torch.stack(rows)
    if bend is None:
        return places
    return places + torch.einsum("ij,j...->i...", bend.new_tensor(matrix[:d, :d]), bend)


def displaced(affine: Affine, grid: Grid, bend: Tensor) -> Tensor:
    """What x + bend(x), then a map in the world, add to each node's place, in pixels of a grid."""
    matrix = np.linalg.inv(grid.affine) @ affine.matrix @ grid.affine
    return moved(matrix, grid.shape, bend.device, bend) - identity(grid.shape, bend)


def vectors(field: Tensor, grid: Grid) -> Array:
    """Vectors in pixels of a network's grid (d, *nodes) in world units, (*nodes, d)."""
    world = torch.einsum("ij,j...->...i", field.new_tensor(grid.affine[:-1, :-1]), field.detach())
    found: Array = world.cpu().numpy()
    return found


def world_affine(affine: Tensor, grid: Grid) -> Affine:
    """A matrix and a shift in pixels about the middle of a network's grid, (d, d + 1), in the world."""
    d = grid.ndim
    values = affine.detach().cpu().double().numpy()
    middle = (np.array(grid.shape) - 1) / 2
    pixels = np.eye(d + 1)
    pixels[:d, :d] = values[:, :d]
    pixels[:d, d] = middle + values[:, d] - values[:, :d] @ middle
    return Affine(grid.affine @ pixels @ np.linalg.inv(grid.affine))
