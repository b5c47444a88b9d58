"""Tables with one point a line, whose columns are found by their names; CSV of napari, Fiji, QuPath, ANTs."""

from __future__ import annotations

import numpy as np

from ...core.geometry import Array
from .columns import NAMES, coordinates, is_number, labels_in, replaced, rows_of, shape_of, text_of
from .values import Format, PointFile, check_finite


def _parts(text: str, name: str) -> tuple[list[list[str]], list[list[str]], list[int], str]:
    """The line of headings, if any, the other lines, the columns of coordinates and what is between cells."""
    rows, between = rows_of(text, name)
    if rows and not all(is_number(cell) for cell in rows[0]):
        head = rows[:1]
        if len(head[0]) == 1:
            raise ValueError(
                f"{name} holds no points of a known format; give CSV, or files of Slicer, elastix or BigWarp."
            )
        return head, rows[1:], coordinates([cell.strip() for cell in head[0]], name), between
    return [], rows, list(range(len(rows[0]))) if rows else [], between


def read(text: str, name: str) -> PointFile:
    """Numbers between commas, semicolons or tabs, with or without a line of headings."""
    head, rows, columns, _ = _parts(text, name)
    try:
        if not head and len({len(row) for row in rows}) > 1:
            raise ValueError("lines of different lengths")
        points = shape_of([[float(row[k]) for k in columns] for row in rows], len(columns))
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{name} is not a table of points; write one point a line, as numbers between commas."
        ) from error
    check_finite(points, name)
    return PointFile(points, labels_in(head[0], rows) if head else ())


def write(held: PointFile, like: str) -> str:
    """Columns x, y (and z) and label; or another table with these coordinates."""
    if like:
        head, rows, columns, between = _parts(like, "the table")
        return text_of([*head, *replaced(rows, columns, held.points)], between)
    names = list(NAMES[1][::-1][: held.points.shape[1]])
    lines: list[list[object]] = [[repr(value) for value in row] for row in _xyz(held.points).tolist()]
    if held.labels:
        names.append("label")
        lines = [[*line, label] for line, label in zip(lines, held.labels, strict=True)]
    return text_of([names, *lines])


def _xyz(points: Array) -> Array:
    """Coordinates in the order x, y, z."""
    return np.asarray(points)[:, ::-1]


TABLE = Format("CSV by column names", (".csv", ".tsv"), lambda text: True, read, write)
