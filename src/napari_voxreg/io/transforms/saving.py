"""Writing transforms for this package and for other programs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.disk import check_utf8
from ...core.geometry import Grid, Image, unit_factor
from ...transforms import Transform
from .base import Grids, in_millimetres
from .formats import FORMATS, WRITTEN, ants, elastix
from .loading import grid_of, kinds
from .native import is_ours, save_native

log = logging.getLogger(__name__)

OURS = "napari-voxreg"  # the format of saved results


def save_transform(
    transform: Transform,
    path: Path | str,
    grid: Grid | Image | Path | str | None = None,
    record: Mapping[str, Any] | None = None,
    *,
    format: str | None = None,
    moving: Grid | Image | Path | str | None = None,
) -> Path:
    """Write a transform.

    As "napari-voxreg" it is ``NAME.h5`` (ITK) and ``NAME.json``, which hold all its numbers. Affine, B-spline
    and displacement transforms and their chains are stored as such in the .h5. Homographies, quadratics,
    thin-plate splines and velocity fields, which ITK has not, keep their numbers in the JSON; their .h5 is a
    dense field, exact at the nodes of `grid` and approximate between them. The formats of other programs are
    described in ``docs/exchange.md``.

    Parameters
    ----------
    transform : Transform
        What to save.
    path : path
        Of the file; for "ants" the beginning of the names of its two files.
    grid : Grid, Image or path, optional
        The fixed image's grid; recorded, so that images can be warped without the fixed image at hand. Not
        needed for affine transforms in most formats of others.
    record : mapping, optional
        More to keep in the JSON: method, parameters, scores.
    format : str, optional
        "napari-voxreg", "itk", "itk-text", "itk-matlab", "ants", "elastix", "nifti", "flo", "matrix" or
        "matrix-xyz"; by default what the ending of the name stands for: ours for .h5.
    moving : Grid, Image or path, optional
        The moving image's grid, for "flo" where it differs from the fixed one's.

    Returns
    -------
    Path
        Of the file, the .h5 or the first of several.

    Raises
    ------
    ValueError
        If the format cannot hold the transform, a grid is missing, or the ending stands for no format.
    """
    return write_transform(transform, path, Grids(grid_of(grid), grid_of(moving)), record, format)[0]


def write_transform(
    transform: Transform,
    path: Path | str,
    grids: Grids,
    record: Mapping[str, Any] | None = None,
    format: str | None = None,
) -> tuple[Path, tuple[str, ...]]:
    """`save_transform` with the notes on what is approximate."""
    path = Path(path)
    check_utf8(path)
    name = written_format(path, format)
    _check_axes(transform, grids, path)
    if name == OURS:
        if grids.fixed is None:
            raise ValueError(f"{path.name} records the grid of the fixed image; give it (--fixed).")
        save_native(transform, path, grids.fixed, record)
        notes: tuple[str, ...] = ()
        log.info("wrote %s and %s: %s", path, path.with_suffix(".json").name, kinds(transform))
    else:
        write = FORMATS[name].write
        assert write is not None  # written_format says so
        if path.suffix == ".h5" and is_ours(path.with_suffix(".json")):
            raise ValueError(
                f"{path.with_suffix('.json').name} belongs to another {path.name}; choose another name."
            )
        if FORMATS[name].millimetres:
            transform, grids = _in_millimetres(transform, grids)
        notes = write(transform, path, grids)
        path = written_files(transform, path, name)[0]
        log.info("wrote %s as %s: %s", path, name, kinds(transform))
    return path, notes


def written_format(path: Path, format: str | None) -> str:
    """The name of the format in which a file is written.

    Raises
    ------
    ValueError
        If it is none that is written, or the name's ending stands for none.
    """
    choices = (OURS, *WRITTEN)
    if format is not None:
        if format not in choices:
            raise ValueError(
                f"Transforms are not written as {format!r:.60}; choose from: {', '.join(choices)}."
            )
        return format
    if path.suffix.lower() == ".h5":
        return OURS
    fitting = [
        name
        for name in WRITTEN
        if any(path.name.lower().endswith(ending) for ending in FORMATS[name].endings)
    ]
    if len(fitting) != 1:
        raise ValueError(
            f"The name {path.name} does not say in which format to write; state it (--to): "
            f"{', '.join(fitting or choices)}; or give a name that ends in .h5."
        )
    return fitting[0]


def written_files(transform: Transform, path: Path, format: str) -> tuple[Path, ...]:
    """The files that are written for a transform and a path in a format, the one to give to others first."""
    if format == OURS:
        return path, path.with_suffix(".json")
    several = {"ants": ants.written, "elastix": elastix.written}
    return several[format](transform, path) if format in several else (path,)


def _check_axes(transform: Transform, grids: Grids, path: Path) -> None:
    """Refuse images that have not as many axes as the transform.

    Raises
    ------
    ValueError
        In one sentence that names both.
    """
    for role, grid in (("fixed", grids.fixed), ("moving", grids.moving)):
        if grid is not None and grid.ndim != transform.ndim:
            raise ValueError(
                f"The transform for {path.name} is {transform.ndim}D and the {role} image {grid.ndim}D; give "
                f"the {transform.ndim}D image that it belongs to."
            )


def _in_millimetres(transform: Transform, grids: Grids) -> tuple[Transform, Grids]:
    """The same in millimetres, where the unit of the fixed image is another length."""
    fixed = in_millimetres(grids.fixed)
    if grids.fixed is None or fixed is None or fixed.units == grids.fixed.units:
        return transform, grids
    factors = [unit_factor(unit, "millimeter") for unit in grids.fixed.units]
    return transform.moved(np.diag([*factors, 1.0])), Grids(fixed, in_millimetres(grids.moving))
