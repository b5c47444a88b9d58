"""Arrays and grids in JSON, bit for bit."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.geometry import Array, Grid, is_plain_unit

MOST_PIXELS = 2**40  # images larger than memory have grids, too; no more than a million along two axes


def array_to_record(array: Array) -> dict[str, Any]:
    """An array of float64 as base64, with its shape."""
    data = np.ascontiguousarray(array, dtype="<f8")
    return {"shape": list(data.shape), "float64": base64.b64encode(data.tobytes()).decode("ascii")}


def array_from_record(record: Mapping[str, Any]) -> Array:
    """The array, float64."""
    return np.frombuffer(base64.b64decode(record["float64"]), dtype="<f8").reshape(record["shape"])


def grid_to_record(grid: Grid) -> dict[str, Any]:
    """A grid's shape, affine and units, and its coordinate reference system if it has one."""
    crs = {} if grid.crs is None else {"crs": grid.crs}
    return {"shape": list(grid.shape), "affine": grid.affine.tolist(), "units": list(grid.units), **crs}


def grid_from_record(record: Mapping[str, Any]) -> Grid:
    """The grid.

    Raises
    ------
    ValueError
        If a value is missing or of the wrong type.
    """
    shape, affine, units = (record.get(key) for key in ("shape", "affine", "units"))
    if not (isinstance(shape, list) and isinstance(affine, list) and isinstance(units, list)):
        raise ValueError(f"A grid needs the lists shape, affine and units, not {str(record)[:60]}.")
    crs = record.get("crs")
    if not isinstance(crs, str | None):
        raise ValueError(f"A grid's crs must be text such as EPSG:32633, not {str(crs)[:60]}.")
    if not all(type(n) is int for n in shape):
        raise ValueError(f"A grid's shape must be whole numbers, not {str(shape)[:60]}.")
    if math.prod(shape) > MOST_PIXELS:
        raise ValueError(f"A grid of {str(shape)[:60]} pixels is larger than any image that can be read.")
    try:
        grid = Grid(tuple(shape), np.array(affine, dtype=float), tuple(units), crs)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"A grid's affine must be numbers, not {str(affine)[:60]}.") from error
    for unit in units:
        if not is_plain_unit(unit):
            raise ValueError(f"{str(unit)[:40]!r} is not the name of a unit; write one such as millimeter.")
    return grid
