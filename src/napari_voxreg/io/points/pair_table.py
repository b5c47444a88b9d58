"""Tables with a pair of points a line, whose columns follow the words fixed and moving."""

from __future__ import annotations

import re

import numpy as np

from ...core.geometry import Array
from .columns import NAMES, coordinates, labels_in, rows_of, text_of
from .values import Format, PairFile, check_finite

SIDES = ("fixed", "moving")


def _of_side(side: str) -> re.Pattern[str]:
    """Headings of the coordinates of one image; the group is what follows its name."""
    return re.compile(rf"{side}[ _-]*(\S.*)", re.IGNORECASE)


def recognises(text: str) -> bool:
    """Whether a heading starts with fixed or moving."""
    head = text.partition("\n")[0]
    return bool(re.search(r"(?:^|[,;\t])\s*\"?(?:fixed|moving)[ _-]*\w", head, re.IGNORECASE))


def read(text: str, name: str) -> PairFile:
    """Columns such as "fixed x", "fixed y", "moving x", "moving y"; other columns are left out."""
    rows, _ = rows_of(text, name)
    head = [cell.strip() for cell in rows[0]] if rows else []
    fixed, moving = (_side(side, head, rows[1:], name) for side in SIDES)
    if fixed.shape != moving.shape:
        raise ValueError(
            f"{name} has {fixed.shape[1]} fixed and {moving.shape[1]} moving coordinates; "
            "give both images the same number."
        )
    check_finite(np.concatenate([fixed, moving], axis=1), name)
    return PairFile(fixed, moving, labels_in(head, rows[1:]))


def _side(side: str, head: list[str], rows: list[list[str]], name: str) -> Array:
    """The points of one image."""
    own = [(k, match[1]) for k, text in enumerate(head) if (match := _of_side(side).fullmatch(text))]
    if len(own) < 2:
        headings = " ".join(", ".join(head).split())[:80] or "no headings"
        raise ValueError(
            f"{name} has {headings}, which name no coordinates of the {side} image; "
            "call the columns fixed x, fixed y, moving x and moving y (with z in 3D)."
        )
    columns = [own[k][0] for k in coordinates([text for _, text in own], name)]
    try:
        found = [[float(row[k]) for k in columns] for row in rows]
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name} has a cell without a number; complete or delete its line.") from error
    return np.array(found, dtype=float).reshape(-1, len(columns))


def write(held: PairFile, like: str) -> str:
    """Columns number, fixed_row, fixed_column, moving_row, moving_column, and label; in 3D also planes."""
    names = NAMES[0][-held.fixed.shape[1] :]
    head = ["number", *(f"{side}_{name}" for side in SIDES for name in names), *["label"][: len(held.labels)]]
    lines = [
        [k, *map(repr, np.append(a, b).tolist()), *held.labels[k - 1 : k]]
        for k, (a, b) in enumerate(zip(held.fixed, held.moving, strict=True), 1)
    ]
    return text_of([head, *lines])


PAIR_TABLE = Format("CSV of pairs by column names", (".csv", ".tsv"), recognises, read, write)
