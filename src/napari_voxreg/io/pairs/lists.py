"""Pairs from two folders, from lists of paths and from a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.geometry import Image
from ..guards import check_regular, exists, reading, user_path
from ..images import name_of
from .name_parts import parts_of, side_of
from .names import compiled, list_images, natural_key, read_names
from .values import ROLES, Found, Pair, Source, identity, pair_name, plural

LISTS = {where: (f"{where}_fixed.txt", f"{where}_moving.txt") for where in ("train", "val")}
"""File names of path lists, those of SAR-VoxelMorph."""

SPLIT = {"": "train", "train": "train", "training": "train", "val": "val", "validation": "val"}
DELIMITERS = ",;\t"


def from_folders(fixed: Path, moving: Path, pattern: str | None = None) -> Found:
    """Match the images of two folders.

    Parameters
    ----------
    fixed, moving : Path
        The folders.
    pattern : str, optional
        A regular expression that is searched for in each name; images for which all its groups (or, without
        groups, the text found) are equal belong together. Without it, matched in natural order.

    Raises
    ------
    ValueError
        If a folder is empty, their numbers of images differ, or nothing matches.
    """
    ones, others = list_images(fixed), list_images(moving)
    if pattern is None:
        if len(ones) != len(others):
            raise ValueError(
                f"{fixed.name} holds {plural(len(ones), 'image')}, but {moving.name} holds {len(others)}; "
                "remove what has no partner, or give a pattern that determines which belong together."
            )
        odd = [k for k, two in enumerate(zip(ones, others, strict=True)) if len(set(map(_digits, two))) > 1]
        notes = []
        if odd:
            first = f"{ones[odd[0]].name} with {others[odd[0]].name}"
            notes.append(
                f"The numbers in the names differ in {plural(len(odd), 'pair')} (first: {first}); "
                "if these do not belong together, give a pattern."
            )
        for one, other in zip(ones, others, strict=True):
            sides = {side_of(parts_of(name_of(image))[1]) for image in (one, other)} - {""}
            if len(sides) > 1:
                notes.append(f"{one.name} is paired with {other.name}, another side; give a pattern.")
                break
        matched = list(zip(ones, others, strict=True))
    else:
        matched, notes = _by_key(fixed, moving, _keys(ones, pattern), _keys(others, pattern), pattern)
    pairs = [Pair(pair_name(name_of(one), name_of(other)), one, other) for one, other in matched]
    return Found(tuple(pairs), notes=tuple(notes))


def from_lists(folder: Path) -> Found:
    """Read ``train_fixed.txt``, ``train_moving.txt`` and, where there, ``val_fixed.txt``, ``val_moving.txt``.

    One path a line; paths that are not absolute start at the lists' folder. Empty lines do not count.

    Raises
    ------
    ValueError
        If a list's partner is missing, their lengths differ, or a file that they name is missing.
    """
    pairs: list[Pair] = []
    sets: list[str] = []
    for where, (fixed, moving) in LISTS.items():
        there = [(folder / name).is_file() for name in (fixed, moving)]
        if where == "val" and not any(there):
            continue
        if not all(there):
            raise ValueError(f"{folder.name} must hold both {fixed} and {moving}; add the missing list.")
        ones, others = _list(folder / fixed), _list(folder / moving)
        if len(ones) != len(others):
            raise ValueError(
                f"{fixed} names {plural(len(ones), 'image')}, but {moving} names {len(others)}; "
                "write one moving path for each fixed path."
            )
        for one, other in zip(ones, others, strict=True):
            pairs.append(Pair(pair_name(name_of(one), name_of(other)), one, other))
            sets.append(where)
    return Found(tuple(pairs), tuple(sets))


def from_table(path: Path) -> Found:
    """Read a CSV with the columns fixed, moving and, where there, the other `ROLES`.

    Further columns: name; fixed_patient and moving_patient, or patient for both; set or split (train or val).
    Paths that are not absolute start at the table's folder. Commas, semicolons and tabs separate.

    Raises
    ------
    ValueError
        If the table lacks a column or a cell, or names a file that is missing.
    """
    check_regular(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            rows = list(csv.DictReader(file, delimiter=max(DELIMITERS, key=head.count)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path.name} is not a text table; save it as CSV.") from error
    columns = [] if not rows else [key.strip().lower() for key in rows[0] if key is not None]
    if not {"fixed", "moving"} <= set(columns):
        raise ValueError(f"{path.name} needs rows under the columns fixed and moving; add them.")
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise ValueError(f"{path.name} has two columns {twice!r}; rename or delete one of them.")
    pairs, sets = [], []
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise ValueError(f"Line {number} of {path.name} has more cells than there are columns; mend it.")
        cells = {key.strip().lower(): (text or "").strip() for key, text in row.items() if key is not None}
        if not any(cells.values()):
            continue
        pair, where = _row(path, number, cells)
        pairs.append(pair)
        sets.append(where)
    used = {*ROLES, "name", "sha256", "set", "split", "patient", "fixed_patient", "moving_patient"}
    unused = [column for column in columns if column not in used]
    notes = (f"{path.name} has columns that mean nothing here: {', '.join(unused)}.",) if unused else ()
    return Found(tuple(pairs), tuple(sets), notes)


def with_patients(found: Found, pattern: str) -> Found:
    """The pairs with the patients that a pattern's group ``id`` reads, and the names for the preview."""
    sources = {
        identity(source): source
        for pair in found.pairs
        for source in (pair.fixed, pair.moving)
        if isinstance(source, Path | Image)
    }
    names = dict(zip(sources, read_names(list(sources.values()), pattern), strict=True))

    def patient(source: Source, present: str | None) -> str | None:
        parts = names.get(identity(source))
        return present or (parts.patient or None if parts else None)

    pairs = [
        replace(
            pair,
            fixed_patient=patient(pair.fixed, pair.fixed_patient),
            moving_patient=patient(pair.moving, pair.moving_patient),
        )
        for pair in found.pairs
    ]
    return replace(found, pairs=tuple(pairs), names=tuple(names.values()))


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without blanks around them, and without empty ones.

    Raises
    ------
    ValueError
        If the file is missing or no text.
    """
    check_regular(path, "list")
    with reading(path, "it is not a text file; write one entry a line"):
        text = path.read_text(encoding="utf-8-sig")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _digits(path: Path) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", name_of(path)))


def _keys(files: Sequence[Path], pattern: str) -> dict[tuple[str, ...], list[Path]]:
    """Files by what a pattern finds in their names."""
    expression = compiled(pattern)
    keys: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        if match := expression.search(file.name):
            groups = match.groups(default="") or (match.group(),)
            keys.setdefault(tuple(text.casefold() for text in groups), []).append(file)
    return keys


def _by_key(
    fixed: Path,
    moving: Path,
    ones: dict[tuple[str, ...], list[Path]],
    others: dict[tuple[str, ...], list[Path]],
    pattern: str,
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Files of equal keys, and a note on those without a partner."""
    for folder, keys in ((fixed, ones), (moving, others)):
        for files in keys.values():
            if len(files) > 1:
                raise ValueError(
                    f"The pattern {pattern!r} cannot distinguish {files[0].name} from {files[1].name} in "
                    f"{folder.name}; put a group around what differs."
                )
    common = sorted(set(ones) & set(others), key=lambda key: [natural_key(text) for text in key])
    if not common:
        raise ValueError(
            f"The pattern {pattern!r} finds no image of {fixed.name} that belongs to one of {moving.name}; "
            "put a group around what their names have in common."
        )
    left = [len(list_images(folder)) - len(common) for folder in (fixed, moving)]
    notes = []
    if any(left):
        notes.append(
            f"Without a partner: {plural(left[0], 'image')} in {fixed.name}, {left[1]} in {moving.name}."
        )
    return [(ones[key][0], others[key][0]) for key in common], notes


def _list(path: Path) -> list[Path]:
    """The paths in a list."""
    return [_located(path, text, f"line {number}") for number, text in enumerate(read_lines(path), start=1)]


def _located(table: Path, text: str, where: str) -> Path:
    """A path that a list or table names."""
    with reading(table, f"{where}: there is no home folder for {text[:80]}"):
        path = table.parent / user_path(text)
    if not exists(path):
        raise ValueError(f"{table.name}, {where}: there is no file {str(path)[:300]}; correct the path.")
    return path


def _row(path: Path, number: int, cells: dict[str, str]) -> tuple[Pair, str]:
    """A table's row as a pair, and its side."""
    where = f"row {number}"
    members = {role: _located(path, cells[role], where) for role in ROLES if cells.get(role)}
    for role in ("fixed", "moving"):
        if role not in members:
            raise ValueError(f"{path.name}, {where}: the cell under {role} is empty; write a path there.")
    side = cells.get("set") or cells.get("split") or ""
    if side.lower() not in SPLIT:
        raise ValueError(f"{path.name}, {where}: there is no set {side!r}; write train or val.")
    name = cells.get("name") or pair_name(name_of(members["fixed"]), name_of(members["moving"]))
    patients = {
        f"{role}_patient": cells.get(f"{role}_patient") or cells.get("patient") or None
        for role in ("fixed", "moving")
    }
    fields: dict[str, Any] = {**members, **patients}
    return Pair(name, **fields), SPLIT[side.lower()]
