"""OME-Zarr 0.4 and 0.5, read lazily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.geometry import Grid, Image, unit_factor
from ..io.guards import reading
from ..io.tiff import TIME
from ..io.units import length_named
from .image import LargeImage, arranged
from .library import the_zarr
from .stored import lazily

METADATA = (".zgroup", ".zattrs", ".zarray", "zarr.json")
COUNTED = 100_000  # stored pieces up to which missing ones are counted


def is_zarr(path: Path) -> bool:
    """Whether a folder is a group of Zarr."""
    return bool(_metadata(path))


def read_ome_zarr(path: Path) -> LargeImage:
    """Open an image of OME-Zarr 0.4 or 0.5, with the labels that belong to it.

    Parameters
    ----------
    path : Path
        The folder of an image, or of one written by bioformats2raw, of which the first image is taken.

    Raises
    ------
    ValueError
        If it is no such image, an axis is of unknown kind, or a level is missing; in one sentence.
    """
    with reading(path, "its metadata are damaged; write it again as OME-Zarr 0.4 or 0.5"):
        group = the_zarr().open_group(path, mode="r")
        attributes = _attributes(group)
        if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
            group = group["0"]
            attributes = _attributes(group)
    if "plate" in attributes:
        raise ValueError(f"{path.name} is a plate; choose one of its images, such as {path.name}/A/1/0.")
    if not attributes.get("multiscales"):
        raise ValueError(f"{path.name} is no image of OME-Zarr; choose a folder that lists multiscales.")
    return _of_group(group, attributes["multiscales"][0], path, path.name)


def _attributes(group: Any) -> dict[str, Any]:
    """What OME-Zarr says of a group: under `ome` from 0.5 on."""
    attributes = dict(group.attrs)
    return dict(attributes.get("ome", attributes))


def _of_group(group: Any, multiscale: Mapping[str, Any], path: Path, name: str) -> LargeImage:
    """The image of a group and of its first entry of `multiscales`."""
    axes = _axes(multiscale.get("axes"), name)
    notes: list[str] = []
    levels: list[Image] = []
    for dataset in multiscale.get("datasets", ()):
        with reading(path, f"its level {dataset.get('path')} is missing or damaged; copy it again"):
            array = group[dataset["path"]]
            stored = array.shards or array.chunks
        if array.ndim != len(axes):
            raise ValueError(f"{name} names {len(axes)} axes and stores {array.ndim}; write it again.")
        missing = _missing(array, name, dataset["path"])
        notes += [missing] if missing else []
        steps = [dataset.get("coordinateTransformations"), multiscale.get("coordinateTransformations")]
        scale, start = _placed(steps, len(axes), name)
        letters = "".join(axis["letter"] for axis in axes)
        data, kept = arranged(lazily(array, stored, path), letters, name)
        at = [letters.index(letter) for letter in kept]
        units, factors = _units([axes[k] for k in at], name, notes)
        affine = np.diag([*(scale[at] * factors), 1.0])
        affine[:-1, -1] = start[at] * factors
        levels.append(Image(data, Grid(data.shape[: len(kept)], affine, units), name))
    if not levels:
        raise ValueError(f"{name} lists no levels; write it again as OME-Zarr 0.4 or 0.5.")
    written = [f for d in ("", *(x["path"] for x in multiscale["datasets"])) for f in _metadata(path / d)]
    identity = f"{path.resolve()} {[file.stat().st_mtime_ns for file in written]}"
    return LargeImage(tuple(levels), name, _labels(group, path), tuple(dict.fromkeys(notes)), identity)


def _axes(given: Any, name: str) -> list[dict[str, str]]:
    """The axes with their letters: t, c, or the name of an axis in space."""
    if not isinstance(given, Sequence) or not all(isinstance(a, Mapping) and "name" in a for a in given):
        raise ValueError(
            f"{name} does not name its axes as OME-Zarr 0.4 and 0.5 do; write it again in one of them."
        )
    letters = {"time": "t", "channel": "c"}
    return [
        {**axis, "letter": letters.get(str(axis.get("type")), str(axis["name"])[:1].lower() or "?")}
        for axis in given
    ]


def _placed(transformations: Sequence[Any], ndim: int, name: str) -> tuple[Any, Any]:
    """Scale and translation of a level: its own steps, then those of all levels."""
    scale, start = np.ones(ndim), np.zeros(ndim)
    for step in (step for steps in transformations for step in steps or ()):
        values = np.asarray(step.get(step.get("type"), ()), dtype=float)
        if values.shape != (ndim,) or step["type"] not in ("scale", "translation"):
            raise ValueError(
                f"{name} is placed by something else than scale and translation; write it again with these."
            )
        if step["type"] == "scale":
            scale, start = scale * values, start * values
        else:
            start = start + values
    return scale, start


def _units(axes: Sequence[Mapping[str, str]], name: str, notes: list[str]) -> tuple[tuple[str, ...], Any]:
    """Units of the axes, and factors for those of time, which become seconds."""
    units, factors = [], np.ones(len(axes))
    for k, axis in enumerate(axes):
        given = axis.get("unit")
        if axis["letter"] == "t":
            units.append(TIME)
            factors[k] = 1.0 if given is None else unit_factor(str(given), TIME)
            continue
        unit = "pixel" if given is None else length_named(str(given))
        if unit is None:
            notes.append(f"{name} has the unit {str(given)[:40]!r}, no known length; it counts in pixels.")
        units.append(unit or "pixel")
    return tuple(units), factors


def _missing(array: Any, name: str, level: str) -> str:
    """A note on pieces that are not stored: Zarr leaves out those that hold its fill value alone."""
    count = array.nchunks
    if count > COUNTED or (there := array.nchunks_initialized) == count:
        return ""
    fill = array.fill_value or 0
    return f"{count - there} of {count} pieces of level {level} of {name} are not stored and count as {fill}."


def _labels(group: Any, path: Path) -> dict[str, LargeImage]:
    """The label images in the group `labels`."""
    if "labels" not in group:
        return {}
    found = {}
    inside = group["labels"]
    for label in _attributes(inside).get("labels", ()):
        multiscales = _attributes(inside[label]).get("multiscales")
        if multiscales:
            place = path / "labels" / label
            one = _of_group(inside[label], multiscales[0], place, f"{label} of {path.name}")
            found[str(label)] = one.with_pyramid(labels=True)
    return found


def _metadata(path: Path) -> list[Path]:
    """The files in which Zarr describes a group or an array."""
    return [path / name for name in METADATA if (path / name).is_file()]
