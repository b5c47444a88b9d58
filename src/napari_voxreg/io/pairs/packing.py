"""Writing pairs into one HDF5 file; `hdf5` describes its layout and reads it."""

from __future__ import annotations

from collections.abc import Hashable
from io import FileIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...core.geometry import Array
from ...core.pixels import with_nan
from ...core.progress import Progress, silent
from ..files import check_inputs_kept, check_outputs, replace_file
from .hdf5 import ENDINGS, FORMAT, PATIENTS, VERSION, read_stored_array
from .reading import landmarks_of, member_digest, read_displacement, read_flat, read_source
from .values import ROLES, Pair, PairSet, Stored, identity

# Every HDF5 program reads it, and the fastest level is small enough.
COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def pack(pairs: PairSet, path: Path | str, progress: Progress = silent) -> Path:
    """Write a set into a pair file, each image once, with its split; one image at a time is in memory.

    Parameters
    ----------
    pairs : PairSet
        As `open_pairs` gives it.
    path : path
        Ending in .h5 or .hdf5. What stood there stays until the new file is complete.
    progress : Progress
        Called after each pair.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ValueError
        If the name has another ending or is the set's own file, or a member is missing or damaged; nothing
        is written then.
    OSError
        If the disk is full or the file cannot be written; nothing is left then.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path.name} cannot hold pairs; give a name that ends in .h5 or .hdf5.")
    check_outputs(path)
    members = [getattr(pair, role) for pair in pairs.all for role in ROLES]
    files = {m.file if isinstance(m, Stored) else m for m in members if isinstance(m, Path | Stored)}
    check_inputs_kept(sorted(files), [path])
    replace_file(path, lambda target: _write(pairs, target, progress))
    return path


class _Patient(FileIO):
    """A file that hides a full disk from HDF5, which would end the whole process."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of the data, or remember why not and forget all that comes later."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while len(rest) and self.failure is None:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen the file, or remember why not."""
        try:
            if self.failure is None:
                super().truncate(size)
        except OSError as error:
            self.failure = error
        return size or 0


def _write(pairs: PairSet, target: Path, progress: Progress) -> None:
    training = set(map(id, pairs.training))
    columns: dict[str, list[str]] = {name: [] for name in ("name", "set", *PATIENTS, *ROLES)}
    with _Patient(target, "w+") as stream:
        with h5py.File(stream, "w") as file:
            file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
            places: dict[Hashable, str] = {}
            for k, pair in enumerate(pairs.all):
                progress(k / len(pairs.all), f"packing {pair.name}")
                columns["name"].append(pair.name)
                columns["set"].append("train" if id(pair) in training else "val")
                for key in PATIENTS:
                    columns[key].append(getattr(pair, key) or "")
                for role in ROLES:
                    columns[role].append(_stored(file, pair, role, places))
                if stream.failure is not None:
                    break
            for name, texts in columns.items():
                file.create_dataset(f"pairs/{name}", data=texts, dtype=h5py.string_dtype())
        if stream.failure is not None:
            raise stream.failure


def _stored(file: Any, pair: Pair, role: str, places: dict[Hashable, str]) -> str:
    """The path of a member's dataset, which is made where the member was in no pair before."""
    source = getattr(pair, role)
    if source is None:
        return ""
    key: Hashable = identity(source)
    if role == "displacement":
        key = ("displacement", key, identity(pair.fixed), identity(pair.moving))  # in the pixels of both
    if role.endswith("landmarks"):  # of which those without a partner are left out
        members = (pair.fixed_landmarks, pair.moving_landmarks, pair.fixed, pair.moving)
        key = (role, *(None if one is None else identity(one) for one in members))
    if key in places:
        return places[key]
    if role == "displacement" or role.endswith("landmarks"):
        place = f"arrays/{len(places):06d}"
        array = _displacement(pair, source) if role == "displacement" else _landmarks(pair, role)
        dataset = file.create_dataset(place, data=array, **(COMPRESSION if array.size else {}))
    else:
        place = f"images/{len(places):06d}"
        image = read_source(source)
        # HDF5 holds no mask, but NaN.
        dataset = file.create_dataset(place, data=with_nan(image.data), **COMPRESSION)
        dataset.attrs["affine"], dataset.attrs["units"] = image.grid.affine, list(image.grid.units)
        dataset.attrs["name"] = image.name
        if image.grid.crs is not None:
            dataset.attrs["crs"] = image.grid.crs
    dataset.attrs["sha256"] = member_digest(source)
    places[key] = place
    return place


def _landmarks(pair: Pair, role: str) -> Array:
    source = getattr(pair, role)
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, Stored):
        return read_stored_array(source)
    grids = read_source(pair.fixed).grid, read_source(pair.moving).grid
    fixed, moving, _ = landmarks_of(pair, *grids)
    found = fixed if role == "fixed_landmarks" else moving
    assert found is not None  # of a file
    return found


def _displacement(pair: Pair, source: Path | Stored | Array) -> Array:
    fixed, moving = read_flat(pair.fixed), read_flat(pair.moving)
    return read_displacement(source, fixed, moving)
