"""Tables as text: their cells, and the columns that hold coordinates or labels."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import numpy as np

from ...core.geometry import Array

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
LABEL = re.compile(r"(?:landmark|point)?[ _-]?(?:label|name)|landmark", re.IGNORECASE)


def rows_of(text: str, name: str) -> tuple[list[list[str]], str]:
    """The lines of a table that are not empty, and what stands between its cells.

    Raises
    ------
    ValueError
        If a text is no table, in one sentence that names its file.
    """
    first = text.partition("\n")[0]
    between = next((mark for mark in "\t;" if mark in first), ",")
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=between)
        return [row for row in rows if any(cell.strip() for cell in row)], between
    except csv.Error as error:
        raise ValueError(f"{name} is not a text table of points; save them as CSV.") from error


def text_of(rows: Sequence[Sequence[object]], between: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
    """Rows as the text of a table."""
    text = io.StringIO()
    csv.writer(text, delimiter=between, lineterminator="\n", quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def coordinates(head: Sequence[str], table: str) -> list[int]:
    """The numbers of the columns that hold coordinates, in array-axis order.

    Raises
    ------
    ValueError
        If the headings name none, or one twice.
    """
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


def labels_in(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The labels of the rows, by a column called label, name or landmark; empty where there is none."""
    column = next((k for k, heading in enumerate(head) if LABEL.fullmatch(heading.strip())), None)
    if column is None or not all(len(row) > column for row in rows):
        return ()
    return tuple(row[column].strip() for row in rows)


def replaced(rows: Sequence[Sequence[str]], columns: Sequence[int], points: Array) -> list[list[str]]:
    """Rows with other coordinates (N, d) in these columns; all other columns stay."""
    new = [list(row) for row in rows]
    for row, point in zip(new, points.tolist(), strict=True):
        for column, value in zip(columns, point, strict=True):
            row[column] = repr(value)
    return new


def shape_of(numbers: Sequence[Sequence[float]], ndim: int) -> Array:
    """Numbers as points (N, d), also where there are none; a `ValueError` for lines of different lengths."""
    return np.array(numbers, dtype=float).reshape(len(numbers), ndim)


def is_number(text: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
