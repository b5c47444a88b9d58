"""Fiducials of Slicer (.fcsv), of all its versions, in millimetres."""

from __future__ import annotations

import re

import numpy as np

from ...core.geometry import Array
from .columns import is_number, rows_of, text_of
from .values import Format, PointFile, in_millimetres, in_space, left_out, numbers

FIRST = re.compile(r"#\s*(?:markups fiducial file|fiducial list file|coordinatesystem\s*=|columns\s*=)", re.I)
COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
OLD = "label,x,y,z,sel,vis"  # of Slicer 3
STATUS = len(COLUMNS.split(","))  # the column after these, which Slicer 5 does not name
DEFINED = "2"
SYSTEMS = {"0": "RAS", "1": "LPS", "2": "IJK", "RAS": "RAS", "LPS": "LPS", "IJK": "IJK"}


def recognises(text: str) -> bool:
    """Whether one of the comments before the points is Slicer's."""
    for line in text.split("\n", 50)[:50]:
        if line.strip() and not line.startswith("#"):
            return False
        if FIRST.match(line):
            return True
    return False


def _parts(text: str, name: str) -> tuple[list[str], list[list[str]], str, list[str]]:
    """The comments, the lines of the points, their coordinate system and their columns."""
    comments = [line.strip() for line in text.splitlines() if line.startswith("#")]
    known = {
        key.strip().lower(): value.strip()
        for key, _, value in (line.lstrip("# ").partition("=") for line in comments)
    }
    stated = known.get("coordinatesystem", "RAS").upper()
    if stated not in SYSTEMS:
        raise ValueError(f"{name} is in the coordinate system {stated[:40]}; save it in LPS or RAS.")
    old = comments[0].lower().lstrip("# ").startswith("fiducial list")
    columns = known.get("columns", OLD if old else COLUMNS).lower().split(",")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return comments, rows_of(body, name)[0], SYSTEMS[stated], columns


def read(text: str, name: str) -> PointFile:
    """The points that are placed, with their labels."""
    _, rows, system, columns = _parts(text, name)
    try:
        at = [columns.index(axis) for axis in "xyz"]
        found = np.array([numbers([row[k] for k in at]) for row in rows]).reshape(-1, 3)
        if not np.isfinite(found).all():
            raise ValueError("not finite")
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{name} has a line without x, y and z; it may be cut off, save it again in Slicer."
        ) from error
    placed = np.array([_placed(row) for row in rows], dtype=bool)
    label = columns.index("label") if "label" in columns else len(columns)
    labels = tuple(row[label].strip() if len(row) > label else "" for row in rows)
    points = found[placed] * (signs(system) if system != "IJK" else 1.0)
    return PointFile(
        points[:, ::-1].copy(),
        tuple(text for text, keep in zip(labels, placed, strict=True) if keep) if any(labels) else (),
        None if system == "IJK" else "millimeter",
        system == "IJK",
        left_out(name, int((~placed).sum()), "not placed in Slicer"),
    )


def _placed(row: list[str]) -> bool:
    """Whether a point counts, by the status that Slicer 5 writes."""
    status = row[STATUS].strip() if len(row) > STATUS else DEFINED
    return status in ("", DEFINED) or not is_number(status)


def signs(system: str) -> Array:
    """What x, y and z of a coordinate system are multiplied by to be those of LPS, shape (3,)."""
    return np.array([-1.0, -1.0, 1.0] if system == "RAS" else [1.0, 1.0, 1.0])


def write(held: PointFile, like: str) -> str:
    """Points in LPS; or the lines of another file with these coordinates, in its coordinate system."""
    points = in_space(in_millimetres(held))[:, ::-1]
    if like:
        comments, rows, system, columns = _parts(like, "the file")
        if system == "IJK":
            system, comments = "LPS", [line for line in comments if "CoordinateSystem" not in line]
            comments.insert(1, "# CoordinateSystem = LPS")
        new = iter((points * signs(system)).tolist())
        for row in rows:
            if _placed(row):
                for axis, value in zip("xyz", next(new), strict=True):
                    row[columns.index(axis)] = repr(value)
        return "\n".join([*comments, text_of(rows)])
    labels = held.labels or tuple(f"F-{k}" for k in range(1, len(points) + 1))
    lines = [
        [k, *map(repr, point), 0, 0, 0, 1, 1, 1, 0, label, "", ""]
        for k, (point, label) in enumerate(zip(points.tolist(), labels, strict=True), 1)
    ]
    head = ["# Markups fiducial file version = 4.11", "# CoordinateSystem = LPS", f"# columns = {COLUMNS}"]
    return "\n".join([*head, text_of(lines)])


FCSV = Format("Slicer fiducials", (".fcsv",), recognises, read, write)
