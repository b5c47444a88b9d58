"""Files with points, told apart by what they hold; the list of their formats."""

from __future__ import annotations

import codecs
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from ...core.geometry import Array, Grid
from ..files import replace_file
from .bigwarp import BIGWARP
from .elastix import ELASTIX
from .fcsv import FCSV
from .markups import MARKUPS
from .pair_table import PAIR_TABLE
from .slicer_table import SLICER_TABLE
from .table import TABLE
from .values import Format, PairFile, PointFile, check_finite

# A file is of the first format that recognises it; everything is taken for a table in the end.
POINTS: tuple[Format[PointFile], ...] = (MARKUPS, FCSV, SLICER_TABLE, ELASTIX, TABLE)
PAIRS: tuple[Format[PairFile], ...] = (BIGWARP, PAIR_TABLE)
ENDINGS = tuple(dict.fromkeys(ending for one in POINTS for ending in one.endings))
UNSURE = (".txt", ".pts", ".json")  # endings of many other files, too
HEAD = 20_000  # bytes by which a format is recognised
Held = TypeVar("Held", PointFile, PairFile)


def read_points(path: Path | str, grid: Grid | None = None) -> Array:
    """Read world points.

    Parameters
    ----------
    path : path
        A table, as numbers between commas, semicolons or tabs. Without a line of headings they are in
        array-axis order, (row, column) or (plane, row, column). With one, the columns are found by their
        names, whatever their order: x, y (and z); row, column (and plane); axis-0, axis-1, ... (napari's).
        Capitals, a unit ("x [µm]") and the words centroid or position do not matter; other columns are left
        out. Or points of elastix, or fiducials (.fcsv) or markups (.mrk.json) of Slicer.
    grid : Grid, optional
        Of their image, whose units they get: Slicer's are in millimetres, all others in those of the image.
        Indices of elastix need it.

    Returns
    -------
    ndarray, shape (N, d), float64
        In array-axis order.

    Raises
    ------
    ValueError
        If the file is missing, or holds something else, or headings that name no coordinates.
    """
    return read_point_file(path).on(grid, Path(path).name).points


def read_point_file(path: Path | str) -> PointFile:
    """`read_points` with all that the file says of the points; see `PointFile.on` for their world.

    Raises
    ------
    ValueError
        As `read_points`, and if the file holds pairs.
    """
    path = Path(path)
    text = _text(path)
    if any(one.recognises(text) for one in PAIRS):
        raise ValueError(
            f"{path.name} holds pairs of points; give it for both images, or open it on the Landmarks panel."
        )
    return _format_of(text).read(text, path.name)


def read_point_pairs(path: Path | str) -> PairFile:
    """Read pairs of points, one a line, as `write_point_pairs`, spreadsheets and BigWarp write them.

    Parameters
    ----------
    path : path
        With a line of headings, in which the coordinates of `read_points` follow the words fixed and moving:
        "fixed x", "fixed y", "moving x", "moving y" or "fixed_row", ... Other columns are left out. Or
        landmarks of BigWarp.

    Raises
    ------
    ValueError
        If the file is missing, a heading does not name what it must, or a cell is no number.
    """
    path = Path(path)
    text = _text(path)
    chosen = next((one for one in PAIRS if one.recognises(text)), PAIR_TABLE)
    return chosen.read(text, path.name)


def holds_pairs(path: Path | str) -> bool:
    """Whether a file holds pairs of points.

    Raises
    ------
    ValueError
        If it is missing or no text.
    """
    text = _text(Path(path))
    return any(one.recognises(text) for one in PAIRS)


def holds_points(path: Path) -> bool:
    """Whether a file is one of points or pairs: by its ending, and where that is common, by what it holds."""
    ending = points_ending(path)
    if ending not in UNSURE:
        return ending != ""
    try:
        with path.open("rb") as file:
            head = _decoded(file.read(HEAD), path.name, whole=False)
    except (OSError, ValueError):
        return False
    if any(one.recognises(head) for one in PAIRS):
        return True
    return _format_of(head) is not TABLE and (ending != ".json" or '"controlPoints"' in head)


def points_ending(path: Path) -> str:
    """The ending of a file of points in small letters, ``.mrk.json`` as one; empty for other endings."""
    name = path.name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def write_points(held: PointFile, path: Path | str, like: Path | None = None) -> Path:
    """Write world points in the format of the file's ending; it is complete or not there at all.

    Parameters
    ----------
    held : PointFile
        World points.
    path : path
        Ending in one of `ENDINGS`.
    like : Path, optional
        The file that the points were read from. If it has the same format, all else that it holds stays.

    Raises
    ------
    ValueError
        If the ending is that of no format of points, or a point is not finite.
    OSError
        If it cannot be written.
    """
    path = Path(path)
    ending = points_ending(path)
    if not ending:
        raise ValueError(f"{path.name} cannot hold points; give a name that ends in {', '.join(ENDINGS)}.")
    check_finite(held.points, f"the points for {path.name}")
    text = "" if like is None else _text(like)
    own = _format_of(text)
    if text and ending in own.endings:
        return _write(own.write(held, text), path)
    new = next(one for one in POINTS if ending in one.endings and one is not SLICER_TABLE)
    return _write(new.write(held, ""), path)


def write_point_pairs(held: PairFile, path: Path | str, chosen: Format[PairFile] = PAIR_TABLE) -> Path:
    """Write pairs of points, each in the world and the units of its image.

    Parameters
    ----------
    held : PairFile
    path : path
        A .csv file.
    chosen : Format
        Of `PAIRS`. By default the columns are number, fixed_row, fixed_column, moving_row and moving_column,
        in 3D with the planes before them.

    Raises
    ------
    ValueError
        If a point is not finite.
    OSError
        If it cannot be written.
    """
    path = Path(path)
    check_finite(np.concatenate([held.fixed, held.moving], axis=1), f"the pairs for {path.name}")
    return _write(chosen.write(held, ""), path)


def _format_of(text: str) -> Format[PointFile]:
    return next(one for one in POINTS if one.recognises(text))


def _write(text: str, path: Path) -> Path:
    replace_file(path, partial(Path.write_text, data=text, encoding="utf-8", newline=""))
    return path


def _decoded(stored: bytes, name: str, whole: bool = True) -> str:
    """The text in UTF-8, in UTF-16 with its mark, or in Windows-1252, in which Excel and QuPath write CSV."""
    marked = stored.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(stored, final=whole)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:  # as in pixels
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise ValueError(f"{name} is not a text table of points; save them as CSV in UTF-8.")


def _text(path: Path) -> str:
    """The text of a file of points."""
    if not path.is_file():
        raise ValueError(f"There is no file of points at {path}.")
    try:
        return _decoded(path.read_bytes(), path.name)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}; check its permissions.") from error
