"""Points of elastix: what transformix takes (-def), and the outputpoints.txt that it writes."""

from __future__ import annotations

import re

import numpy as np

from .columns import is_number
from .values import Format, PointFile, check_finite, numbers

OUTPUT = re.compile(r"Point\s+\d+\s*;\s*\w+\s*=\s*\[")
OUTPUT_POINT = re.compile(r"OutputPoint\s*=\s*\[([^\]]*)\]")


def recognises(text: str) -> bool:
    """Whether it begins with point or index, as outputpoints.txt does, or with the count alone, as of old."""
    lines = [line.strip() for line in text.split("\n", 50) if line.strip()][:50]
    if not lines:
        return False
    if lines[0].lower() in ("point", "index") or OUTPUT.match(lines[0]):
        return True
    rest = lines[1].split() if len(lines) > 1 else []
    return lines[0].isdigit() and len(rest) in (2, 3) and all(map(is_number, rest))


def read(text: str, name: str) -> PointFile:
    """World points or indices, in x, y, z on disk; of outputpoints.txt the output points."""
    if OUTPUT.match(text.lstrip()):
        return _read_output(text, name)
    lines = [line.split() for line in text.splitlines() if line.strip()]
    word = lines[0][0].lower()
    indices = word != "point"  # which transformix assumes where there is no word
    if word in ("point", "index"):
        lines = [cells for cells in (lines[0][1:], *lines[1:]) if cells]
    try:
        (stated,), *rows = lines
        count, widths = int(stated), {len(cells) for cells in rows}
        if count != len(rows) or len(widths) > 1 or not widths <= {2, 3}:
            raise ValueError("another number of points or coordinates")
        found = np.array([numbers(cells) for cells in rows])
    except ValueError as error:
        raise ValueError(
            f"{name} does not hold as many points as its header states, one a line with x, y (z); "
            "copy it again."
        ) from error
    check_finite(found, name)
    points = found[:, ::-1].copy() if count else np.empty((0, 0))
    return PointFile(points, indices=indices)


def _read_output(text: str, name: str) -> PointFile:
    """The points where transformix has put those it was given."""
    lines = [line for line in text.splitlines() if line.strip()]
    cells = [match[1].split() if (match := OUTPUT_POINT.search(line)) else [] for line in lines]
    try:
        if len(cells[0]) not in (2, 3) or any(len(row) != len(cells[0]) for row in cells):
            raise ValueError("no OutputPoint")
        points = np.array([numbers(row) for row in cells])
    except ValueError as error:
        raise ValueError(
            f"{name} has a line without an OutputPoint; it may be cut off, run transformix again."
        ) from error
    check_finite(points, name)
    return PointFile(points[:, ::-1].copy())


def write(held: PointFile, like: str) -> str:
    """World points for transformix."""
    lines = [" ".join(map(repr, row)) for row in held.points[:, ::-1].tolist()]
    return "\n".join(["point", str(len(lines)), *lines, ""])


ELASTIX = Format("elastix points", (".txt", ".pts"), recognises, read, write)
