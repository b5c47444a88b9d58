"""Tables of control points that Slicer exports (.csv, .tsv), in millimetres."""

from __future__ import annotations

import numpy as np

from .columns import is_number, labels_in, replaced, rows_of
from .columns import text_of as table_text
from .fcsv import signs
from .values import Format, PointFile, in_millimetres, in_space, left_out, numbers

SYSTEMS = {"LPS": ("l", "p", "s"), "RAS": ("r", "a", "s")}  # and the headings of their columns


def recognises(text: str) -> bool:
    """Whether the headings are the axes of a coordinate system."""
    return bool(_system(text.partition("\n")[0].strip().replace("\t", ",").replace(";", ",").split(",")))


def _system(head: list[str]) -> str:
    """The coordinate system that headings name; empty for none."""
    names = {cell.strip().strip('"').lower() for cell in head}
    return next((system for system, axes in SYSTEMS.items() if names >= set(axes)), "")


def _parts(text: str, name: str) -> tuple[list[str], list[list[str]], str, list[int], str]:
    """Headings, lines, coordinate system, the columns of x, y and z, and what is between cells."""
    (head, *rows), between = rows_of(text, name)
    plain = [cell.strip().lower() for cell in head]
    system = _system(head)
    return head, rows, system, [plain.index(axis) for axis in SYSTEMS[system]], between


def _placed(head: list[str], row: list[str]) -> bool:
    """Whether a control point counts, by the column "defined"."""
    at = next((k for k, cell in enumerate(head) if cell.strip().lower() == "defined"), len(row))
    cell = row[at].strip() if len(row) > at else "1"
    return not is_number(cell) or float(cell) != 0


def read(text: str, name: str) -> PointFile:
    """The points that are placed, with their labels."""
    head, rows, system, columns, _ = _parts(text, name)
    kept = [row for row in rows if _placed(head, row)]
    try:
        points = np.array([numbers([row[k] for k in columns]) for row in kept]).reshape(-1, 3)
        if not np.isfinite(points).all():
            raise ValueError("not finite")
    except (ValueError, IndexError) as error:
        axes = ", ".join(SYSTEMS[system])
        raise ValueError(f"{name} has a line without {axes}; complete or delete it.") from error
    labels = labels_in(head, kept)
    notes = left_out(name, len(rows) - len(kept), "not placed in Slicer")
    return PointFile((points * signs(system))[:, ::-1].copy(), labels, "millimeter", False, notes)


def write(held: PointFile, like: str) -> str:
    """Another table with these coordinates, in its coordinate system."""
    points = in_space(in_millimetres(held))[:, ::-1]
    head, rows, system, columns, between = _parts(like, "the table")
    new = iter(points * signs(system))
    lines = [replaced([row], columns, next(new)[None])[0] if _placed(head, row) else row for row in rows]
    return table_text([head, *lines], between)


SLICER_TABLE = Format("Slicer control points", (".csv", ".tsv"), recognises, read, write)
