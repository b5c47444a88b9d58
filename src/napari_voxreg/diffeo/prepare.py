"""The pair as tensors on one lattice, and its levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.geometry import Array, Grid, Image
from ..images.preprocess import unit_range
from ..images.task import Task
from ..tensor.similarity import box_mean
from ..tensor.warp import sample
from .lattice import Lattice

LEVEL_PIXELS = 2_500_000
SMALLEST = 12  # pixels that the longest side keeps at the coarsest level
MARGIN = 0.125  # of each side by which the moving image is kept beyond the fixed image's rim
RIM = 2  # extra pixels, so that positions beyond are known to be outside
FAINT = 0.02  # of an image's range: what surrounds it below that is background


@dataclass(frozen=True, eq=False)
class Prepared:
    """Both images in [0, 1] on lattices in index coordinates of the fixed image.

    `fixed` (1, *shape) covers the region with structure, `moving` (1, *shape) the whole fixed grid
    and a margin around it, a narrow one where both images end together. Weights (1, *shape) say where a pixel
    counts, None where all do. `spacing` is that of the fixed grid, its finest being 1.
    """

    fixed: Tensor
    moving: Tensor
    fixed_weight: Tensor | None
    moving_weight: Tensor
    fixed_lattice: Lattice
    moving_lattice: Lattice
    shape: tuple[int, ...]
    spacing: tuple[float, ...]


def prepare(task: Task, device: torch.device, same_scale: bool = False) -> Prepared:
    """Bring a pair onto one lattice, each image from 0 to 1 (with `same_scale` both by one scale).

    Raises
    ------
    ValueError
        If no pixels that count meet.
    """
    fixed, moving = task.fixed, task.moving
    grid, d = fixed.grid, fixed.ndim
    if same_scale:
        both = unit_range(np.concatenate([fixed.data.ravel(), moving.data.ravel()]))
        first = tensor(both[: fixed.data.size].reshape(fixed.grid.shape), device)
        second = tensor(both[fixed.data.size :].reshape(moving.grid.shape), device)
    else:
        first, second = (tensor(unit_range(image.data), device) for image in (fixed, moving))
    counted = _weight(task.moving_mask, device)
    same = moving.grid.same_as(grid)
    # On the same grid the moving image has no pixels beyond the rim; on another grid it may.
    rim = [RIM if same else math.ceil(MARGIN * n) + RIM for n in grid.shape]
    lattice = Lattice(
        tuple(n + 2 * r for n, r in zip(grid.shape, rim, strict=True)),
        tuple(-float(r) for r in rim),
        (1.0,) * d,
    )
    if same:
        around = [RIM] * (2 * d)
        counted = F.pad(torch.ones_like(second) if counted is None else counted, around)
        second = F.pad(second[None], around, mode="replicate")[0]
    else:
        second, counted = _resampled(second, counted, moving.grid, grid, lattice)
    weight = _weight(task.fixed_mask, device)
    inner = tuple(slice(int(-s), int(-s) + n) for s, n in zip(lattice.start, grid.shape, strict=True))
    meeting = counted[(slice(None), *inner)]
    if weight is not None:
        meeting = meeting * weight
    if not bool((meeting > 0.5).any()):
        raise ValueError(
            "The images (inside their masks) do not overlap; "
            "use the initial transform 'centres' or choose other masks."
        )
    box = _box(first, second[(slice(None), *inner)], meeting)
    cut = (slice(None), *box)
    return Prepared(
        first[cut].contiguous(),
        second,
        None if weight is None else weight[cut].contiguous(),
        counted,
        Lattice(tuple(b.stop - b.start for b in box), tuple(float(b.start) for b in box), (1.0,) * d),
        lattice,
        grid.shape,
        tuple(float(s) for s in grid.spacing / grid.spacing.min()),
    )


def _weight(mask: Image | None, device: torch.device) -> Tensor | None:
    """A mask as a tensor (1, *shape) of 0 and 1."""
    return None if mask is None else tensor(mask.data, device)


def tensor(data: Array, device: torch.device) -> Tensor:
    """An array (*shape) as a float32 tensor (1, *shape)."""
    return torch.from_numpy(np.array(data, dtype=np.float32))[None].to(device)


def _resampled(
    image: Tensor, mask: Tensor | None, own: Grid, grid: Grid, lattice: Lattice
) -> tuple[Tensor, Tensor]:
    """An image and where it counts on a lattice of the fixed grid, its border going on outside."""
    d = grid.ndim
    factors = tuple(
        int(max(1, min(round(b / a), n // 8)))
        for a, b, n in zip(own.spacing, _spacing_along(grid, own), own.shape, strict=True)
    )
    image = pooled(image, factors)  # a finer image would alias
    mask = None if mask is None else pooled(mask, factors)
    own = _pooled_grid(own, factors)
    corner = grid.to_world([lattice.start])[0]
    affine = grid.affine.copy()
    affine[:d, d] = corner
    wide = Grid(lattice.shape, affine, grid.units)
    to_index = np.linalg.inv(own.affine)
    matrix = torch.tensor(to_index @ wide.affine, dtype=torch.float64)
    size = torch.tensor(own.shape, dtype=torch.float64)
    # Plane by plane into one tensor: all indices at once take many times the image's memory.
    out = image.new_empty((image.shape[0], *lattice.shape))
    inside = image.new_empty((1, *lattice.shape))
    rest = torch.stack(
        torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in lattice.shape[1:]], indexing="ij"), -1
    )
    for k in range(lattice.shape[0]):
        index = rest @ matrix[:d, 1:d].T + matrix[:d, 0] * k + matrix[:d, d]
        at = (index * (2 / (size - 1).clamp_min(1)) - 1).flip(-1).float().to(image.device)[None]
        out[:, k] = sample(image, at)[:, 0]
        within = ((index >= -0.5) & (index <= size - 0.5)).all(-1).float().to(image.device)
        inside[:, k] = within if mask is None else within * sample(mask, at)[0, 0]
    return out, inside


def _spacing_along(grid: Grid, own: Grid) -> Array:
    """The distance of a grid's pixels along another grid's axes."""
    across = np.abs(own.direction.T @ (grid.direction * grid.spacing))
    return across.max(axis=1)


def _pooled_grid(grid: Grid, factors: tuple[int, ...]) -> Grid:
    """The grid of pooled pixels."""
    if max(factors) == 1:
        return grid
    affine = grid.coarsened(factors).affine.copy()
    affine[:-1, -1] = grid.to_world([[(f - 1) / 2 for f in factors]])[0]
    return Grid(tuple(n // f for n, f in zip(grid.shape, factors, strict=True)), affine, grid.units)


def pooled(image: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Means over blocks of (C, *shape); an incomplete last block is dropped."""
    if max(factors) == 1:
        return image
    mean = F.avg_pool3d if len(factors) == 3 else F.avg_pool2d
    return mean(image[None], factors)[0]


def _box(fixed: Tensor, moving: Tensor, counted: Tensor) -> tuple[slice, ...]:
    """The region of the fixed grid outside of which both images are background or nothing counts."""
    shape = fixed.shape[1:]
    coarse = tuple(max(1, min(4, n // 8)) for n in shape)
    structure = torch.zeros(tuple(n // c for n, c in zip(shape, coarse, strict=True)), dtype=torch.bool)
    for image in (fixed, moving):
        small = pooled(image, coarse)[0].cpu()
        rim = torch.cat([small.select(k, i).flatten() for k in range(small.ndim) for i in (0, -1)])
        structure |= (small - rim.median()).abs() > FAINT
    structure &= pooled(counted, coarse)[0].cpu() > 0
    if not structure.any():
        return tuple(slice(0, n) for n in shape)
    box = []
    for k, (n, c) in enumerate(zip(shape, coarse, strict=True)):
        hit = structure.movedim(k, 0).flatten(1).any(1).nonzero()
        low, high = int(hit.min()), int(hit.max())
        last = n if high + 3 >= n // c else (high + 3) * c  # the remainder of the last block too
        box.append(slice(max(0, (low - 2) * c), last))
    return tuple(box)


def level_factors(shape: tuple[int, ...], spacing: tuple[float, ...], levels: int, finest: int) -> list[int]:
    """Pixel sizes of the levels, coarse to fine, in finest pixels: powers of two times the finest."""

    def size(pixel: int) -> list[int]:
        return [n // f for n, f in zip(shape, factors(spacing, pixel), strict=True)]

    if finest == 0:
        finest = 1
        while np.prod(size(finest), dtype=float) > LEVEL_PIXELS:
            finest *= 2
    chosen = [finest]
    while len(chosen) < levels and max(size(2 * chosen[0])) >= SMALLEST and min(size(2 * chosen[0])) >= 1:
        chosen.insert(0, 2 * chosen[0])
    return chosen


def factors(spacing: tuple[float, ...], pixel: int) -> tuple[int, ...]:
    """Pixels to pool along each axis so that the level's pixels are as near to cubes as can be."""
    return tuple(max(1, round(pixel / s)) for s in spacing)


def eroded(weight: Tensor) -> Tensor:
    """1 where a pixel and its near surroundings count: windows must not straddle the rim."""
    return (box_mean(weight, 5) > 0.95).to(weight.dtype)
