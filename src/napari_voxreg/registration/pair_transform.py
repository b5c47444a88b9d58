"""Transforms as they are kept, with the grids of the images between which they were found."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..core.geometry import Grid, Image, unit_factor
from ..io.transforms import (
    Grids,
    fixed_grid,
    format_in_chain,
    grid_of,
    load_record,
    moving_grid,
    read_transform,
)
from ..io.transforms.formats.ants import left_out
from ..transforms import Transform, chain
from .result import TRANSFORM, Result

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PairTransform:
    """A transform and what is known of its two images.

    Parameters
    ----------
    transform : Transform
        From the fixed to the moving world, both in the units of `fixed`.
    fixed, moving : Grid or None
        The grids of the images; None where they are not known.
    notes : tuple of str
        What was decided when it was read, and what is approximate.
    """

    transform: Transform
    fixed: Grid | None = None
    moving: Grid | None = None
    notes: tuple[str, ...] = ()


Kept: TypeAlias = Transform | Result | PairTransform | Path | str
Applicable: TypeAlias = Kept | Sequence[Kept]


def open_transform(
    given: Applicable,
    fixed: Grid | Image | Path | str | None = None,
    moving: Grid | Image | Path | str | None = None,
    format: str | None = None,
) -> PairTransform:
    """Take a transform as it is kept, or compose several.

    Parameters
    ----------
    given : Transform, Result, PairTransform, path, or a sequence of these
        A path is that of a file or folder that `load_transform` reads. Several are composed in the order in
        which they map points of the fixed image: the first one's fixed image is that of the chain, the last
        one's moving image its moving image. Each is taken in the units of its own fixed image, or else in
        those of the chain: of `fixed`, or the first that a member states. This is the order of the list that
        ``antsApplyTransforms`` takes.
    fixed, moving : Grid, Image or path, optional
        The two images of the transform or the chain, for files that do not record them.
    format : str, optional
        Of files whose content does not show it; see `load_transform`. In a chain, files whose content shows
        another keep that one.

    Raises
    ------
    ValueError
        If a file is missing, damaged, unknown or of a newer version, or needs the images or its format; or
        if the members of a chain have different numbers of axes or units that cannot be converted; in one
        sentence.
    """
    if isinstance(given, PairTransform):
        return given
    if isinstance(given, Result):
        return PairTransform(given.transform, given.fixed, given.moving)
    grids = Grids(grid_of(fixed), grid_of(moving))
    if isinstance(given, str | Path):
        return _from_file(Path(given), grids, format)
    if isinstance(given, Transform):
        return PairTransform(given, *_in_one_unit(grids))
    if not isinstance(given, Sequence) or not given:
        raise ValueError(
            f"{str(given)[:60]!r} contains no transform; give a Transform, a Result, a file, or a list of "
            "them."
        )
    if len(given) == 1:
        return open_transform(given[0], grids.fixed, grids.moving, format)
    return _composed(given, grids, format)


def _from_file(path: Path, grids: Grids, format: str | None, chain_of: Sequence[Path] = ()) -> PairTransform:
    """A transform on disk, with the grids of its record, or else those that are given."""
    found = read_transform(path, grids, format)
    notes = (*found.notes, *left_out(path, chain_of))
    log.info("read %s", path)
    for note in notes:
        log.info(note)
    record = _record_of(path, format)
    if record is not None:
        return PairTransform(found.transform, fixed_grid(record), moving_grid(record), notes)
    return PairTransform(found.transform, *_in_one_unit(grids), notes)


def _record_of(path: Path, format: str | None) -> dict[str, Any] | None:
    """The JSON of a transform of ours; None of all others, and where a format is stated."""
    ours = path.is_file() or (path / TRANSFORM).exists()  # not a folder of ANTs' files
    return load_record(path) if format is None and ours else None


def _in_one_unit(grids: Grids) -> tuple[Grid | None, Grid | None]:
    """The fixed grid, and the moving one in its units."""
    if grids.fixed is None or grids.moving is None:
        return grids.fixed, grids.moving
    return grids.fixed, grids.moving.in_world_of(grids.fixed)


def _composed(given: Sequence[Kept], grids: Grids, format: str | None) -> PairTransform:
    """One transform of several, all in one unit."""
    units = _units_of(given, grids.fixed, format)
    inner = (None,) * (len(given) - 1)
    files = [Path(one) for one in given if isinstance(one, str | Path)]
    parts: list[PairTransform] = []
    for one, fixed, moving in zip(given, (grids.fixed, *inner), (*inner, grids.moving), strict=True):
        if isinstance(one, str | Path):
            images = Grids(fixed, moving, units, in_chain=True)
            parts.append(_from_file(Path(one), images, format_in_chain(Path(one), format), files))
        else:
            parts.append(open_transform(one, fixed, moving))
    first, last = parts[0], parts[-1]
    for number, part in enumerate(parts, start=1):
        if part.transform.ndim != first.transform.ndim:
            raise ValueError(
                f"Transform {number} is {part.transform.ndim}D and the first one {first.transform.ndim}D; "
                "only transforms with as many axes can be composed."
            )
    moving = last.moving
    if moving is not None and units is not None:
        moving = moving.in_units(units)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return PairTransform(chain(*(_in_units_of(part, units) for part in parts)), first.fixed, moving, notes)


def _units_of(given: Sequence[Kept], fixed: Grid | None, format: str | None) -> tuple[str, ...] | None:
    """The units of a chain: of the fixed image of the first one that has one; None where none is known."""
    for one, place in zip(given, (fixed, *(None,) * (len(given) - 1)), strict=True):
        if isinstance(one, str | Path):
            record = _record_of(Path(one), format_in_chain(Path(one), format))
            own = place if record is None else fixed_grid(record)
        else:
            own = place if isinstance(one, Transform) else one.fixed
        if own is not None:
            return own.units
    return None


def in_units(transform: Transform, own: Sequence[str], units: Sequence[str]) -> Transform:
    """A transform in other units than its own; one for each of its axes."""
    factors = [unit_factor(a, b) for a, b in zip(own, units, strict=True)]
    if all(factor == 1 for factor in factors):
        return transform
    return transform.moved(np.diag([*factors, 1.0]))


def _in_units_of(part: PairTransform, units: Sequence[str] | None) -> Transform:
    """A transform in other units, where its own are known."""
    if part.fixed is None or units is None:
        return part.transform
    return in_units(part.transform, part.fixed.units, units)
