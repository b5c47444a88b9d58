"""Landmarks of BigWarp: name, whether the pair is active, and x, y (z) in the moving and the fixed image."""

from __future__ import annotations

import csv

import numpy as np

from .columns import is_number, rows_of, text_of
from .values import Format, PairFile, left_out, numbers

WIDTHS = (6, 8)  # of a line in 2D and in 3D


def recognises(text: str) -> bool:
    """Whether the first line has no headings, and true or false in its second cell."""
    try:
        rows, _ = rows_of(text.lstrip("\r\n").partition("\n")[0], "")
    except ValueError:
        return False
    if not rows or len(rows[0]) < 3 or rows[0][1].strip().lower() not in ("true", "false"):
        return False
    return all(is_number(cell) for cell in rows[0][2:])


def read(text: str, name: str) -> PairFile:
    """The active pairs of which both points are placed; BigWarp writes Infinity for those that are not."""
    rows, _ = rows_of(text, name)
    width = len(rows[0])
    try:
        if width not in WIDTHS or any(len(row) != width for row in rows):
            raise ValueError("lines of other lengths")
        found = np.array([numbers(row[2:]) for row in rows])
        words = [row[1].strip().lower() for row in rows]
        if not set(words) <= {"true", "false"}:
            raise ValueError("neither active nor inactive")
    except ValueError as error:
        raise ValueError(
            f"{name} starts like landmarks of BigWarp, but not all its lines have a name, true or false, and "
            "x, y (z) of two points; export them again."
        ) from error
    active = np.array([word == "true" for word in words])
    placed = np.isfinite(found).all(axis=1)
    notes = (
        *left_out(name, int((~active).sum()), "BigWarp has them as inactive"),
        *left_out(name, int((active & ~placed).sum()), "they are not placed in both images"),
    )
    kept = active & placed
    moving, fixed = np.split(found[kept], 2, axis=1)
    labels = tuple(row[0].strip() for row, keep in zip(rows, kept, strict=True) if keep)
    return PairFile(fixed[:, ::-1].copy(), moving[:, ::-1].copy(), labels, notes)


def write(held: PairFile, like: str) -> str:
    """All pairs, active; those without labels are called Pt-0, Pt-1, ... as BigWarp does."""
    labels = held.labels or tuple(f"Pt-{k}" for k in range(len(held.fixed)))
    points = np.concatenate([held.moving[:, ::-1], held.fixed[:, ::-1]], axis=1).tolist()
    lines = [[label, "true", *map(repr, row)] for label, row in zip(labels, points, strict=True)]
    return text_of(lines, quoting=csv.QUOTE_ALL)


BIGWARP = Format("BigWarp landmarks", (".csv",), recognises, read, write)
