"""`apply_large`: a transform applied to an image larger than memory, block by block, into a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..core.geometry import Array, Grid, Image
from ..core.progress import Progress, silent, subprogress
from ..io.tiff import tiff_refusal
from ..registration.apply import Background, fill_of, warper
from ..registration.pair_transform import Applicable, open_transform
from ..transforms import INTERPOLATIONS, Interpolation
from ..transforms.records import grid_to_record
from .blocks import MEMORY, BlockWarper, block_sides, boxes
from .image import LargeImage, halving, means, modes, pyramid_of
from .ome_zarr_writing import VERSIONS, Version, ZarrWriter, list_labels, refusal
from .opening import open_large
from .resuming import Scratch, scratch_for
from .tiff_writing import write_pyramid

Source = LargeImage | Image | Path | str | Array
Read = Callable[[Sequence[slice]], Array]
FORM = 2  # of what is written, in the hash of the work
ZARR, TIFF = (".zarr",), (".tif", ".tiff")
WARPED = 0.9  # of the time, until a TIFF is written


@dataclass(frozen=True, eq=False)
class Part:
    """One image that is written: the warped one, or labels that belong to it.

    Parameters
    ----------
    name : str
        Of its group of Zarr, inside that of the whole; empty for the image.
    warper : BlockWarper
    labels : bool
        Whether coarser levels take the most frequent value of each block.
    """

    name: str
    warper: BlockWarper
    labels: bool


def apply_large(
    transform: Applicable,
    moving: Source,
    output: Path | str,
    *,
    fixed: Source | Grid | None = None,
    interpolation: Interpolation = "linear",
    background: Background = 0.0,
    version: Version = "0.4",
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> LargeImage:
    """Warp an image larger than memory onto the fixed image's grid, into OME-Zarr or a pyramidal OME-TIFF.

    Block by block: only what a block needs is read. All levels are written, each by the means of two pixels
    along each axis (of labels the most frequent one). What is finished is recorded in a hidden folder beside
    the output, so that a run that broke goes on where it stopped when it is called again. Cancel removes that
    folder. The output is complete or not there at all.

    Parameters
    ----------
    transform : Transform, Result, path, or a sequence of these
        As in `apply`.
    moving : LargeImage, Image, array or path
        As `open_large` takes it. Labels that belong to an OME-Zarr are warped, too, into one.
    output : path
        Ending in .zarr for OME-Zarr, or in .tif or .tiff; must not be there.
    fixed : the same, or Grid, optional
        Where the result lies; by default the fixed grid that the transform's record has.
    interpolation : {"linear", "nearest", "cubic", "vote"}
        As in `apply`; nearest and vote are for labels.
    background : float or "own"
        As in `apply`.
    version : {"0.4", "0.5"}
        Of OME-Zarr.
    memory : float
        Bytes that the blocks may take.
    progress : Progress, optional
        May raise `Cancelled`, and then nothing is left.

    Returns
    -------
    LargeImage
        What was written, with notes for the user.

    Raises
    ------
    ValueError
        In one sentence, for what cannot be read, applied or written; before the work wherever possible.
    DiskFull
        If the disk is full; the same call goes on once there is space.
    Cancelled
        If `progress` raised it.
    """
    report = silent if progress is None else progress
    output = Path(output)
    plan = planned(transform, moving, fixed, interpolation, background, memory)
    image, grid, labels = plan.warper.image, plan.grid, plan.labels
    check_writable(image, grid, output, version)
    parts = [Part("", plan.warper, labels)]
    notes = [*plan.notes]
    if image.labels and output.suffix.lower() in ZARR:
        for name, one in image.labels.items():
            own = BlockWarper(one.in_world_of(grid), plan.warper.transform, "nearest", 0.0, memory)
            parts.append(Part(f"labels/{name}", own, True))
    elif image.labels:
        notes.append(f"TIFF holds no labels beside the image: {', '.join(image.labels)} were left out.")
    grids = pyramid_of(grid)
    work = _work(parts, grids, version, output)
    with scratch_for(output, work) as scratch:
        made = _written(parts, grids, output, version, scratch, report)
        made.replace(output)
    written = open_large(output, labels)
    return replace(written, notes=tuple(dict.fromkeys((*notes, *written.notes))))


@dataclass(frozen=True, eq=False)
class Plan:
    """What is warped onto which grid.

    Parameters
    ----------
    warper : BlockWarper
    grid : Grid
        Of the finest level of the result.
    labels : bool
        Whether the image shows labels.
    notes : tuple of str
        What a user should know of the image and the transform.
    """

    warper: BlockWarper
    grid: Grid
    labels: bool
    notes: tuple[str, ...]


def planned(
    transform: Applicable,
    moving: Source,
    fixed: Source | Grid | None,
    interpolation: Interpolation,
    background: Background,
    memory: float = MEMORY,
) -> Plan:
    """Check what is to be warped; the parameters are those of `apply_large`."""
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"The interpolation cannot be {interpolation!r:.60}; choose from: {', '.join(INTERPOLATIONS)}."
        )
    labels = interpolation in ("nearest", "vote")
    image = open_large(moving, labels)
    pair = open_transform(transform)
    ready = warper(pair, "moving -> fixed", _target(fixed, pair.fixed), interpolation)
    axes, grid = image.finest.ndim, ready.grid
    if axes != grid.ndim:
        raise ValueError(
            f"{image.name} is {axes}D and the transform {grid.ndim}D; give an image with as many axes."
        )
    if image.dtype.kind not in "biuf":
        raise ValueError(f"{image.name} has {image.dtype} pixels; give an image of integers or real numbers.")
    image = image.in_world_of(grid)
    fill = fill_of(image.finest, interpolation, background)
    blocks = BlockWarper(image, ready.transform, interpolation, fill, memory)
    return Plan(blocks, grid, labels, (*image.notes, *ready.notes))


def _target(fixed: Source | Grid | None, known: Grid | None) -> Grid:
    """The grid of the result."""
    if isinstance(fixed, Grid):
        return fixed
    if fixed is not None:
        return open_large(fixed).grid
    if known is None:
        raise ValueError("The transform does not say on which grid the fixed image lies; give that image.")
    return known


def check_writable(image: LargeImage, grid: Grid, output: Path, version: str) -> None:
    """Refuse, with a `ValueError`, what `apply_large` cannot write, before any work.

    Parameters
    ----------
    image : LargeImage
        To be warped.
    grid : Grid
        Of the result.
    output, version
        As in `apply_large`.
    """
    if output.exists():
        raise ValueError(f"{output} is there already; choose another name, or move it away.")
    ending = output.suffix.lower()
    if version not in VERSIONS:
        raise ValueError(f"OME-Zarr is not written in version {version!r:.20}; choose 0.4 or 0.5.")
    if ending in ZARR:
        reason = refusal(grid)
    elif ending in TIFF:
        planned = np.broadcast_to(np.zeros((), image.dtype), grid.shape)
        reason = refusal(grid) or tiff_refusal(Image(planned, grid))
        if image.times:
            reason = "a series in time is written as OME-Zarr; give a name that ends in .ome.zarr."
    else:
        reason = "give a name that ends in .ome.zarr or .ome.tif."
    if reason:
        raise ValueError(f"{output.name} cannot be written: {reason}")


def _work(parts: Sequence[Part], grids: Sequence[Grid], version: str, output: Path) -> dict[str, Any]:
    """All that decides what is written."""
    first = parts[0].warper
    return {
        "form": FORM,
        "transform": first.transform.to_records(True),
        "grid": grid_to_record(grids[0]),
        "version": version,
        "ending": output.suffix.lower(),
        "memory": first.memory,
        "images": [_about(part) for part in parts],
    }


def _about(part: Part) -> dict[str, Any]:
    """Which pixels are warped, where they lie, and how."""
    image = part.warper.image
    return {
        "name": part.name,
        "pixels": image.identity,
        "type": str(image.dtype),
        "grid": grid_to_record(image.levels[0].grid),
        "interpolation": part.warper.interpolation,
        "fill": repr(part.warper.fill),
    }


def _written(
    parts: Sequence[Part],
    grids: Sequence[Grid],
    output: Path,
    version: Version,
    scratch: Scratch,
    progress: Progress,
) -> Path:
    """The finished output, still in the scratch folder."""
    root = scratch.folder / "image.zarr"
    zarr = output.suffix.lower() in ZARR
    report = subprogress(progress, 0.0, 1.0 if zarr else WARPED)
    for k, part in enumerate(parts):
        image = part.warper.image
        writer = ZarrWriter(root / part.name, grids, image.dtype, image.channels, times_of(image), version)
        stage = subprogress(report, k / len(parts), (k + 1) / len(parts))
        _write_levels(part, writer, scratch, stage)
        writer.describe(part.name.rpartition("/")[2] or image.name, part.labels)
    names = [part.name.rpartition("/")[2] for part in parts if part.name]
    if zarr:
        if names:
            list_labels(root / "labels", names, version)
        return root
    file = scratch.folder / "image.ome.tif"
    write_pyramid(writer, file, subprogress(progress, WARPED, 1.0))
    return file


def times_of(image: LargeImage) -> tuple[int, float, float] | None:
    """Number, distance and first of the time points."""
    if image.times is None:
        return None
    affine = image.levels[0].grid.affine
    return image.times, float(affine[0, 0]), float(affine[0, -1])


def _write_levels(part: Part, writer: ZarrWriter, scratch: Scratch, progress: Progress) -> None:
    """Warp the finest level and reduce it to the coarser ones, as far as that is not done yet."""
    image, grids = part.warper.image, writer.grids
    sides = block_sides(grids[0], image.channels, image.dtype.itemsize, part.warper.memory)
    read = image.level_for(part.warper.transform, grids[0])
    total = image.times or 1
    blocks = [
        (level, time, box)
        for level, grid in enumerate(grids)
        for time in range(total)
        for box in boxes(grid.shape, sides)
    ]
    sizes = np.array([_size(box) * (1.0 if level == 0 else 0.2) for level, _, box in blocks])
    ends = np.cumsum(sizes) / sizes.sum()
    for (level, time, box), size, end in zip(blocks, sizes / sizes.sum(), ends, strict=True):
        name = f"{part.name}|{level}|{time}|{','.join(str(s.start) for s in box)}"
        progress(max(0.0, float(end - size)), "warping" if level == 0 else "writing the coarser levels")
        if name in scratch.finished:
            continue
        if level == 0:
            data = part.warper(grids[0], box, read, time)
        else:
            data = _reduced(partial(writer.read, level - 1, time), grids[level - 1], box, part.labels)
        writer.write(level, time, box, data)
        scratch.record(name)
    progress(1.0, "warped")


def _size(box: Sequence[slice]) -> int:
    return math.prod(side.stop - side.start for side in box)


def _reduced(read: Read, finer: Grid, box: Sequence[slice], labels: bool) -> Array:
    """A block of a level from the finer one; at the far edges its last pixels are repeated."""
    steps = halving(finer)
    source = [
        slice(side.start * s, min(side.stop * s, n))
        for side, s, n in zip(box, steps, finer.shape, strict=True)
    ]
    data: Array = read(source)
    missing = [(0, -n % s) for n, s in zip(data.shape, steps, strict=False)]
    missing += [(0, 0)] * (data.ndim - len(missing))
    data = np.pad(data, missing, mode="edge")
    reduce = modes if labels else means
    return reduce(data, (*steps, *(1,) * (data.ndim - len(steps))))
