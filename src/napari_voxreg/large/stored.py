"""Stored arrays as dask arrays, in pieces of one size, whose damage is told in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from ..core.geometry import Array
from ..io.guards import reading
from .image import pieces

if TYPE_CHECKING:
    import dask.array as da


@dataclass(frozen=True, eq=False)
class Stored:
    """An array on disk; a `ValueError` names it where a piece cannot be read.

    Parameters
    ----------
    array : array-like
        Sliced to be read: an array of zarr, or a memory-mapped one.
    path : Path
        What to name.
    """

    array: Any
    path: Path

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        """As of an array."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of an array, in the byte order of this machine."""
        return np.dtype(self.array.dtype).newbyteorder("=")

    def __getitem__(self, at: Any) -> Array:
        with reading(self.path, "a piece of it is damaged or cut off; copy it again"):
            return np.asarray(self.array[at]).astype(self.dtype, copy=False)


def lazily(array: Any, stored: tuple[int, ...], path: Path) -> da.Array:
    """A dask array of an array on disk.

    Parameters
    ----------
    array : array-like
        Sliced to be read.
    stored : tuple of int
        Sides of the pieces in which it is stored.
    path : Path
        What to name where it cannot be read.
    """
    import dask.array as da

    sides = pieces(array.shape, stored)
    # A name of its own: dask would hash the pixels of a memory-mapped file.
    return da.from_array(Stored(array, path), chunks=sides, name=f"stored-{uuid4().hex}", asarray=False)
