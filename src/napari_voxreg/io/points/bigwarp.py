"""Landmarks of BigWarp: name, whether the pair is active, and x, y (z) in the moving and the fixed image."""

from __future__ import annotations

import csv
import json

import numpy as np

from ...core.geometry import Array
from .columns import is_number, rows_of, text_of
from .values import Format, PairFile, left_out, numbers

JSON = "BigWarpLandmarks"  # the type that its JSON states
WIDTHS = (6, 8)  # of a line in 2D and in 3D


def recognises(text: str) -> bool:
    """Whether it is BigWarp's JSON, or a table without headings with true or false in its second cell."""
    if text.lstrip().startswith("{"):
        return JSON in text
    try:
        rows, _ = rows_of(text.lstrip("\r\n").partition("\n")[0], "")
    except ValueError:
        return False
    if not rows or len(rows[0]) < 3 or rows[0][1].strip().lower() not in ("true", "false"):
        return False
    return all(is_number(cell) for cell in rows[0][2:])


def read(text: str, name: str) -> PairFile:
    """The active pairs of which both points are placed; BigWarp writes Infinity for those that are not."""
    try:
        labels, active, moving, fixed = _json(text) if text.lstrip().startswith("{") else _table(text, name)
    except (IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} starts like landmarks of BigWarp, but not all of them have a name, true or false, and "
            "x, y (z) of two points; export them again."
        ) from error
    placed = np.isfinite(moving).all(axis=1) & np.isfinite(fixed).all(axis=1)
    notes = (
        *left_out(name, int((~active).sum()), "inactive in BigWarp"),
        *left_out(name, int((active & ~placed).sum()), "not placed in both images"),
    )
    kept = active & placed
    names = tuple(label for label, keep in zip(labels, kept, strict=True) if keep)
    return PairFile(fixed[kept][:, ::-1].copy(), moving[kept][:, ::-1].copy(), names, notes)


def _table(text: str, name: str) -> tuple[list[str], Array, Array, Array]:
    """Labels, which are active (N,), and the moving and the fixed points (N, d) in x, y (z)."""
    rows, _ = rows_of(text, name)
    words = [row[1].strip().lower() for row in rows]
    if (
        len({len(row) for row in rows}) > 1
        or len(rows[0]) not in WIDTHS
        or not set(words) <= {"true", "false"}
    ):
        raise ValueError("no table of landmarks")
    found = np.array([numbers(row[2:]) for row in rows])
    return [row[0].strip() for row in rows], np.array(words) == "true", *np.split(found, 2, axis=1)


def _json(text: str) -> tuple[list[str], Array, Array, Array]:
    """The same of the JSON that newer versions write; null, too, is not placed."""
    record = json.loads(text)
    moving, fixed = (
        np.array([[np.inf if x is None else float(x) for x in row] for row in record[key]], dtype=float)
        for key in ("movingPoints", "fixedPoints")
    )
    active, names = np.array(record["active"], dtype=bool), record["names"]
    shaped = moving.shape == fixed.shape and moving.shape[1:] in ((2,), (3,))
    if not shaped or not active.shape == (len(names),) == (len(moving),):
        raise ValueError("no landmarks")
    return list(map(str, names)), active, moving, fixed


def write(held: PairFile, like: str) -> str:
    """All pairs, active; those without labels are called Pt-0, Pt-1, ... as BigWarp does."""
    labels = held.labels or tuple(f"Pt-{k}" for k in range(len(held.fixed)))
    points = np.concatenate([held.moving[:, ::-1], held.fixed[:, ::-1]], axis=1).tolist()
    lines = [[label, "true", *map(repr, row)] for label, row in zip(labels, points, strict=True)]
    return text_of(lines, quoting=csv.QUOTE_ALL)


BIGWARP = Format("BigWarp landmarks", (".csv", ".json"), recognises, read, write)
