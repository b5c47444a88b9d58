"""What a user should know of the images of many pairs, each kind of note once."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .values import Pair, name_of_source, plural


class PairNotes:
    """Notes on the images of pairs; of each kind the first one is kept, with the pair that it is about.

    Notes that differ in names and numbers only are of one kind.
    """

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._names: dict[str, set[str]] = {}

    def add(self, pair: Pair, notes: Iterable[str]) -> list[str]:
        """Keep the notes on a pair, and return the sentences of kinds that are new."""
        new = []
        for note in notes:
            kind = _kind(note, pair)
            if kind not in self._first:
                self._first[kind] = f"{pair.name}: {note}"
                new.append(self._first[kind])
            self._names.setdefault(kind, set()).add(pair.name)
        return new

    @property
    def sentences(self) -> list[str]:
        """One of each kind, with the number of other pairs to which it applies."""
        found = []
        for kind, first in self._first.items():
            others = len(self._names[kind]) - 1
            found.append(f"{first} The same applies to {plural(others, 'other pair')}." if others else first)
        return found


def _kind(note: str, pair: Pair) -> str:
    """A note without numbers and the names of a pair's images."""
    sources = (pair.fixed, pair.moving, pair.fixed_mask, pair.moving_mask)
    for name in {name_of_source(source) for source in sources if source is not None} - {""}:
        note = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "*", note)
    return re.sub(r"\d[\d.,e+-]*", "#", note)
