"""Transforms on disk: ITK's own format, and a JSON record beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.geometry import Array, Grid
from ...transforms import (
    Affine,
    BSpline,
    Composite,
    Displacement,
    Homography,
    Quadratic,
    StationaryVelocity,
    ThinPlate,
    Transform,
    chain,
)
from ...transforms.base import is_native
from ..files import replace_file

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

FORMAT = "napari-voxreg transform"
RECORDED = ("napari-voxreg", "numpy", "scipy", "scikit-image", "SimpleITK", "itk-elastix", "napari")


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
    members = transform.members if isinstance(transform, Composite) else (transform,)
    exact = all(is_native(member) for member in members)
    path.parent.mkdir(parents=True, exist_ok=True)

    def write(target: Path) -> None:
        import SimpleITK as sitk

        sitk.WriteTransform(transform.to_itk(grid), str(target))

    replace_file(path, write)
    description = {
        "format": FORMAT,
        "version": 1,
        "maps": "world points of the fixed image to world points of the moving image",
        "axis order": "array axes: (row, column) or (plane, row, column)",
        "units": list(grid.units),
        "fixed grid": _grid_to_json(grid),
        "h5": {
            "file": path.name,
            "sha256": _sha256(path),
            "exact": "everywhere" if exact else "at the nodes of the fixed grid",
        },
        "members": [_member_to_json(member, inline=not exact) for member in members],
        "software": software(),
        **(record or {}),
    }
    text = json.dumps(description, indent=1)
    replace_file(path.with_suffix(".json"), partial(Path.write_bytes, data=text.encode()))
    log.info("wrote %s and %s: %s", path, path.with_suffix(".json").name, _kinds(transform))
    return path


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
    return chain(*(_member_from_json(m, native) for m, native in zip(members, natives, strict=True)))


def _kinds(transform: Transform) -> str:
    """What a transform is made of, for the log."""
    members = transform.members if isinstance(transform, Composite) else (transform,)
    return " + ".join(type(member).__name__ for member in members)


def load_record(path: Path | str) -> dict[str, Any] | None:
    """The JSON that belongs to a transform file of ours, None where there is none."""
    side = _transform_path(Path(path)).with_suffix(".json")
    if not side.exists():
        return None
    try:
        record = json.loads(side.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{side.name} is damaged ({error}); remove it to read the .h5 alone.") from error
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def fixed_grid(record: Mapping[str, Any]) -> Grid:
    """The fixed image's grid from a record."""
    return _grid_from_json(record["fixed grid"])


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


def _array_to_json(array: Array) -> dict[str, Any]:
    """An array, bit for bit."""
    data = np.ascontiguousarray(array, dtype="<f8")
    return {"shape": list(data.shape), "float64": base64.b64encode(data.tobytes()).decode("ascii")}


def _array_from_json(value: Mapping[str, Any]) -> Array:
    return np.frombuffer(base64.b64decode(value["float64"]), dtype="<f8").reshape(value["shape"])


def _grid_to_json(grid: Grid) -> dict[str, Any]:
    return {"shape": list(grid.shape), "affine": grid.affine.tolist(), "units": list(grid.units)}


def _grid_from_json(value: Mapping[str, Any]) -> Grid:
    return Grid(tuple(value["shape"]), np.array(value["affine"]), tuple(value["units"]))


def _member_to_json(member: Transform, inline: bool) -> dict[str, Any]:
    """One member; the arrays of ITK's own kinds are in the .h5 unless `inline`."""
    if isinstance(member, Affine):
        return {"kind": "affine", "matrix": member.matrix.tolist()}
    if isinstance(member, Homography):
        return {"kind": "homography", "matrix": member.matrix.tolist()}
    if isinstance(member, Quadratic):
        return {
            "kind": "quadratic",
            "coefficients": member.coefficients.tolist(),
            "centre": member.centre.tolist(),
            "scale": member.scale,
        }
    if isinstance(member, BSpline):
        arrays = {"coefficients": _array_to_json(member.coefficients)} if inline else {}
        return {"kind": "bspline", "grid": _grid_to_json(member.grid), **arrays}
    if isinstance(member, Displacement):
        arrays = {"field": _array_to_json(member.field)} if inline else {}
        error = member.inverse_error
        return {"kind": "displacement", "grid": _grid_to_json(member.grid), "inverse error": error, **arrays}
    if isinstance(member, StationaryVelocity):
        return {
            "kind": "stationary velocity",
            "grid": _grid_to_json(member.grid),
            "steps": member.steps,
            "velocity": _array_to_json(member.velocity),
        }
    if isinstance(member, ThinPlate):
        return {
            "kind": "thin plate",
            "smoothing": member.smoothing,
            "fixed points": member.fixed_points.tolist(),
            "moving points": member.moving_points.tolist(),
        }
    raise ValueError(f"A {type(member).__name__} cannot be saved; convert it to a Displacement.")


def _member_from_json(value: Mapping[str, Any], native: Any) -> Transform:
    """One member; `native` is its ITK transform where the arrays are in the .h5."""
    from ...transforms.itk import bspline_from_itk, displacement_from_itk

    kind = value["kind"]
    if kind == "affine":
        return Affine(np.array(value["matrix"]))
    if kind == "homography":
        return Homography(np.array(value["matrix"]))
    if kind == "quadratic":
        return Quadratic(np.array(value["coefficients"]), np.array(value["centre"]), value["scale"])
    if kind == "thin plate":
        return ThinPlate(
            np.array(value["fixed points"]), np.array(value["moving points"]), value["smoothing"]
        )
    grid = _grid_from_json(value["grid"])
    if kind == "bspline":
        inline = value.get("coefficients")
        return BSpline(_array_from_json(inline) if inline else bspline_from_itk(native)[0], grid)
    if kind == "displacement":
        inline = value.get("field")
        field = _array_from_json(inline) if inline else displacement_from_itk(native)[0]
        return Displacement(field, grid, value["inverse error"])
    if kind == "stationary velocity":
        return StationaryVelocity(_array_from_json(value["velocity"]), grid, value["steps"])
    raise ValueError(
        f"The record names an unknown kind of transform, {kind!r}; it needs a newer napari-voxreg."
    )
