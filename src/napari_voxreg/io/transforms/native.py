"""Transforms on disk: ITK's own format, and a JSON record beside it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py

from ...core.geometry import Array, Grid
from ...transforms import READERS, BSpline, Displacement, Transform, chain
from ...transforms.base import Record
from ...transforms.records import grid_from_record, grid_to_record
from .. import itk_files
from ..files import replace_file
from ..guards import check_regular, exists, read_json, reading
from .formats.itk_hdf5 import read_members

FORMAT = "napari-voxreg transform"
VERSION = 1
RECORDED = ("napari-voxreg", "numpy", "scipy", "scikit-image", "SimpleITK", "itk-elastix", "torch", "napari")


def save_native(
    transform: Transform, path: Path, grid: Grid, record: Mapping[str, Any] | None = None
) -> None:
    """Write ``NAME.h5`` and ``NAME.json``; see `save_transform`."""
    if path.suffix != ".h5":
        raise ValueError(f"{path.name} cannot hold a transform; give a name that ends in .h5.")
    check_record(path)

    def write(target: Path) -> None:
        itk_files.write_transform(transform.to_itk(grid), target)
        # ITK does not report all that a full disk cuts off, and HDF5 finds it only in the open file.
        with h5py.File(target) as file:
            file.visititems(_read_whole)
        description = {
            "format": FORMAT,
            "version": VERSION,
            "maps": "world points of the fixed image to world points of the moving image",
            "axis order": "array axes: (row, column) or (plane, row, column)",
            "units": list(grid.units),
            "fixed grid": grid_to_record(grid),
            "h5": {
                "file": path.name,
                "sha256": _sha256(target),
                "exact": "everywhere" if transform.native else "at the nodes of the fixed grid",
            },
            "members": transform.to_records(inline=not transform.native),
            "software": software(),
            **(record or {}),
        }
        text = json.dumps(description, indent=1)
        replace_file(path.with_suffix(".json"), partial(Path.write_bytes, data=text.encode()))

    replace_file(path, write)  # moves it into place just after its record


def check_record(path: Path) -> None:
    """Refuse to save a transform where its JSON would replace another one.

    Parameters
    ----------
    path : Path
        Of the .h5 file to be written.

    Raises
    ------
    ValueError
        If the JSON that is there is no record of ours.
    """
    side = path.with_suffix(".json")
    if side.exists() and not is_ours(side):
        raise ValueError(f"{side} is there and no record of napari-voxreg; choose another name or folder.")


def _is_of_others(path: Path) -> bool:
    """Whether a JSON is whole and no record of ours, nor beside a .h5."""
    if not exists(path) or exists(path.with_suffix(".h5")):
        return False
    try:
        record = read_json(path)
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("format") != FORMAT


def is_ours(side: Path) -> bool:
    """Whether a JSON is there and a record of ours, even one that lacks something."""
    try:
        record = read_json(side)
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("format") == FORMAT


def load_native(path: Path, record: Mapping[str, Any]) -> Transform:
    """The transform of a .h5 file and its record, with exactly the numbers that were saved.

    Raises
    ------
    ValueError
        If they are damaged or do not belong to each other.
    """
    members = record["members"]
    arrays: list[Array | None] = [None] * len(members)
    if record["h5"]["exact"] == "everywhere":
        if _sha256(path) != record["h5"]["sha256"]:
            raise ValueError(
                f"{path.name} is not the file that {path.stem}.json describes; "
                "restore it, or remove the JSON."
            )
        arrays = [_array(member) for member in read_members(path)]
    side = path.with_suffix(".json")
    with reading(side, "remove it to read the .h5 alone"):
        return chain(*(_from_record(m, array, side) for m, array in zip(members, arrays, strict=True)))


def load_record(path: Path | str) -> dict[str, Any] | None:
    """The JSON that belongs to a transform file of ours, None where there is none.

    Raises
    ------
    ValueError
        If it is damaged, or lacks what a transform needs.
    """
    path = transform_path(Path(path))
    side = path.with_suffix(".json")
    if path.suffix != ".h5" or not exists(side):
        return None
    record = read_json(side)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return None
    if isinstance(number := record.get("version"), int) and number > VERSION:
        raise ValueError(
            f"{side.name} was written by a newer napari-voxreg, as version {number} of its format; update "
            "napari-voxreg, or remove it to read the .h5 alone."
        )
    with reading(side, "remove it to read the .h5 alone"):
        grid_from_record(record["fixed grid"])
        moving_grid(record)
        h5, members = record["h5"], record["members"]
        if not members or not all(isinstance(text, str) for text in (h5["exact"], h5["sha256"])):
            raise ValueError("no members")
        for member in members:
            str(member["kind"])
    return record


def fixed_grid(record: Mapping[str, Any]) -> Grid:
    """The fixed image's grid from a record."""
    return grid_from_record(record["fixed grid"])


def moving_grid(record: Mapping[str, Any]) -> Grid | None:
    """The moving image's grid from a record, in the units of the fixed one; None where it is not there."""
    grid = record.get("moving grid")
    return None if grid is None else grid_from_record(grid)


def transform_path(path: Path) -> Path:
    """The transform file behind a folder or a JSON of ours.

    Raises
    ------
    ValueError
        If there is none.
    """
    if path.is_dir():
        path = path / "transform.h5"
    if path.suffix == ".json" and not _is_of_others(path):
        path = path.with_suffix(".h5")
    if not path.exists():
        raise ValueError(
            f"There is no transform at {path}; give a transform file, or a folder that holds transform.h5."
        )
    check_regular(path)
    return path


def _read_whole(name: str, item: h5py.Dataset | h5py.Group) -> None:
    """Read what a file of HDF5 holds, and forget it."""
    if isinstance(item, h5py.Dataset):
        item[()]


def _from_record(record: Record, array: Array | None, side: Path) -> Transform:
    """One link of a chain; `array` is what the .h5 holds of it."""
    kind = str(record["kind"])
    if kind not in READERS:
        raise ValueError(
            f"{side.name} names an unknown kind of transform, {kind[:60]!r}; it needs a newer napari-voxreg."
        )
    return READERS[kind](record, array)


def _array(member: Transform) -> Array | None:
    """What the .h5 holds of a member and the record does not."""
    if isinstance(member, BSpline):
        return member.coefficients
    return member.field if isinstance(member, Displacement) else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def software() -> dict[str, str]:
    """Versions of what made the transform."""
    versions = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
