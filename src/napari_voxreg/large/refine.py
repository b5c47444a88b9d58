"""A registration refined on a finer level by overlapping blocks, which are blended without seams."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, subprogress
from ..images.preprocess import driving_channel
from ..registration.in_slabs import cut, needed
from ..registration.prepare import method_named, prepare
from ..transforms import Displacement, Transform, displacement_on, resampled
from .control import Control, control_grid
from .image import LargeImage

METHOD = "diffeo"
BLOCKS = {2: 768, 3: 96}  # pixels along each side of a block
OVERLAP = 0.25  # of a side
MARGIN = 0.125  # of a side, by which the moving image is known beyond a block


@dataclass(frozen=True)
class Options:
    """How blocks are registered.

    Parameters
    ----------
    channel, seed, device
        As in `register`.
    """

    channel: int | str | None
    seed: int
    device: str


def refined(
    transform: Transform,
    fixed: LargeImage,
    moving: LargeImage,
    level: int,
    options: Options,
    progress: Progress,
) -> tuple[Transform, str]:
    """Refine a transform on a level of the fixed image.

    Each block is registered from where the transform has brought it. What it finds counts where its verdict
    is *better*; the displacements of neighbours are blended by smooth weights that add up to one. Where the
    whole would fold, they are smoothed.

    Parameters
    ----------
    transform : Transform
        From the fixed to the moving image.
    fixed, moving : LargeImage
        In the same units.
    level : int
        Of the fixed image; of the moving image a level as fine is taken.
    options : Options
    progress : Progress
        May raise `Cancelled`.

    Returns
    -------
    tuple of Transform and str
        The refined transform, and a note on what was found.
    """
    image = fixed.frames()[level]
    source = moving.frames()[moving.level_for(transform, image.grid)]
    control = Control.of(transform, control_grid(fixed.grid, image.grid), image.grid)
    blend = _Blend(control.grid, image.grid)
    blocks = list(overlapping(image.grid.shape))
    helped = 0
    for k, box in enumerate(blocks):
        part = subprogress(progress, k / len(blocks), (k + 1) / len(blocks))
        part(0.0, f"level {level}, block {k + 1} of {len(blocks)}")
        found = _of_block(image, source, control.transform, box, options, part)
        helped += found is not None
        blend.add(box, found)
    better, smoothed = control.unfolded_after(blend.field)
    note = f"On level {level}, {helped} of {len(blocks)} blocks improved the match; the others kept it."
    if smoothed:
        note += " The deformation was smoothed where it would have folded."
    return better.transform, note


def overlapping(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Blocks of one size that overlap by a quarter at least, in C order."""
    size = BLOCKS[min(len(shape), 3)]
    least = size - round(OVERLAP * size)
    starts = []
    for n in shape:
        count = 1 + math.ceil(max(0, n - size) / least)
        starts.append(np.linspace(0, max(0, n - size), count).round().astype(int))
    for index in np.ndindex(*map(len, starts)):
        first = [int(along[k]) for along, k in zip(starts, index, strict=True)]
        yield tuple(slice(a, min(a + size, n)) for a, n in zip(first, shape, strict=True))


def _of_block(
    image: Image,
    source: Image,
    transform: Transform,
    box: Sequence[slice],
    options: Options,
    progress: Progress,
) -> Transform | None:
    """What is left to be found in a block; None if there is nothing, or it does not help."""
    grid = cut(image.grid, box)
    fixed = Image(np.asarray(image.data[tuple(box)]), grid, image.name)
    moving = _placed(source, transform, _around(grid), options.channel)
    if moving is None:
        return None
    try:
        pair = prepare(fixed, moving, channel=options.channel, seed=options.seed, device=options.device)
        result = pair.run(METHOD, method_named(METHOD).parameters(), progress)
    except ValueError:  # a block without contrast, or where the images do not meet, has nothing to match
        return None
    return result.transform if result.verdict.outcome == "better" else None


def _around(grid: Grid) -> Grid:
    """A grid with a margin of the same pixels."""
    margin = [math.ceil(MARGIN * n) for n in grid.shape]
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world([[-m for m in margin]])[0]
    shape = tuple(n + 2 * m for n, m in zip(grid.shape, margin, strict=True))
    return replace(grid, shape=shape, affine=affine)


def _placed(source: Image, transform: Transform, grid: Grid, channel: int | str | None) -> Image | None:
    """The driving channel of an image where a transform puts it; NaN outside. None if it lies elsewhere."""
    field = displacement_on(transform, grid)
    box = needed(field, grid, source.grid)
    if box is None:
        return None
    piece = Image(np.asarray(source.data[tuple(box)]), cut(source.grid, box), source.name)
    return resampled(driving_channel(piece, channel), Displacement(field, grid), grid, "linear", np.nan)


class _Blend:
    """Displacements of blocks at control points, by weights that add up to one and fall smoothly to zero.

    Parameters
    ----------
    control : Grid
        Of the control points.
    level : Grid
        Of the pixels of which blocks are made.
    """

    def __init__(self, control: Grid, level: Grid) -> None:
        self.control, self.level = control, level
        self._sum = np.zeros((*control.shape, control.ndim))
        self._weight = np.zeros(control.shape)
        last = np.array(level.shape) - 1.0
        # Beyond the edges of the image its outermost pixels count.
        self._index = np.clip(level.to_index(control.nodes()), 0.0, last)

    def add(self, box: Sequence[slice], found: Transform | None) -> None:
        """Add what was found in a block; None keeps its points where they are."""
        weight = np.ones(len(self._index))
        for k, (side, n) in enumerate(zip(box, self.level.shape, strict=True)):
            ramp = max(1.0, OVERLAP * (side.stop - side.start))
            at = self._index[:, k]
            inside = (at >= side.start) & (at <= side.stop - 1)
            weight *= inside if side.start == 0 else inside * _smooth((at - side.start) / ramp)
            if side.stop < n:
                weight *= _smooth((side.stop - 1 - at) / ramp)
        reached = weight > 0
        total = self._weight.reshape(-1)
        total[reached] += weight[reached]
        if found is not None:
            points = self.level.to_world(self._index[reached])
            moved = self._sum.reshape(-1, self.control.ndim)
            moved[reached] += weight[reached, None] * (found(points) - points)

    @property
    def field(self) -> Array:
        """World displacements at the control points, shape (*control.shape, d)."""
        total = self._weight[..., None]
        return np.divide(self._sum, total, out=np.zeros_like(self._sum), where=total > 0)


def _smooth(t: Array) -> Array:
    """From 0 at 0 to 1 at 1, flat at both ends."""
    t = np.clip(t, 0.0, 1.0)
    smooth: Array = t * t * (3 - 2 * t)
    return smooth
