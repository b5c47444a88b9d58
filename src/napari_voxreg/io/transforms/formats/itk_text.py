"""ITK's transforms as text (.tfm, .txt)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ....transforms import chain
from ...guards import read_text
from ..base import Found, Grids
from ..entries import FLOATS, Entry, members_of


def recognises(head: bytes) -> bool:
    """Whether it begins as ITK writes it, or with the kind of a transform."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"#Insight Transform", b"Transform:"))


def read(path: Path, grids: Grids) -> Found:
    """The transform, or the chain of a composite."""
    return Found(chain(*members_of(path, _entries)))


def _entries(path: Path) -> Iterator[Entry]:
    """Lines of a name, a colon and values; three lines a transform."""
    kind, values = "", {"Parameters": np.empty(0), "FixedParameters": np.empty(0)}
    for line in read_text(path).splitlines():
        name, _, value = line.strip().partition(":")
        if not name or name.startswith("#"):
            continue
        if name == "Transform":
            if kind:
                yield Entry(kind, *values.values())
            kind, values = value.strip(), dict.fromkeys(values, np.empty(0))
        elif name in values and kind:
            values[name] = np.array(value.split(), dtype=FLOATS)
        else:
            raise ValueError("an unknown line")
    if kind:
        yield Entry(kind, *values.values())
