"""Transforms that were found before: a run that is repeated does only what has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry import Grid, Image
from ...io.transforms import load_record, load_transform, save_transform
from ...registration.prepare import pixels_digest
from ...transforms import Transform

Found = tuple[Transform, tuple[str, ...]]
VERSION = 2  # of what is kept; another makes everything anew


class Store:
    """A folder with transforms, each under the hash of all it was made from.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.found = 0

    def find(self, key: str) -> Found | None:
        """The transform of a key and the notes on it; None where it is not there."""
        path = None if self.folder is None else self.folder / f"{key}.h5"
        if path is None or not path.exists():
            return None
        try:
            kept = _loaded(path)
        except (ValueError, KeyError, TypeError):
            path.unlink()  # our own file, which a crash may have left damaged
            return None
        self.found += 1
        return kept

    def keep(self, key: str, grid: Grid, found: Found) -> Found:
        """Keep a transform, if there is a folder, and give what the next run will find.

        Parameters
        ----------
        key : str
            From `key`.
        grid : Grid
            Of the image whose world it begins in.
        found : tuple
            The transform and the notes on it.
        """
        if self.folder is None:
            return found
        path = self.folder / f"{key}.h5"
        save_transform(found[0], path, grid, {"notes": list(found[1])})
        return _loaded(path)


def _loaded(path: Path) -> Found:
    record = load_record(path)
    if record is None:
        raise ValueError(f"{path.name} has no record.")
    return load_transform(path), tuple(map(str, record["notes"]))


def key(**parts: Any) -> str:
    """The hash of what a transform is made from: transforms by their own hash, the rest as JSON."""
    values = {name: _plain(part) for name, part in sorted(parts.items())}
    text = json.dumps({"version": VERSION, **values}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def digest(image: Image) -> str:
    """The hash of an image: its pixels, their type and where they lie."""
    found = hashlib.sha256(f"{pixels_digest(image)} {image.grid.units}".encode())
    found.update(np.ascontiguousarray(image.grid.affine).tobytes())
    return found.hexdigest()


def _plain(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {str(name): _plain(value) for name, value in part.items()}
    if part is None or isinstance(part, (str, int, float, bool)):
        return part
    records = part.to_records(inline=True)  # of a transform
    return hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()
