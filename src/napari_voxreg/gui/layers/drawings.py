"""Drawings of a transform over the fixed image: arrows, a deformed grid, and SSIM per tile.

Plain arrays in the pixel coordinates of a grid; a layer with the grid's transform puts them in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ...core.geometry import Array, Grid
from ...transforms import Transform
from ...transforms.fields import affine_part

ARROWS = {2: 900, 3: 2500}  # as many as can be distinguished; napari stalls at one per pixel
LINES = 33  # of the deformed grid, along its longest axis
SEGMENTS = 4  # straight segments between two crossings of the deformed grid
TILES = 5  # along the longest axis
FLAT = 0.01  # standard deviation, of an image in [0, 1], below which a tile shows nothing
STILL = 1e-4  # pixels: a displacement by rounding alone
LENGTHS = (100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0)


@dataclass(frozen=True, eq=False)
class Drawing:
    """Vectors for napari.

    Parameters
    ----------
    vectors : ndarray, shape (N, 2, d)
        Start and displacement, in pixels of the grid.
    size : ndarray, shape (N,)
        Length of the displacement T(x) - x in world units.
    step : float
        Distance between neighbouring arrows or lines, in pixels along the axis where it is least.
    length : float
        By how much the vectors are to be drawn longer, a round number.
    """

    vectors: Array
    size: Array
    step: float
    length: float = 1.0


@dataclass(frozen=True)
class Tile:
    """Structural similarity in one tile of the image.

    Parameters
    ----------
    centre : tuple of float
        In pixels.
    before, after : float
        Mean over the tile's pixels where both images overlap; `before` is nan where they did not.
    """

    centre: tuple[float, ...]
    before: float
    after: float


def arrows(transform: Transform, grid: Grid, through: Sequence[int], affine: bool = True) -> Drawing:
    """Arrows from x towards T(x) on a lattice of at most `ARROWS` pixels, evenly spaced in the world.

    None is drawn longer than the distance between neighbours: its size tells how long it is. Where nothing
    moves there is none.

    Parameters
    ----------
    transform : Transform
        From the world of `grid`.
    grid : Grid
        The fixed image's grid.
    through : sequence of int
        A pixel whose planes the lattice contains, so that the slice on the screen has arrows.
    affine : bool
        Whether the affine part of the motion is included; else A^-1(T(x)) takes the place of T(x).
    """
    strides = _strides(grid, ARROWS[grid.ndim])
    axes = [np.arange(at % s, n, s) for at, s, n in zip(through, strides, grid.shape, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, grid.ndim).astype(float)
    world = grid.to_world(index)
    moved = transform(world)
    if not affine:
        moved = affine_part(transform, grid).inverse()(moved)
    offset = moved - world
    size = np.linalg.norm(offset, axis=1)
    seen = size > STILL * float(grid.spacing.min())
    index, offset, size = index[seen], offset[seen], size[seen]
    step = float(min(strides * grid.spacing))
    usual = float(np.percentile(size, 95)) if len(size) else step
    length = next((factor for factor in LENGTHS if factor * usual <= step), 1.0)
    drawn = offset * np.minimum(1, step / (length * size))[:, None] @ np.linalg.inv(grid.affine[:-1, :-1]).T
    return Drawing(np.stack([index, drawn], axis=1), size, float(min(strides)), length)


def deformed_grid(transform: Transform, grid: Grid, through: Sequence[int], lines: int = LINES) -> Drawing:
    """Lines of a regular lattice, each point x of which is drawn at T(x).

    In three dimensions the lattice has three sheets, one across each axis through the pixel `through`; each
    shows the displacement within it, so that it stays on its slice. `lines` lie along the longest axis.
    """
    step = max(grid.spacing * grid.shape) / (lines - 1)
    if grid.ndim == 2:
        return _sheet(transform, grid, None, through, step)
    vectors, size, steps = [], [], []
    for axis in range(3):
        sheet = _sheet(transform, grid, axis, through, step)
        start = sheet.vectors[:, 0]
        # Segments on an earlier sheet would cross it obliquely.
        apart = [np.abs(start[:, k] - through[k]) > 0.5 for k in range(axis)]
        kept = np.all(apart, axis=0) if apart else np.ones(len(start), dtype=bool)
        vectors.append(sheet.vectors[kept])
        size.append(sheet.size[kept])
        steps.append(sheet.step)
    return Drawing(np.concatenate(vectors), np.concatenate(size), min(steps))


def tiles(
    fixed: Array, before: Array, after: Array, inside: tuple[Array, Array], grid: Grid, through: Sequence[int]
) -> list[Tile]:
    """Mean structural similarity per tile; tiles are about equally long along all axes of the world.

    Parameters
    ----------
    fixed : ndarray
        The fixed image in [0, 1]; flat tiles are skipped, since their similarity is meaningless.
    before, after : ndarray
        Maps of structural similarity.
    inside : tuple of ndarray
        Where both images have data, before and after.
    grid : Grid
        Of all arrays.
    through : sequence of int
        On a stack, the tiles that hold this pixel are annotated on its plane.
    """
    extent = grid.spacing * grid.shape
    counts = np.clip(np.rint(TILES * extent / extent.max()), 1, np.array(grid.shape)).astype(int)
    edges = [np.linspace(0, n, m + 1).astype(int) for n, m in zip(grid.shape, counts, strict=True)]
    found = []
    for cell in product(*(range(m) for m in counts)):
        at = tuple(slice(e[i], e[i + 1]) for e, i in zip(edges, cell, strict=True))
        valid = inside[1][at]
        if not valid.any() or float(fixed[at][valid].std()) < FLAT:
            continue
        first = inside[0][at]
        centre = [(s.start + s.stop - 1) / 2 for s in at]
        if grid.ndim == 3 and at[0].start <= through[0] < at[0].stop:
            centre[0] = float(through[0])
        old = float(before[at][first].mean()) if first.any() else float("nan")
        found.append(Tile(tuple(centre), old, float(after[at][valid].mean())))
    return found


def _strides(grid: Grid, count: int) -> tuple[int, ...]:
    """Strides that leave at most `count` pixels, as equal in the world as whole pixels allow."""
    spacing, shape = grid.spacing, np.array(grid.shape)
    step = float(np.prod(spacing * shape) / count) ** (1 / grid.ndim)
    while True:
        strides = np.maximum(1, np.rint(step / spacing)).astype(int)
        if np.prod(-(-shape // strides)) <= count:
            return tuple(int(s) for s in strides)
        step *= 1.05


def _sheet(
    transform: Transform, grid: Grid, across: int | None, through: Sequence[int], step: float
) -> Drawing:
    """The deformed lattice within the plane across one axis, or within a two-dimensional image."""
    axes = [k for k in range(grid.ndim) if k != across]
    crossings = {k: max(2, round(grid.spacing[k] * (grid.shape[k] - 1) / step) + 1) for k in axes}
    vectors, size = [], []
    for along, other in (axes, axes[::-1]):
        points = (crossings[along] - 1) * SEGMENTS + 1
        index = np.empty((crossings[other], points, grid.ndim))
        index[...] = through
        index[..., other] = np.linspace(0, grid.shape[other] - 1, crossings[other])[:, None]
        index[..., along] = np.linspace(0, grid.shape[along] - 1, points)
        world = grid.to_world(index.reshape(-1, grid.ndim))
        moved = transform(world)
        drawn = grid.to_index(moved)
        if across is not None:
            drawn[:, across] = through[across]
        drawn = drawn.reshape(index.shape)
        starts, ends = drawn[:, :-1], drawn[:, 1:]
        vectors.append(np.stack([starts, ends - starts], axis=2).reshape(-1, 2, grid.ndim))
        length = np.linalg.norm(moved - world, axis=1).reshape(index.shape[:-1])
        size.append(length[:, :-1].ravel())
    pixels = max(1.0, min((grid.shape[k] - 1) / (crossings[k] - 1) for k in axes))
    return Drawing(np.concatenate(vectors), np.concatenate(size), pixels)
