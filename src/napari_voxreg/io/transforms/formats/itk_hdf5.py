"""ITK's transforms in HDF5, which ANTs' composites are, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ....core.geometry import Array
from ....transforms import Transform, chain
from ...hdf5_files import array_in, item_at, opened, texts_in
from ..base import Found, Grids
from ..entries import FLOATS, FOREIGN, Entry, members_of


def recognises(head: bytes) -> bool:
    """Whether it is HDF5."""
    return head.startswith(b"\x89HDF")


def read(path: Path, grids: Grids) -> Found:
    """The transform, or the chain of a composite."""
    return Found(chain(*read_members(path)))


def read_members(path: Path) -> list[Transform]:
    """The transforms of a composite, the one applied first comes first; see `members_of`."""
    return members_of(path, _entries)


def _entries(path: Path) -> Iterator[Entry]:
    """ITK's groups 0, 1, ..., whose names were misspelt until ITK 5."""
    with opened(path, "transform file", FOREIGN) as file:
        groups = item_at(file, "TransformGroup")
        for k in range(0 if groups is None else len(groups)):
            kind = texts_in(item_at(groups, f"{k}/TransformType"))[0]
            yield Entry(kind, *(_values(groups, k, what) for what in ("Parameters", "FixedParameters")))


def _values(groups: Any, k: int, what: str) -> Array:
    for word in ("Transform", "Tranform"):
        if (dataset := item_at(groups, f"{k}/{word}{what}")) is not None:
            return array_in(dataset).astype(FLOATS, copy=False).ravel()
    return np.empty(0)
