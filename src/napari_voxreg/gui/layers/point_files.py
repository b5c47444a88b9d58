"""Files of points as Points layers, and Points layers as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Points

from ...core.geometry import Array, Grid, apply_affine, unit_factor
from ...io.points import (
    PointFile,
    common_labels,
    holds_pairs,
    holds_points,
    points_ending,
    read_point_file,
    read_point_pairs,
    write_points,
)
from .placement import LayerData
from .snapshots import NOTES, data_to_world

LABEL, NUMBER = "label", "number"  # features of points: their names, and by which they are paired
LANDMARKS = "voxreg landmarks"  # of a layer's metadata: on which image its points lie
SYMBOLS = {"fixed": "ring", "moving": "cross"}
SHARE = 0.025  # size of a point, relative to the longest side of what the points cover or lie on
SEEN = (12, 30)  # and on the screen, in pixels
NAPARIS = b"axis-0"  # a heading of the tables that napari reads itself


def world_of(viewer: ViewerModel | None) -> Grid | None:
    """The last axes of a viewer's world and their units; None without layers, or with units of two kinds."""
    if viewer is None or not len(viewer.layers) or viewer.dims.units is None:
        return None
    ndim = min(3, viewer.dims.ndim)
    units = tuple(str(unit) for unit in viewer.dims.units[-ndim:])
    return Grid.from_spacing((1,) * ndim, units=units) if len(set(units)) == 1 else None


def opens_as_points(path: Path) -> bool:
    """Whether a file holds points that napari does not open itself."""
    if points_ending(path) not in (".csv", ".tsv"):
        return holds_points(path)
    try:
        if holds_pairs(path):
            return True
        with path.open("rb") as file:
            head = file.readline()
        return NAPARIS not in head and read_point_file(path).points.shape[1] in (2, 3)
    except ValueError:
        return False


def points_layers(path: Path, world: Grid | None = None) -> list[LayerData]:
    """A file as a Points layer, or pairs as one for each image; the labels are a feature.

    Parameters
    ----------
    path : Path
        See `read_point_file` and `read_point_pairs`.
    world : Grid, optional
        See `world_of`; the points get its units.

    Raises
    ------
    ValueError
        If the file cannot be read; in one sentence.
    """
    name = path.name[: len(path.name) - len(points_ending(path))]
    if holds_pairs(path):
        pairs = read_point_pairs(path)
        return [
            _layer(
                PointFile(points, pairs.labels, notes=pairs.notes), f"{name} {which} landmarks", world, which
            )
            for which, points in (("fixed", pairs.fixed), ("moving", pairs.moving))
        ]
    single = read_point_file(path)
    if not single.points.shape[1]:
        raise ValueError(f"{path.name} holds no points; choose another file.")
    return [_layer(single.on(None if single.indices else world, path.name), name, world)]


def _layer(held: PointFile, name: str, world: Grid | None, which: str = "") -> LayerData:
    """Points in the world as a layer."""
    ndim = held.points.shape[1]
    units = (held.unit or "pixel",) * ndim if world is None else (world.units[-1],) * ndim
    metadata: dict[str, Any] = {NOTES: held.notes}
    keywords: dict[str, Any] = {}
    if which:
        metadata[LANDMARKS] = which
        keywords["symbol"] = SYMBOLS[which]
    if held.labels:
        keywords["features"] = {LABEL: list(held.labels)}
        keywords["text"] = {"string": f"{{{LABEL}}}", "color": "#ffffff", "size": 10, "anchor": "upper_left"}
    extent = float(np.ptp(held.points, axis=0).max()) if len(held.points) else 0.0
    keywords |= {
        "name": name,
        "metadata": metadata,
        "units": units,
        "size": SHARE * extent or 1.0,
        "face_color": "#d9480f",  # white labels can be read on it
        "border_width": 0,
        "canvas_size_limits": SEEN,
    }
    return held.points, keywords, "points"


def write_points_layer(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a Points layer in world coordinates, with its labels; a writer for napari.

    Parameters
    ----------
    path : str
        Ending in .fcsv, .mrk.json or .txt (elastix).
    data : array_like, shape (N, n)
        The layer's points; the last three axes are written.
    meta : dict
        The layer's attributes as napari gives them to a writer.

    Raises
    ------
    OSError
        If the format cannot hold the layer.
    """
    placed = {
        key: meta[key] for key in ("scale", "translate", "rotate", "shear", "affine", "units") if key in meta
    }
    layer = Points(np.asarray(data, dtype=float), features=meta.get("features"), **placed)
    try:
        written = write_points(world_points(layer), Path(path))
    except ValueError as error:  # napari would silently take a ValueError for a missing writer
        raise OSError(str(error)) from error
    return [str(written)]


def world_points(layer: Points) -> PointFile:
    """The points of a layer along the last three axes of the world, with their labels.

    Raises
    ------
    ValueError
        If the axes have units of two kinds.
    """
    units = [str(unit) for unit in layer.units][-3:]
    world: Array = apply_affine(data_to_world(layer), np.reshape(layer.data, (-1, layer.ndim)))[:, -3:]
    factors = [unit_factor(unit, units[-1]) for unit in units]
    return PointFile(world * factors, labels_of(layer), units[-1])


def labels_of(layer: Points) -> tuple[str, ...]:
    """The names of a layer's points, else their numbers; empty where they have neither."""
    names = names_of(layer)
    if any(names):
        return tuple(names)
    if NUMBER in layer.features:
        return tuple(f"{number:.0f}" for number in layer.features[NUMBER].astype(float))
    return ()


def names_of(layer: Points) -> Array:
    """The labels of a layer's points, (N,); empty texts for those without one."""
    if LABEL not in layer.features:
        return np.full(len(layer.data), "", dtype=object)
    return np.array([text if isinstance(text, str) else "" for text in layer.features[LABEL]], dtype=object)


def same_labels(first: Points, second: Points) -> tuple[list[int], list[int]] | None:
    """Which points of two layers have one label, in the order of the first; None where labels name none."""
    names = [list(names_of(layer)) for layer in (first, second)]
    common = common_labels(*names)
    return (
        ([names[0].index(one) for one in common], [names[1].index(one) for one in common]) if common else None
    )
