"""Markups of Slicer (.mrk.json), of all versions of its schema."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from ...core.geometry import Array, unit_factor
from .fcsv import SYSTEMS, signs
from .values import Format, PointFile, in_millimetres, in_space, left_out

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def recognises(text: str) -> bool:
    """Whether a text looks like JSON; no other format of points is."""
    return re.match(r'\s*\{\s*("|$)', text) is not None


def _lists(text: str, name: str) -> list[Any]:
    """The lists of control points with their properties."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is damaged (it is not valid JSON); copy it again.") from error
    lists = held.get("markups") if isinstance(held, dict) else None
    if not isinstance(lists, list) or not all(
        isinstance(one, dict) and isinstance(one.get("controlPoints"), list) for one in lists
    ):
        raise ValueError(
            f"{name} is JSON without markups and control points; save the points in Slicer again."
        )
    return lists


def _placed(point: Any) -> bool:
    """Whether a control point counts; old versions say nothing of it."""
    return point.get("positionStatus", "defined") == "defined"


def read(text: str, name: str) -> PointFile:
    """The control points that are placed, with their labels, in millimetres."""
    points, labels, missing = [], [], 0
    for one in _lists(text, name):
        scale = _to_millimetres(one, name)
        try:
            kept = [point for point in one["controlPoints"] if _placed(point)]
            found = np.array([point["position"] for point in kept], dtype=float).reshape(len(kept), 3)
            if not np.isfinite(found).all():
                raise ValueError("not finite")
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name} has a control point without a position of three numbers; place it in Slicer."
            ) from error
        points.append(found * scale)
        labels += [str(point.get("label", "")).strip() for point in kept]
        missing += len(one["controlPoints"]) - len(kept)
    world = np.concatenate([np.empty((0, 3)), *points])[:, ::-1].copy()
    notes = left_out(name, missing, "not placed in Slicer")
    return PointFile(world, tuple(labels) if any(labels) else (), "millimeter", False, notes)


def _to_millimetres(one: dict[str, Any], name: str) -> Array:
    """What the positions of a list are multiplied by to be in LPS and millimetres, shape (3,)."""
    system = SYSTEMS.get(str(one.get("coordinateSystem", "LPS")).upper(), "")
    if system not in ("LPS", "RAS"):
        stated = str(one.get("coordinateSystem"))[:40]
        raise ValueError(f"{name} is in the coordinate system {stated}; save it in LPS or RAS.")
    return signs(system) * _millimetres(one.get("coordinateUnits", "mm"), name)


def _millimetres(stated: Any, name: str) -> float:
    """How many millimetres the unit of the coordinates is; new versions write a code first."""
    unit = stated[0] if isinstance(stated, list) and stated else stated
    try:
        return unit_factor(str(unit), "millimeter")
    except ValueError as error:
        raise ValueError(
            f"{name} has coordinates in {str(unit)[:40]}, which is no length; use mm."
        ) from error


def write(held: PointFile, like: str) -> str:
    """Points in LPS and millimetres; or another file with these coordinates."""
    points = in_space(in_millimetres(held))[:, ::-1]
    if like:
        return _rewritten(like, points)
    labels = held.labels or tuple(f"F-{k}" for k in range(1, len(points) + 1))
    controls = [
        {"id": str(k), "label": label, "position": point, "positionStatus": "defined"}
        for k, (point, label) in enumerate(zip(points.tolist(), labels, strict=True), 1)
    ]
    markups = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "controlPoints": controls,
    }
    return json.dumps({"@schema": SCHEMA, "markups": [markups]}, indent=2) + "\n"


def _rewritten(like: str, points: Array) -> str:
    """A file with other positions, given as x, y and z in LPS and millimetres, of the points that are placed.

    They are written in the file's own system and unit, which the rest of it, such as orientations, is in.
    """
    held, new = json.loads(like), iter(points)
    for one in held["markups"]:
        scale = _to_millimetres(one, "the file")
        for control in one["controlPoints"]:
            if _placed(control):
                control["position"] = (next(new) / scale).tolist()
    return json.dumps(held, indent=2) + "\n"


MARKUPS = Format("Slicer markups", (".mrk.json", ".json"), recognises, read, write)
