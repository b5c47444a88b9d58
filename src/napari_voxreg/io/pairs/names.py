"""Images of one folder, or of the viewer, made into pairs by what their names say."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal, get_args

from ...core.geometry import Image
from ..images import MEDICAL, PLAIN, TIFF, ending_of, is_dicom, name_of
from .name_parts import parts_of, side_of
from .values import Found, NameParts, Pair, identity, name_of_source, pair_name, plural

Pairing = Literal["consecutive", "all", "template"]
Two = tuple[NameParts, NameParts]  # fixed, moving

UNREAD = {
    "id": ("patient", "different patients may be paired"),
    "laterality": ("side", "left and right may be paired"),
    "date": ("date", "they follow each other by name"),
}
"""The groups of a pattern: what each reads, and what may happen without it."""


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """A sorting key by which scan9 comes before scan10."""
    parts = re.split(r"(\d+)", text.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def list_images(folder: Path) -> list[Path]:
    """The images in a folder in natural order: files of known kinds, and subfolders with DICOM slices.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}; check the path.")
    found = [entry for entry in folder.iterdir() if not entry.name.startswith(".") and _is_image(entry)]
    if not found:
        raise ValueError(f"The folder {folder.name} holds no images that can be read; choose another folder.")
    return sorted(found, key=lambda path: natural_key(path.name))


def compiled(pattern: str) -> re.Pattern[str]:
    """A regular expression, where capitals do not matter.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"The pattern {pattern!r} is no regular expression: {error}; correct it.") from error


def read_names(sources: Sequence[Path | Image], pattern: str | None = None) -> tuple[NameParts, ...]:
    """Read patient, laterality and date out of names: the preview of a pairing.

    Parameters
    ----------
    sources : sequence of Path or Image
        Whose names to read.
    pattern : str, optional
        A regular expression, searched for in the name (with its ending), with the named groups ``id``,
        ``laterality`` and ``date``, each of which may be missing. Capitals do not matter. By default a date
        with the year first, a side (L, R, OD, OS, left, right) and a patient are found in any order.

    Returns
    -------
    tuple of NameParts
        In the order of `sources`.

    Raises
    ------
    ValueError
        If the pattern is no regular expression.
    """
    if pattern is None:
        return tuple(_by_default(source) for source in sources)
    expression = compiled(pattern)
    parts = []
    for source in sources:
        match = expression.search(name_of_source(source))
        groups = {} if match is None else {key: value or "" for key, value in match.groupdict().items()}
        laterality = groups.get("laterality", "").upper()
        parts.append(
            NameParts(source, match is not None, groups.get("id", ""), laterality, groups.get("date", ""))
        )
    return tuple(parts)


def pair_up(
    sources: Sequence[Path | Image],
    pairing: str | None = None,
    pattern: str | None = None,
    template: Path | Image | None = None,
) -> Found:
    """Pair the images of one folder with each other.

    Parameters
    ----------
    sources : sequence of Path or Image
        In natural order.
    pairing : {"consecutive", "all", "template"}, optional
        Each visit (fixed) with the next (moving) of one patient and side, by date; every two images once; or
        each image (moving) with the template (fixed). By default "template" if there is one, else
        "consecutive".
    pattern : str, optional
        See `read_names`. Images in whose names it is not found are skipped, whatever the pairing.
    template : Path or Image, optional
        For "template"; one of `sources` or another image.

    Raises
    ------
    ValueError
        If no pair can be made.
    """
    if pairing is None:
        pairing = "consecutive" if template is None else "template"
    if pairing not in get_args(Pairing):
        raise ValueError(f"There is no pairing {pairing!r}; choose from: {', '.join(get_args(Pairing))}.")
    if template is not None and pairing != "template":
        raise ValueError(f"The pairing {pairing!r} has no template; leave the template out.")
    names = read_names(sources, pattern)
    if pattern is not None and names and not any(parts.read for parts in names):
        raise ValueError(
            f"The pattern {pattern!r} is found in none of {len(names)} names, "
            f"as {name_of_source(names[0].source)}; correct it."
        )
    chosen: Sequence[NameParts] = names
    notes: list[str] = []
    if pattern is not None or pairing == "consecutive":
        chosen, notes = _chosen(names)
    if pairing == "template":
        two = _to_template(chosen, template)
        notes += _other_side(two)
    elif pairing == "all":
        two = list(combinations(chosen, 2))
    else:
        notes += _unread(chosen, pattern)
        two, alone = _consecutive(chosen)
        notes += alone
    if not two:
        raise ValueError(
            f"No pair can be made of {plural(len(sources), 'image')} ({pairing}); "
            "add images, or choose another pairing or pattern."
        )
    label = cache(_label)
    pairs = tuple(_pair(fixed, moving, label) for fixed, moving in two)
    return Found(pairs, notes=tuple(notes), names=names, template=template)


def _is_image(entry: Path) -> bool:
    if entry.is_dir():
        return any(is_dicom(file) for file in sorted(entry.iterdir())[:1] if file.is_file())
    return ending_of(entry) in MEDICAL + TIFF + PLAIN


def _label(source: Path | Image) -> str:
    return name_of(source) if isinstance(source, Path) and not source.is_dir() else name_of_source(source)


def _pair(fixed: NameParts, moving: NameParts, label: Callable[[Path | Image], str]) -> Pair:
    return Pair(
        pair_name(label(fixed.source), label(moving.source)),
        fixed.source,
        moving.source,
        fixed_patient=fixed.patient or None,
        moving_patient=moving.patient or None,
    )


def _to_template(names: Sequence[NameParts], template: Path | Image | None) -> list[Two]:
    """Each image but the template onto the template, which belongs to no patient here."""
    if template is None:
        raise ValueError("Pairing to a template needs one; name the image that all others are paired with.")
    if isinstance(template, Path) and not template.exists():
        raise ValueError(f"There is no template {template}; check the path.")
    fixed = NameParts(template, False)
    return [(fixed, parts) for parts in names if identity(parts.source) != identity(template)]


def _by_default(source: Path | Image) -> NameParts:
    """What the name says without a pattern."""
    patient, side, date = parts_of(_label(source))
    return NameParts(source, bool(date and patient), patient, side.upper(), date)


def _chosen(names: Sequence[NameParts]) -> tuple[Sequence[NameParts], list[str]]:
    """The images whose names could be read, and a note on the others; all where none could be."""
    known = [parts for parts in names if parts.read]
    if not known:
        return names, [
            "No patient or date was found in the names; each image is paired with the next by name."
        ]
    if len(known) == len(names):
        return names, []
    first = next(name_of_source(parts.source) for parts in names if not parts.read)
    left = plural(len(names) - len(known), "image")
    return known, [f"The names of {left} could not be read; these are skipped (first: {first})."]


def _unread(names: Sequence[NameParts], pattern: str | None) -> list[str]:
    """A note for each part of the names that decides what is paired but was not read."""
    notes = []
    groups = () if pattern is None else compiled(pattern).groupindex
    for k, (group, harm) in enumerate(UNREAD.items()):
        missing = [parts for parts in names if not (parts.patient, parts.laterality, parts.date)[k]]
        # What no name holds need not be read, unless a pattern asks for it.
        known = len(missing) < len(names) or any(parts_of(_label(parts.source))[k] for parts in missing)
        if missing and (known or group in groups):
            where = f"{plural(len(missing), 'image')} (first: {name_of_source(missing[0].source)})"
            notes.append(f"No {harm[0]} was read in the names of {where}; {harm[1]}.")
    return notes


def _other_side(two: Sequence[Two]) -> list[str]:
    """A note on images of the other eye than the template's."""
    sides = [[side_of(parts_of(_label(parts.source))[1]) for parts in pair] for pair in two]
    other = [
        pair[1]
        for pair, (fixed, moving) in zip(two, sides, strict=True)
        if fixed and moving and fixed != moving
    ]
    if not other:
        return []
    where = f"{plural(len(other), 'image')} (first: {name_of_source(other[0].source)})"
    return [f"The names of {where} say another side than the template's; keep them out by a pattern."]


def _consecutive(names: Sequence[NameParts]) -> tuple[list[Two], list[str]]:
    """Each visit with the next one of the same patient and side."""
    visits: dict[tuple[str, str], list[NameParts]] = {}
    for parts in names:
        visits.setdefault((parts.patient.casefold(), side_of(parts.laterality)), []).append(parts)
    for series in visits.values():
        series.sort(key=lambda parts: (natural_key(parts.date), natural_key(name_of_source(parts.source))))
    alone = sum(len(series) == 1 for series in visits.values())
    notes = [f"{plural(alone, 'image')} had no second visit of the same patient and side."] if alone else []
    return [two for series in visits.values() for two in pairwise(series)], notes
