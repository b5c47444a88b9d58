"""`register_large`: images larger than memory, registered on a coarse level and refined on finer ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.geometry import Grid, Image, short_unit
from ..core.params import Params
from ..core.progress import Progress, silent, subprogress
from ..metrics.verdict import judge
from ..registration.pair_transform import PairTransform
from ..registration.prepare import PreparedPair, method_named, prepare
from ..registration.register import DEFAULT_METHOD
from ..registration.result import Result
from ..transforms import Transform
from .blocks import MEMORY
from .control import Control, control_grid, is_small
from .image import LargeImage
from .opening import open_large
from .refine import Options, refined
from .warp import Source

PER_PIXEL = 250  # bytes that methods take for a pixel of the level on which they run
COARSE = 0.4  # of the time, for the registration of a coarse level that is refined


def register_large(
    fixed: Source,
    moving: Source,
    *,
    method: str = DEFAULT_METHOD,
    preset: str | None = None,
    params: Params | Mapping[str, Any] | None = None,
    initial: str | Path | Transform | Result | PairTransform | None = None,
    level: int | None = None,
    refine: int | None = None,
    channel: int | str | None = None,
    seed: int = 0,
    device: str = "auto",
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> Result:
    """Register images larger than memory.

    A coarse level that fits into the memory is registered as `register` does. From there on, where it is
    asked for, finer levels are refined: overlapping blocks are registered one by one, those that improve the
    match count, and their displacements are blended without seams and without folding.

    Parameters
    ----------
    fixed, moving : LargeImage, Image, array or path
        As `open_large` takes them; of a series in time the first time point.
    method, preset, params, initial, channel, seed, device
        As in `register`.
    level : int, optional
        The level of the fixed image that is registered, 0 for full resolution; by default the finest that the
        memory allows.
    refine : int, optional
        The finest level that is refined, one after the other; none by default.
    memory : float
        Bytes that the registration may take.
    progress : Progress, optional
        May raise `Cancelled`.

    Returns
    -------
    Result
        As of `register`, for full resolution: the transform is affine, a B-spline, or the displacement of
        control points and an affine transform, all small in memory and on disk. Scores and verdict are those
        of the level that was registered.

    Raises
    ------
    ValueError
        In one sentence, for images that cannot be read or registered, or a level that is not there.
    Cancelled
        If `progress` requested it.
    """
    report = silent if progress is None else progress
    values = method_named(method).parameters(preset, params)
    first, second = open_large(fixed), open_large(moving)
    pixels = memory / PER_PIXEL
    coarse = first.level_under(pixels) if level is None else level
    for name, given in (("level", level), ("level to refine", refine)):
        if given is not None and not 0 <= given < len(first.levels):
            most = len(first.levels) - 1
            raise ValueError(f"The {name} cannot be {given}; {first.name} has the levels 0 to {most}.")
    report(0.0, "reading the coarse levels")
    image = _read(first, coarse)
    other = _read(second, second.level_under(max(pixels, image.data.size)))
    pair = prepare(image, other, initial=initial, channel=channel, seed=seed, device=device)
    end = 1.0 if refine is None or refine >= coarse else COARSE
    result = pair.run(method, values, subprogress(report, 0.0, end))
    transform = result.transform
    if not is_small(transform):
        transform = Control.of(transform, control_grid(first.grid, image.grid), image.grid).transform
    second = second.in_world_of(first.grid)
    notes = [_about(image.grid, coarse)]
    if end < 1.0:
        finer = range(coarse - 1, (refine or 0) - 1, -1)
        options = Options(channel, seed, device)
        transform, said = _refined(transform, (first, second), finer, options, report)
        notes += said
        result = _measured(result, pair, transform)
    return replace(
        result,
        transform=transform,
        fixed=first.grid,
        moving=second.grid,
        notes=(*first.notes, *second.notes, *result.notes, *notes),
    )


def _read(image: LargeImage, level: int) -> Image:
    """The pixels of a level at the first time point."""
    lazy = image.frames()[level]
    return Image(np.asarray(lazy.data), lazy.grid, image.name)


def _about(grid: Grid, level: int) -> str:
    """A note on the level that was registered."""
    shape = " x ".join(map(str, grid.shape))
    size = f"{grid.spacing.min():.3g} {short_unit(grid.units[-1])}"
    return f"Registered on level {level}, {shape} pixels of {size}; scores and verdict are of this level."


def _refined(
    transform: Transform,
    images: tuple[LargeImage, LargeImage],
    levels: range,
    options: Options,
    progress: Progress,
) -> tuple[Transform, list[str]]:
    """A transform refined on one level after the other, and what is to be said."""
    work = np.array([float(np.prod(images[0].frames()[k].grid.shape)) for k in levels])
    ends = COARSE + (0.99 - COARSE) * np.cumsum(work) / work.sum()
    notes = []
    for k, start, end in zip(levels, [COARSE, *ends[:-1]], ends, strict=True):
        part = subprogress(progress, float(start), float(end))
        transform, note = refined(transform, *images, k, options, part)
        notes.append(note)
    return transform, notes


def _measured(result: Result, pair: PreparedPair, transform: Transform) -> Result:
    """A result with the scores and the verdict of another transform of its pair."""
    after = pair.metrics.scores(transform)
    verdict = judge(pair.metrics, result.before, after, transform)
    return replace(result, after=after, verdict=verdict)
