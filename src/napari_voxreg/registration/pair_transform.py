"""Transforms as they are kept, with the grids of the images between which they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..core.geometry import Grid, unit_factor
from ..io.transforms import fixed_grid, load_record, load_transform, moving_grid
from ..transforms import Transform, chain
from .result import Result


@dataclass(frozen=True, eq=False)
class PairTransform:
    """A transform and what is known of its two images.

    Parameters
    ----------
    transform : Transform
        From the fixed to the moving world, both in the units of `fixed`.
    fixed, moving : Grid or None
        The grids of the images; None where they are not known.
    """

    transform: Transform
    fixed: Grid | None = None
    moving: Grid | None = None


Kept: TypeAlias = Transform | Result | PairTransform | Path | str
Applicable: TypeAlias = Kept | Sequence[Kept]


def open_transform(given: Applicable) -> PairTransform:
    """Take a transform as it is kept, or compose several.

    Parameters
    ----------
    given : Transform, Result, PairTransform, path, or a sequence of these
        A path is that of a file or folder that `load_transform` reads. Several are composed in the order in
        which they map points of the fixed image: the first one's fixed image is that of the chain, the last
        one's moving image its moving image. Each is taken in the units of its own fixed image.

    Raises
    ------
    ValueError
        If a file is missing, damaged, unknown or of a newer version, or if the members of a chain have
        different numbers of axes or units that cannot be converted; in one sentence.
    """
    if isinstance(given, PairTransform):
        return given
    if isinstance(given, Result):
        return PairTransform(given.transform, given.fixed, given.moving)
    if isinstance(given, str | Path):
        transform, record = load_transform(given), load_record(given)
        if record is None:
            return PairTransform(transform)
        return PairTransform(transform, fixed_grid(record), moving_grid(record))
    if isinstance(given, Transform):
        return PairTransform(given)
    if not isinstance(given, Sequence) or not given:
        raise ValueError(
            f"{str(given)[:60]!r} contains no transform; give a Transform, a Result, a file, or a list of "
            "them."
        )
    return _composed([open_transform(one) for one in given])


def _composed(parts: Sequence[PairTransform]) -> PairTransform:
    """One transform of several, in the units of the first one's fixed image."""
    first, last = parts[0], parts[-1]
    for number, part in enumerate(parts, start=1):
        if part.transform.ndim != first.transform.ndim:
            raise ValueError(
                f"Transform {number} is {part.transform.ndim}D and the first one {first.transform.ndim}D; "
                "only transforms with as many axes can be composed."
            )
    moving = last.moving
    if moving is not None and first.fixed is not None:
        moving = moving.in_units(first.fixed.units)
    return PairTransform(chain(*(_in_units_of(part, first) for part in parts)), first.fixed, moving)


def in_units(transform: Transform, own: Sequence[str], units: Sequence[str]) -> Transform:
    """A transform in other units than its own; one for each of its axes."""
    factors = [unit_factor(a, b) for a, b in zip(own, units, strict=True)]
    if all(factor == 1 for factor in factors):
        return transform
    return transform.moved(np.diag([*factors, 1.0]))


def _in_units_of(part: PairTransform, first: PairTransform) -> Transform:
    """A transform in the units of another one's fixed image, where both are known."""
    if part.fixed is None or first.fixed is None:
        return part.transform
    return in_units(part.transform, part.fixed.units, first.fixed.units)
