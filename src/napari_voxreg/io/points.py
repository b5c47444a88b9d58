"""Points, and pairs of points, in tables on disk."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..core.geometry import Array
from .files import replace_file

# The names of the columns that are coordinates, in array-axis order; those of one set make a point.
NAMES = (("plane", "row", "column"), ("z", "y", "x"))
SYNONYMS = {"col": "column", "slice": "plane"}
# "Centroid X µm", "x [mm]", "pos_y", "Z (px)": a name, words for a centre before it and a unit after it.
HEADING = re.compile(
    r"(?:(?:centroid|centre|center|position|pos|coordinate|coord)[ _-]?)?"
    r"(plane|slice|row|column|col|[xyz]|axis-\d)"
    r"(?:[ _-]?(?:centroid|centre|center|position|pos|coordinate|coord))?"
    r"(?:[ _]*[\[(][^\])]*[\])]|[ _](?:px|pixels?|voxels?|[nµ\u03bcumc]?m|microns?|inch))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class PointTable:
    """A table with the coordinates of points, and whatever else it holds.

    Parameters
    ----------
    head : tuple of str or None
        The headings; None where there are none.
    rows : tuple of tuple of str
        One for each point.
    columns : tuple of int
        Those with the coordinates, in array-axis order.
    points : ndarray, shape (N, d), float64
        The coordinates, in array-axis order.
    delimiter : str
        What stands between the columns.
    """

    head: tuple[str, ...] | None
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[int, ...]
    points: Array
    delimiter: str = ","

    def with_points(self, points: Array) -> PointTable:
        """The same table with other coordinates (N, d); all other columns stay."""
        rows = [list(row) for row in self.rows]
        for row, point in zip(rows, points.tolist(), strict=True):
            for column, value in zip(self.columns, point, strict=True):
                row[column] = repr(value)
        return replace(self, rows=tuple(map(tuple, rows)), points=points)


def read_points(path: Path | str) -> Array:
    """Read world points, one a line.

    Parameters
    ----------
    path : path
        Numbers between commas, semicolons or tabs. Without a line of headings they are in array-axis order,
        (row, column) or (plane, row, column). With one, the columns are found by their names, whatever their
        order: x, y (and z); row, column (and plane); axis-0, axis-1, ... (napari's). Capitals, a unit
        ("x [µm]") and the words centroid or position do not matter; other columns are left out. A unit is not
        converted: coordinates are in the units of their image.

    Returns
    -------
    ndarray, shape (N, d), float64
        In array-axis order.

    Raises
    ------
    ValueError
        If the file is missing, or holds something else, or headings that name no coordinates.
    """
    return read_table(path).points


def read_table(path: Path | str) -> PointTable:
    """`read_points` with all that the table holds, so that it can be written again."""
    path = Path(path)
    rows, between = _rows(path)
    columns = head = None
    if rows and not all(_is_number(cell) for cell in rows[0]):
        head = tuple(rows.pop(0))
        columns = _coordinates([cell.strip() for cell in head], path.name)
    try:
        numbers = [[float(row[k]) for k in columns or range(len(row))] for row in rows]
        points = np.array(numbers, dtype=float)
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{path.name} is not a table of points; write one point a line, as numbers between commas."
        ) from error
    points = points.reshape(len(rows), -1) if rows else np.empty((0, 0))
    found = tuple(columns or range(points.shape[1]))
    return PointTable(head, tuple(map(tuple, rows)), found, points, between)


def write_table(table: PointTable, path: Path | str) -> Path:
    """Write a table of points as text; the file is complete or not there at all."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=table.delimiter, lineterminator="\n")
    if table.head is not None:
        writer.writerow(table.head)
    writer.writerows(table.rows)
    replace_file(Path(path), partial(Path.write_text, data=text.getvalue(), encoding="utf-8"))
    return Path(path)


def read_point_pairs(path: Path | str) -> tuple[Array, Array]:
    """Read pairs of points, one a line, as `write_point_pairs` and spreadsheets write them.

    Parameters
    ----------
    path : path
        With a line of headings, in which the coordinates of `read_points` follow the words fixed and moving:
        "fixed x", "fixed y", "moving x", "moving y" or "fixed_row", ... Other columns are left out.

    Returns
    -------
    fixed, moving : ndarray, shape (N, d), float64
        In array-axis order, each in the world and the units of its image.

    Raises
    ------
    ValueError
        If the file is missing, a heading does not name what it must, or a cell is no number.
    """
    path = Path(path)
    rows, _ = _rows(path)
    head = [cell.strip() for cell in rows[0]] if rows else []
    sides = []
    for side in ("fixed", "moving"):
        own = [(k, match[1]) for k, text in enumerate(head) if (match := _of_side(side).fullmatch(text))]
        if len(own) < 2:
            headings = " ".join(", ".join(head).split())[:80] or "no headings"
            raise ValueError(
                f"{path.name} has {headings}, which name no coordinates of the {side} image; "
                "call the columns fixed x, fixed y, moving x and moving y (with z in 3D)."
            )
        columns = [own[k][0] for k in _coordinates([text for _, text in own], path.name)]
        try:
            numbers = [[float(row[k]) for k in columns] for row in rows[1:]]
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{path.name} has a cell without a number; complete or delete its line."
            ) from error
        sides.append(np.array(numbers, dtype=float).reshape(-1, len(columns)))
    if sides[0].shape != sides[1].shape:
        raise ValueError(
            f"{path.name} has {sides[0].shape[1]} fixed and {sides[1].shape[1]} moving coordinates; "
            "give both images the same number."
        )
    return sides[0], sides[1]


def write_point_pairs(fixed: Array, moving: Array, path: Path | str) -> Path:
    """Write pairs of points (N, d), each in the world and the units of its image, as CSV.

    Returns
    -------
    Path
        Of the file: its columns are number, fixed_row, fixed_column, moving_row and moving_column, in 3D with
        the planes before them.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    names = NAMES[0][-np.shape(fixed)[1] :]
    head = ["number", *(f"{side}_{name}" for side in ("fixed", "moving") for name in names)]
    lines = [
        [k, *map(repr, np.append(a, b).tolist())]
        for k, (a, b) in enumerate(zip(fixed, moving, strict=True), 1)
    ]

    def write(target: Path) -> None:
        with target.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *lines])

    path = Path(path)
    replace_file(path, write)
    return path


def _of_side(side: str) -> re.Pattern[str]:
    """Headings of the coordinates of one image; the group is what follows its name."""
    return re.compile(rf"{side}[ _-]*(\S.*)", re.IGNORECASE)


def _rows(path: Path) -> tuple[list[list[str]], str]:
    """The lines of a table that are not empty, and what stands between its cells."""
    if not path.is_file():
        raise ValueError(f"There is no file of points at {path}.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            between = next((mark for mark in "\t;" if mark in first), ",")
            rows = csv.reader(file, delimiter=between)
            return [row for row in rows if any(cell.strip() for cell in row)], between
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path.name} is not a text table of points; save them as CSV.") from error


def _coordinates(head: Sequence[str], table: str) -> list[int]:
    """The numbers of the columns that hold coordinates, in array-axis order."""
    found: dict[str, list[int]] = {}
    for k, heading in enumerate(head):
        if match := HEADING.fullmatch(heading):
            name = match[1].lower()
            found.setdefault(SYNONYMS.get(name, name), []).append(k)
    axes = sorted(name for name in found if name.startswith("axis-"))
    for names in (axes, *NAMES):
        wanted = [name for name in names if name in found]
        if len(wanted) >= 2 and wanted == list(names[-len(wanted) :]):
            if twice := next((name for name in wanted if len(found[name]) > 1), None):
                raise ValueError(f"{table} has {len(found[twice])} columns for {twice}; leave one of them.")
            return [found[name][0] for name in wanted]
    headings = " ".join(", ".join(head).split())[:80]
    raise ValueError(
        f"{table} has the headings {headings}, which name no coordinates; call the columns x, y "
        "(and z) or row, column (and plane), or leave out the line of headings."
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
