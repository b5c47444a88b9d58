"""Transforms on disk: ITK's own format, and a JSON record beside it."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import h5py

from ...core.disk import check_utf8
from ...core.geometry import Grid
from ...transforms import READERS, Affine, BSpline, Composite, Displacement, Transform, chain
from ...transforms.base import Record
from ...transforms.records import grid_from_record, grid_to_record
from ..files import replace_file

log = logging.getLogger(__name__)

FORMAT = "napari-voxreg transform"
RECORDED = ("napari-voxreg", "numpy", "scipy", "scikit-image", "SimpleITK", "itk-elastix", "torch", "napari")


def save_transform(
    transform: Transform, path: Path | str, grid: Grid, record: Mapping[str, Any] | None = None
) -> Path:
    """Write a transform as ``NAME.h5`` (ITK) and ``NAME.json``.

    Affine, B-spline and displacement transforms and their chains are stored as such in the .h5.
    Homographies, quadratics, thin-plate splines and velocity fields, which ITK has not, keep their numbers
    in the JSON; their .h5 is a dense field, exact at the nodes of `grid` and approximate between them.

    Parameters
    ----------
    transform : Transform
        What to save.
    path : path
        Ending in .h5.
    grid : Grid
        The fixed image's grid; recorded, so that images can be warped without the fixed image at hand.
    record : mapping, optional
        More to keep in the JSON: method, parameters, scores.

    Returns
    -------
    Path
        Of the .h5 file.
    """
    path = Path(path)
    if path.suffix != ".h5":
        raise ValueError(f"{path.name} cannot hold a transform; give a name that ends in .h5.")
    check_record(path)

    def write(target: Path) -> None:
        import SimpleITK as sitk

        sitk.WriteTransform(transform.to_itk(grid), str(target))
        # ITK does not report all that a full disk cuts off, and HDF5 finds it only in the open file.
        with h5py.File(target) as file:
            file.visititems(_read_whole)
        description = {
            "format": FORMAT,
            "version": 1,
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
    log.info("wrote %s and %s: %s", path, path.with_suffix(".json").name, _kinds(transform))
    return path


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
    if side.exists() and _record(side) is None:
        raise ValueError(f"{side} is there and no record of napari-voxreg; choose another name or folder.")


def load_transform(path: Path | str) -> Transform:
    """Read a transform that this package or any program using ITK has written.

    Parameters
    ----------
    path : path
        A .h5 file or its .json, a folder with ``transform.h5``, or any transform file that ITK reads
        (.tfm, .txt, .mat, .xfm). With a JSON of ours beside it the numbers are exactly those that were saved.

    Raises
    ------
    ValueError
        If the file is missing, unreadable, or does not belong to the JSON beside it.
    """
    transform = load_unlogged(path)
    log.info("read %s: %s", path, _kinds(transform))
    return transform


def load_unlogged(path: Path | str) -> Transform:
    """`load_transform` without a record in the log, for whoever reads the same files over and over."""
    check_utf8(Path(path))
    path = _transform_path(Path(path))
    record = load_record(path)
    if record is None:
        return _from_itk(_read(path))
    members = record["members"]
    natives: list[Any] = [None] * len(members)
    if record["h5"]["exact"] == "everywhere":
        if _sha256(path) != record["h5"]["sha256"]:
            raise ValueError(
                f"{path.name} is not the file that {path.stem}.json describes; "
                "restore it, or remove the JSON."
            )
        natives = _flattened(_read(path))
    return chain(*(_from_record(m, native) for m, native in zip(members, natives, strict=True)))


def _kinds(transform: Transform) -> str:
    """What a transform is made of, for the log."""
    members = transform.members if isinstance(transform, Composite) else (transform,)
    return " + ".join(type(member).__name__ for member in members)


def load_record(path: Path | str) -> dict[str, Any] | None:
    """The JSON that belongs to a transform file of ours, None where there is none."""
    side = _transform_path(Path(path)).with_suffix(".json")
    return _record(side) if side.exists() else None


def fixed_grid(record: Mapping[str, Any]) -> Grid:
    """The fixed image's grid from a record."""
    return grid_from_record(record["fixed grid"])


def _record(side: Path) -> dict[str, Any] | None:
    """A JSON file if it is one of ours."""
    try:
        record = json.loads(side.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{side.name} is damaged ({error}); remove it to read the .h5 alone.") from error
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def _transform_path(path: Path) -> Path:
    """The transform file behind a folder or a JSON."""
    if path.is_dir():
        path = path / "transform.h5"
    if path.suffix == ".json":
        path = path.with_suffix(".h5")
    if not path.exists():
        raise ValueError(
            f"There is no transform at {path}; give a .h5 file or a folder that holds transform.h5."
        )
    return path


def _read_whole(name: str, item: h5py.Dataset | h5py.Group) -> None:
    """Read what a file of HDF5 holds, and forget it."""
    if isinstance(item, h5py.Dataset):
        item[()]


def _from_record(record: Record, itk: Any) -> Transform:
    """One link of a chain; `itk` is its ITK transform where the .h5 holds the arrays."""
    kind = record["kind"]
    if kind not in READERS:
        raise ValueError(
            f"The record names an unknown kind of transform, {kind!r}; it needs a newer napari-voxreg."
        )
    return READERS[kind](record, itk)


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


def _read(path: Path) -> Any:
    """An ITK transform from a file."""
    import SimpleITK as sitk

    try:
        return sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path.name} is not a transform file that ITK can read; choose another.") from error


def _flattened(transform: Any) -> list[Any]:
    """The members of an ITK transform in our order, the first applied first."""
    import SimpleITK as sitk

    if transform.GetName() != "CompositeTransform":
        return [transform.Downcast()]
    composite = sitk.CompositeTransform(transform)
    count = composite.GetNumberOfTransforms()
    parts = [_flattened(composite.GetNthTransform(i)) for i in reversed(range(count))]
    return [member for part in parts for member in part]


def _from_itk(transform: Any) -> Transform:
    """Our transform from an ITK one without a record; its grids count as millimetres."""
    from ...transforms.itk import affine_from_itk, bspline_from_itk, displacement_from_itk

    members: list[Transform] = []
    for member in _flattened(transform):
        name = member.GetName()
        if member.IsLinear():
            members.append(Affine(affine_from_itk(member)))
        elif name == "BSplineTransform":
            members.append(BSpline(*bspline_from_itk(member)))
        elif name == "DisplacementFieldTransform":
            members.append(Displacement(*displacement_from_itk(member)))
        else:
            raise ValueError(f"ITK's {name} cannot be read; save it as a displacement field.")
    return chain(*members)
