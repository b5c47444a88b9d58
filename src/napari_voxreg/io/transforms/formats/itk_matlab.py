"""ITK's transforms in MATLAB 4 files (.mat), as ANTs writes its affine ones."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ....core.geometry import Array
from ....transforms import chain
from ..base import Found, Grids
from ..entries import FLOATS, Entry, members_of

MATLAB = {
    0: "f8",
    10: "f4",
    100: "f8",
    110: "f4",
}  # by the first integer of a matrix; 1000 more if big-endian


def recognises(head: bytes) -> bool:
    """Whether it begins with a matrix that is called as a transform of ITK's."""
    kinds = {struct.pack(order + "i", kind + 1000 * (order == ">")) for order in "<>" for kind in MATLAB}
    return head[:4] in kinds and b"Transform" in head[20:100]


def read(path: Path, grids: Grids) -> Found:
    """The transform, or the chain of a composite."""
    return Found(chain(*members_of(path, _entries)))


def _entries(path: Path) -> Iterator[Entry]:
    """Matrices of MATLAB 4, two a transform: its parameters under its kind, then ``fixed``."""
    matrices = list(_matrices(path.read_bytes()))
    for (kind, parameters), (name, fixed) in zip(matrices[::2], matrices[1::2], strict=True):
        if name != "fixed":
            raise ValueError("no fixed parameters")
        yield Entry(kind, parameters, fixed)


def _matrices(content: bytes) -> Iterator[tuple[str, Array]]:
    """Name and numbers of each matrix of a MATLAB 4 file: five integers, the name, the numbers."""
    place = 0
    while place < len(content):
        order = "<" if struct.unpack_from("<i", content, place)[0] in MATLAB else ">"
        kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", content, place)
        numbers = np.dtype(order + MATLAB[kind - 1000 * (order == ">")])
        start = place + 20 + length
        place = start + numbers.itemsize * rows * columns
        if imaginary or min(rows, columns, length) < 0 or place > len(content):
            raise ValueError("not a matrix of real numbers")
        name = content[start - length : start].rstrip(b"\x00").decode("ascii")
        yield name, np.frombuffer(content, numbers, rows * columns, start).astype(FLOATS)
