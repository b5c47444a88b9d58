"""Pairs in an HDF5 file: the package's own pair files, and two stacks of images.

A pair file has the attributes ``format`` and ``version`` and three groups:

- ``images``: one dataset an image, mask or label image, once however many pairs it is in, with the
  attributes ``affine`` (d + 1, d + 1), ``units`` (d), ``name``, ``sha256`` (of the file it was) and, of a
  map, ``crs``;
- ``arrays``: landmarks (N, d) in world units, displacements (d, \\*shape) in pixels, with ``sha256``;
- ``pairs``: one dataset of strings a column, of equal length: ``name``, ``set`` (train or val),
  ``fixed_patient``, ``moving_patient``, and for each member of a pair the path of its dataset, empty where
  the pair has no such member.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.geometry import Array, Grid, Image, as_image, is_plain_unit
from ..hdf5_files import array_in, item_at, opened, texts_in
from .values import ROLES, Found, Pair, Stored, array_digest

FORMAT, VERSION = "napari-voxreg pairs", 1
ENDINGS = (".h5", ".hdf5", ".hdf")
DAMAGED = "it is no HDF5 file, or it is damaged or cut off"
PATIENTS = ("fixed_patient", "moving_patient")
FIXED_WORDS = ("fixed", "reference", "ref", "target", "image1", "img1", "im1")
MOVING_WORDS = ("moving", "source", "floating", "sensed", "image2", "img2", "im2")
FLOW_WORDS = ("flow", "displacement", "disp")


def from_file(path: Path) -> Found:
    """The pairs in an HDF5 file: in a pair file, or in two datasets of stacked images of equal shape.

    Raises
    ------
    ValueError
        If the file is neither.
    """
    with opened(path, "pair file", DAMAGED) as file:
        if str(file.attrs.get("format")) == FORMAT:
            if file.attrs["version"] != VERSION:
                raise ValueError(
                    f"{path.name} was written by a newer version (pair file {file.attrs['version']!s:.10}); "
                    "update the package."
                )
            return _from_table(path, item_at(file, "pairs"))
        return _from_stacks(path, file)


def read_stored_image(stored: Stored) -> Image:
    """Read an image from an HDF5 file.

    Raises
    ------
    ValueError
        If the file or the dataset is missing or damaged.
    """
    with opened(stored.file, "pair file", DAMAGED) as file:
        dataset = _dataset(file, stored)
        if "affine" in dataset.attrs:
            affine, units = dataset.attrs["affine"], list(map(str, dataset.attrs["units"]))
            if not all(map(is_plain_unit, units)):
                raise ValueError(
                    f"{stored.file.name} is damaged: a unit is no name of one; pack the pairs again."
                )
            grid = Grid(dataset.shape[: len(units)], affine, tuple(units), dataset.attrs.get("crs"))
            return Image(array_in(dataset), grid, str(dataset.attrs["name"]))
        data = array_in(dataset, stored.index)
    return as_image(np.squeeze(data), f"{stored.dataset}[{stored.index}]")


def read_stored_array(stored: Stored) -> Array:
    """Read landmarks (N, d), or a displacement (d, \\*shape) in pixels, (row, column), from an HDF5 file.

    Raises
    ------
    ValueError
        If the file or the dataset is missing or damaged.
    """
    with opened(stored.file, "pair file", DAMAGED) as file:
        flow = array_in(_dataset(file, stored), stored.index)
    if stored.index is None:
        return flow
    # A stack's flow is as in .flo files: along columns first.
    return (flow if flow.shape[0] == 2 else np.moveaxis(flow, -1, 0))[::-1].copy()


def stored_digest(stored: Stored) -> str:
    """The sha256 of the file that an entry of a pair file was, or of a stack's entry.

    Raises
    ------
    ValueError
        If the file or the dataset is missing or damaged.
    """
    with opened(stored.file, "pair file", DAMAGED) as file:
        dataset = _dataset(file, stored)
        if "sha256" in dataset.attrs:
            return str(dataset.attrs["sha256"])
        return array_digest(array_in(dataset, stored.index))


def _dataset(file: Any, stored: Stored) -> Any:
    dataset = item_at(file, stored.dataset)
    if dataset is None:
        raise ValueError(f"{stored.file.name} holds no {stored.dataset}; pack the pairs again.")
    return dataset


def _from_table(path: Path, table: Any) -> Found:
    """The pairs of a pair file."""
    columns = {name: texts_in(item_at(table, name)) for name in ("name", "set", *PATIENTS, *ROLES)}
    pairs, sets = [], columns["set"]
    if len({len(column) for column in columns.values()}) > 1 or set(sets) - {"train", "val"}:
        raise ValueError(f"{path.name} is damaged: its columns do not fit each other; pack the pairs again.")
    for k, name in enumerate(columns["name"]):
        members: dict[str, Any] = {role: Stored(path, columns[role][k]) for role in ROLES if columns[role][k]}
        members |= {key: columns[key][k] or None for key in PATIENTS}
        pairs.append(Pair(name, **members))
    return Found(tuple(pairs), tuple(sets))


def _from_stacks(path: Path, file: Any) -> Found:
    """Pairs from two stacks, (N, row, column) or (N, plane, row, column), with or without an axis of 1."""
    shapes: dict[str, tuple[int, ...]] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim >= 3 and item.dtype.kind in "biuf":
            shapes[name] = tuple(item.shape)

    file.visititems(collect)
    flows = [name for name in shapes if _has(name, FLOW_WORDS)]
    stacks = [name for name in sorted(shapes) if name not in flows]
    ones = [name for name in stacks if _has(name, FIXED_WORDS)]
    others = [name for name in stacks if _has(name, MOVING_WORDS)]
    notes = []
    if len(ones) == len(others) == 1:
        stacks = [*ones, *others]
    if len(stacks) != 2 or shapes[stacks[0]] != shapes[stacks[1]]:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no stack of images"
        raise ValueError(
            f"{path.name} is no pair file and does not hold two stacks of images of one shape (it holds: "
            f"{found}); name them fixed and moving."
        )
    if not (ones and others):
        notes.append(f"In {path.name}, {stacks[0]} is taken as fixed and {stacks[1]} as moving.")
    shape = shapes[stacks[0]]
    plane = tuple(n for n in shape[1:] if n > 1)
    fitting = [name for name in flows if shapes[name] in ((shape[0], *plane, 2), (shape[0], 2, *plane))]
    if fitting:
        notes.append(f"{fitting[0]} is taken as the true displacement, along columns first as in .flo files.")
    width = len(str(shape[0] - 1))
    pairs = [
        Pair(
            f"{k:0{width}}",
            Stored(path, stacks[0], k),
            Stored(path, stacks[1], k),
            displacement=Stored(path, fitting[0], k) if fitting else None,
        )
        for k in range(shape[0])
    ]
    return Found(tuple(pairs), notes=tuple(notes))


def _has(name: str, words: tuple[str, ...]) -> bool:
    last = name.rsplit("/", 1)[-1].lower()
    return any(word in last for word in words)
