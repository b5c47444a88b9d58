"""HDF5 files of any origin: only what is in the file itself is read, and no more than it can hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..core.geometry import Array
from .guards import check_claim, check_regular, reading

OUTSIDE = "keeps data in another file, which is not followed; store everything in the file itself."


@contextmanager
def opened(path: Path, kind: str, remedy: str) -> Iterator[Any]:
    """An HDF5 file for reading; what goes wrong becomes one sentence with its name.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What to call it where it is missing.
    remedy : str
        The end of the sentence where it is damaged, without its full stop.

    Raises
    ------
    ValueError
        If it is missing or damaged.
    """
    check_regular(path, kind)
    with reading(path, remedy), h5py.File(path, "r") as file:
        yield file


def item_at(group: Any, place: str) -> Any:
    """The group or dataset at a path inside a group, None where there is none.

    Raises
    ------
    ValueError
        If a link on the way leads elsewhere, even into another file.
    """
    item = group
    for part in filter(None, place.split("/")):
        link = item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{_name(group)} {OUTSIDE}")
        item = item[part]
    return item


def array_in(dataset: Any, index: int | None = None) -> Array:
    """The numbers of a dataset, or of one entry along its first axis.

    Raises
    ------
    ValueError
        If it is no dataset of numbers, lies in another file, or claims more than the file can hold.
    """
    _check(dataset)
    if dataset.dtype.kind not in "biufc":
        raise ValueError(f"{_name(dataset)} is damaged: {dataset.name} does not hold numbers; copy it again.")
    return np.asarray(dataset[() if index is None else index])


def texts_in(dataset: Any) -> list[str]:
    """The strings of a dataset, as a list.

    Raises
    ------
    ValueError
        If it is no dataset of strings, lies in another file, or claims more than the file can hold.
    """
    _check(dataset)
    if h5py.check_string_dtype(dataset.dtype) is None:
        raise ValueError(f"{_name(dataset)} is damaged: {dataset.name} does not hold text; copy it again.")
    return [str(text) for text in np.ravel(dataset.asstr()[()])]


def _check(dataset: Any) -> None:
    """Refuse what would bring in other files, or take memory for what is not there."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError(f"{_name(dataset)} is damaged: a dataset is missing; copy it again.")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{_name(dataset)} {OUTSIDE}")
    # Of a stack that is read entry by entry, at least whole chunks are unpacked.
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    check_claim(_name(dataset), size, dataset.id.get_storage_size())
    if dataset.chunks:
        check_claim(_name(dataset), math.prod(dataset.chunks) * dataset.dtype.itemsize, size)


def _name(item: Any) -> str:
    return Path(item.file.filename).name
