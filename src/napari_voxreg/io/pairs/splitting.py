"""Pairs split into training and validation so that no image or patient is on both sides."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Hashable, Sequence
from functools import cache
from pathlib import Path

from ..images import name_of
from .values import Found, Pair, PairSet, Source, identity, name_of_source, plural

FRACTION = 0.2  # of the pairs, by default
SAME = "Training and validation are the same pairs"

Unit = Hashable
"""What is never split: a patient, or an image whose patient is not known."""


def split_pairs(found: Found, validation: float | Sequence[str] | None = None, seed: int = 0) -> PairSet:
    """Split a source's pairs.

    Parameters
    ----------
    found : Found
        The pairs, with the source's own split if it has one.
    validation : float or sequence of str, optional
        Fraction of the pairs, 0 to below 1; or names of pairs, images or patients. By default the source's
        own split, else a fifth.
    seed : int
        For the fraction: same seed, same split.

    Returns
    -------
    PairSet
        With the notes of `found` and more, such as how many pairs were skipped since they have members on
        both sides.

    Raises
    ------
    ValueError
        If the fraction or a name makes no sense, or if nothing remains for training.
    """
    units, notes = _all_units(found)
    chosen: set[Unit] | None
    if validation is None and "val" in found.sets:
        marked = [k for k, where in enumerate(found.sets) if where == "val"]
        chosen = {unit for k in marked for unit in units[k]}
        sides = _own_sides(units, marked, chosen)
    else:
        if validation is None or isinstance(validation, int | float):
            chosen = _by_fraction(units, FRACTION if validation is None else float(validation), seed)
        else:
            chosen = _by_names(found.pairs, units, validation)
        sides = [] if chosen is None else [_side(members, chosen) for members in units]
    if chosen is None:
        reason = (
            "there is only one" if len(found.pairs) == 1 else "all share images or patients with one another"
        )
        same = f"{SAME}: {reason}; what validation shows is how well these pairs are learnt."
        return PairSet(found.pairs, found.pairs, (*found.notes, *notes, same), found.names)
    training = tuple(pair for pair, side in zip(found.pairs, sides, strict=True) if side == "train")
    held_out = tuple(pair for pair, side in zip(found.pairs, sides, strict=True) if side == "val")
    dropped = len(found.pairs) - len(training) - len(held_out)
    if not training:
        raise ValueError(
            "No pair is left for training, as each shares an image or a patient with a validation pair; "
            "name fewer for validation, or give a fraction."
        )
    if not held_out and chosen != set():
        raise ValueError("The validation list names no whole pair; name pairs, or both of their images.")
    if dropped:
        left = plural(dropped, "pair")
        notes.append(f"{left} skipped: each has an image or a patient in common with the other side.")
    return PairSet(training, held_out, (*found.notes, *notes), found.names)


def _all_units(found: Found) -> tuple[list[tuple[Unit, ...]], list[str]]:
    """The units of each pair. What all pairs share (a template) does not count, nor the only patient."""
    notes = []
    same_as = cache(identity)  # an image may be in thousands of pairs
    shared: Hashable = None if found.template is None else identity(found.template)
    if shared is None and len(found.pairs) > 2:
        for role in ("fixed", "moving"):
            same = {same_as(getattr(pair, role)) for pair in found.pairs}
            if len(same) == 1:
                shared = same.pop()
                name = name_of_source(getattr(found.pairs[0], role))
                notes.append(f"{name} is the {role} image of every pair, so it is on both sides.")
    patients = {p for pair in found.pairs for p in (pair.fixed_patient, pair.moving_patient) if p}

    def unit(source: Source, patient: str | None) -> list[Unit]:
        if (own := same_as(source)) == shared:
            return []
        return [("patient", patient.casefold())] if patient and len(patients) > 1 else [own]

    units = [
        (*unit(pair.fixed, pair.fixed_patient), *unit(pair.moving, pair.moving_patient))
        for pair in found.pairs
    ]
    return units, notes


def _side(members: Sequence[Unit], chosen: set[Unit]) -> str:
    inside = [unit in chosen for unit in members]
    return "val" if all(inside) else "mixed" if any(inside) else "train"


def _own_sides(units: Sequence[Sequence[Unit]], marked: Sequence[int], chosen: set[Unit]) -> list[str]:
    """The source's validation pairs stay; its training pairs that touch them do not."""
    sides = ["mixed" if any(unit in chosen for unit in members) else "train" for members in units]
    for k in marked:
        sides[k] = "val"
    return sides


def _by_names(pairs: Sequence[Pair], units: Sequence[Sequence[Unit]], names: Sequence[str]) -> set[Unit]:
    """The units that are named; an image that is in one pair only stands for the pair."""
    whole: dict[str, set[Unit]] = {}
    holders: dict[str, list[int]] = {}
    for k, pair in enumerate(pairs):
        whole.setdefault(pair.name, set()).update(units[k])
        for source in (pair.fixed, pair.moving):
            for alias in _aliases(source):
                holders.setdefault(alias, []).append(k)
        for patient in filter(None, (pair.fixed_patient, pair.moving_patient)):
            whole.setdefault(patient, set()).add(("patient", patient.casefold()))
    chosen: set[Unit] = set()
    for name in names:
        if name in whole:
            chosen |= whole[name]
        elif len(places := sorted(set(holders.get(name, [])))) == 1:
            chosen.update(units[places[0]])
        elif places:
            pair = pairs[places[0]]
            fixed = name in _aliases(pair.fixed)
            owner = pair.fixed_patient if fixed else pair.moving_patient
            chosen |= {identity(pair.fixed if fixed else pair.moving), ("patient", (owner or "").casefold())}
        else:
            raise ValueError(
                f"The validation list names {name!r}, which is no pair, image or patient here; correct it."
            )
    return chosen


def _aliases(source: Source) -> set[str]:
    """What an image may be called in a list."""
    if isinstance(source, Path):
        return {source.name, name_of(source), str(source)}
    return {name_of_source(source)}


def _by_fraction(units: Sequence[Sequence[Unit]], fraction: float, seed: int) -> set[Unit] | None:
    """Whole groups of pairs that hang together, at random; one group is cut where they are too large."""
    if not 0 <= fraction < 1:
        raise ValueError(f"The validation fraction must be 0 or more and below 1, not {fraction:g}.")
    if fraction == 0:
        return set()
    groups = _groups(units, seed)
    sizes = _inside(units, groups)
    target = max(1, round(fraction * len(units)))
    chosen: set[Unit] = set()
    count = 0
    for group, size in zip(groups, sizes, strict=True):
        if count + size <= target and count + size < len(units):
            chosen.update(group)
            count += size
    if 2 * count >= target:
        return chosen
    largest = groups[sizes.index(max(sizes))]
    wanted = max(1, round(fraction * sum(map(len, groups))))
    cut = _cut(units, largest, wanted)
    if cut:
        return cut
    # Single patients that are larger than the fraction.
    return chosen or (set(groups[sizes.index(min(sizes))]) if len(groups) > 1 else None)


def _cut(units: Sequence[Sequence[Unit]], group: Sequence[Unit], wanted: int) -> set[Unit] | None:
    """The first units of a group, at least as many as hold a pair, if they leave more for training."""
    for number in range(wanted, len(group)):
        cut = set(group[:number])
        sides = [_side(members, cut) for members in units]
        count = sides.count("val")
        if count:
            return cut if count <= sides.count("train") else None
    return None


def _groups(units: Sequence[Sequence[Unit]], seed: int) -> list[list[Unit]]:
    """Connected components of units that share pairs, in random order, each breadth first."""
    neighbours: dict[Unit, set[Unit]] = {}
    for members in units:
        for unit in members:
            neighbours.setdefault(unit, set()).update(members)
    order = list(neighbours)
    random.Random(seed).shuffle(order)
    rank = {unit: k for k, unit in enumerate(order)}
    groups, seen = [], set()
    for start in order:
        if start in seen:
            continue
        seen.add(start)
        queue, group = deque([start]), []
        while queue:
            group.append(unit := queue.popleft())
            new = sorted(neighbours[unit] - seen, key=rank.__getitem__)
            seen.update(new)
            queue.extend(new)
        groups.append(group)
    return groups


def _inside(units: Sequence[Sequence[Unit]], groups: Sequence[Sequence[Unit]]) -> list[int]:
    """How many pairs each group holds."""
    number = {unit: k for k, group in enumerate(groups) for unit in group}
    sizes = [0] * len(groups)
    for members in units:
        sizes[number[members[0]]] += 1
    return sizes
