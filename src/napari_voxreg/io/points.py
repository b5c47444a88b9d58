"""Points from tables on disk."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..core.geometry import Array


def read_points(path: Path | str) -> Array:
    """Read world points, one a line.

    Parameters
    ----------
    path : path
        Comma-separated numbers in array-axis order, with or without a line of headings. Of a table with
        headings ``axis-0``, ``axis-1``, ... (napari's own) only those columns count.

    Returns
    -------
    ndarray, shape (N, d), float64

    Raises
    ------
    ValueError
        If the file is missing, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no file of points at {path}.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path.name} is not a text table of points; save them as CSV.") from error
    columns = None
    if rows and not _is_number(rows[0][0]):
        head = [cell.strip() for cell in rows.pop(0)]
        columns = [k for k, name in enumerate(head) if name.startswith("axis-")] or None
    try:
        numbers = [[float(row[k]) for k in columns or range(len(row))] for row in rows]
        points = np.array(numbers, dtype=float)
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{path.name} is not a table of points; write one point a line, as numbers between commas."
        ) from error
    return points.reshape(len(rows), -1) if rows else np.empty((0, 0))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
