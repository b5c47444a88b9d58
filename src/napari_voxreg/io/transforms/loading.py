"""Reading transform files of every format, told apart by what they hold."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...core.disk import DiskFull, check_utf8
from ...core.geometry import Grid, Image, short_unit, unit_factor
from ...transforms import Composite, Transform
from ..guards import reading
from ..images import read_unlogged
from ..series import time_point
from .base import Found, Grids, are_lengths, head_of, in_millimetres
from .formats import FORMATS
from .formats.ants import files_with_prefix
from .formats.elastix import files_of
from .native import load_native, load_record, transform_path

log = logging.getLogger(__name__)


class Ambiguous(ValueError):
    """A file whose content does not show which of several formats it has, in one sentence."""


def load_transform(
    path: Path | str,
    fixed: Grid | Image | Path | str | None = None,
    moving: Grid | Image | Path | str | None = None,
    format: str | None = None,
) -> Transform:
    """Read a transform that this package or another program has written.

    Parameters
    ----------
    path : path
        A transform file of a format in ``docs/exchange.md``, whatever its name; a folder with
        ``transform.h5``; or the beginning of the names of ANTs' files. With a JSON of ours beside a .h5 the
        numbers are exactly those that were saved.
    fixed, moving : Grid, Image or path, optional
        The two images, for formats that need them. The transform is then in the units of the fixed one.
    format : str, optional
        What the file holds, where that cannot be seen: "fsl", say, of a bare matrix; see `FORMATS`.

    Returns
    -------
    Transform
        From world points of the fixed image to world points of the moving one.

    Raises
    ------
    ValueError
        If the file is missing, damaged, of no known format or of one that cannot be told from another, or
        does not belong to the JSON beside it.
    """
    found = read_transform(path, Grids(grid_of(fixed), grid_of(moving)), format)
    log.info("read %s: %s", path, kinds(found.transform))
    for note in found.notes:
        log.info(note)
    return found.transform


def load_unlogged(path: Path | str, fixed: Grid | None = None) -> Transform:
    """`load_transform` without a record in the log, for whoever reads the same files over and over."""
    return read_transform(path, Grids(fixed)).transform


def read_transform(path: Path | str, grids: Grids | None = None, format: str | None = None) -> Found:
    """`load_transform` with the notes, and without a record in the log."""
    path, grids = Path(path), grids or Grids()
    check_utf8(path)
    if format is None:
        if _is_prefix(path):
            format = "ants"
        elif path.is_dir() or load_record(path) is not None:
            path = transform_path(path)
            if (record := load_record(path)) is not None:
                return Found(load_native(path, record))
    name = format or format_of(path)
    if name not in FORMATS:
        raise ValueError(f"{name!r:.60} is no format of transform files; choose from: {', '.join(FORMATS)}.")
    if not FORMATS[name].millimetres:
        return _read(path, name, grids)
    inner = replace(grids, fixed=in_millimetres(grids.fixed), moving=in_millimetres(grids.moving))
    found = _read(path, name, inner)
    transform = _in_units(found.transform, grids.world)
    if transform is found.transform:
        return found
    return Found(transform, (*found.notes, _converted(path, grids.world)))


def _read(path: Path, name: str, grids: Grids) -> Found:
    """Read a file of a format; whatever damage causes becomes one sentence with the file's name."""
    try:
        return FORMATS[name].read(path, grids)
    except DiskFull:  # of the temporary files
        raise
    except Exception:
        with reading(path):
            raise


def format_of(path: Path) -> str:
    """The name of the format of a file, by its content; by its name's ending only between those that fit.

    Raises
    ------
    ValueError
        If it is none, or several and the ending does not say which.
    """
    head = head_of(path)
    fitting = [name for name, one in FORMATS.items() if one.recognises(head)]
    if len(fitting) > 1:
        lower = path.name.lower()
        named = [n for n in fitting if any(lower.endswith(e.lower()) for e in FORMATS[n].endings)]
        fitting = named if len(named) == 1 else fitting
    if not fitting:
        raise ValueError(
            f"{path.name} is not a transform file of a known format, or it is damaged; choose another."
        )
    if len(fitting) > 1:
        raise Ambiguous(
            f"{path.name} is a bare matrix, which programs write with different meanings; state its format "
            f"(--format, or Format in the Apply panel): {', '.join(fitting)}."
        )
    return fitting[0]


def format_in_chain(path: Path, stated: str | None) -> str | None:
    """The stated format if a file of a chain may have it; None where its content shows another."""
    if stated is None or stated not in FORMATS:
        return stated
    if not path.is_file() or load_record(path) is not None:
        return None
    head = head_of(path)
    if FORMATS[FORMATS[stated].shown_as or stated].recognises(head):
        return stated
    return None if any(one.recognises(head) for one in FORMATS.values()) else stated


def needs_more(path: Path) -> bool:
    """Whether a file needs its format or its images to be read; no for one that cannot be read at all."""
    try:
        return path.is_file() and load_record(path) is None and format_of(path) == "fsl"
    except Ambiguous:
        return True
    except ValueError:
        return False


def check_transform(path: Path) -> None:
    """Refuse, by its first bytes alone, what is no transform file.

    Raises
    ------
    ValueError
        In one sentence.
    """
    if _is_prefix(path):
        return
    if path.is_dir() or load_record(path) is not None:
        transform_path(path)
        return
    with suppress(Ambiguous):
        format_of(path)


def source_files(path: Path) -> list[Path]:
    """The files that are read for what is given as a transform: a file, a folder or a prefix of ANTs'."""
    if _is_prefix(path):
        return files_with_prefix(path)
    if path.is_dir():
        path = path / "transform.h5"
    if path.suffix in (".h5", ".json"):  # ours, or alone
        return [path.with_suffix(".h5"), path.with_suffix(".json")]
    return files_of(path)


def _is_prefix(path: Path) -> bool:
    """Whether a path is the beginning of the names of ANTs' files, or a folder of these."""
    if path.is_file() or (path / "transform.h5").exists():
        return False
    return bool(files_with_prefix(path))


def grid_of(located: Grid | Image | Path | str | None) -> Grid | None:
    """The grid of an image that is given in any way."""
    if located is None or isinstance(located, Grid):
        return located
    image = located if isinstance(located, Image) else read_unlogged(located)
    return time_point(image).grid


def kinds(transform: Transform) -> str:
    """What a transform is made of, for the log."""
    members = transform.members if isinstance(transform, Composite) else (transform,)
    return " + ".join(type(member).__name__ for member in members)


def _converted(path: Path, units: Sequence[str] | None) -> str:
    """The note on a file that counts in millimetres, for an image that does not."""
    own = ", ".join(dict.fromkeys(map(short_unit, units or ())))
    return f"The numbers of {path.name} are taken as millimetres and converted to {own}."


def _in_units(transform: Transform, units: Sequence[str] | None) -> Transform:
    """A transform in millimetres in other units, where these are known and lengths."""
    if units is None or len(units) != transform.ndim or not are_lengths(units):
        return transform
    factors = [unit_factor("millimeter", unit) for unit in units]
    return transform if set(factors) == {1} else transform.moved(np.diag([*factors, 1.0]))
