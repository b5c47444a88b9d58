"""Where the layers of a result lie, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel

from ...core.geometry import Array
from ...registration.result import Result
from .snapshots import CRS, LayerSnapshot

LayerData = tuple[Any, dict[str, Any], str]
RESULT = "voxreg result"  # of a layer's metadata: what it shows, so that it can be saved with it
NAME = 24  # characters of a layer's name kept in the names of its results


class Placement:
    """Placement of a result's layers: the registered grid, and the axes of the fixed layer that it has."""

    def __init__(
        self, result: Result, fixed: LayerSnapshot, moving: LayerSnapshot, number: int | None
    ) -> None:
        self.grid, self.axes = fixed.flat(result.transform.ndim)
        self.ndim = fixed.ndim
        self.through = tuple(fixed.current[axis] for axis in self.axes)
        self.pair = pair_name(moving.name, fixed.name)
        self.number = number
        self.placement = fixed.placement
        self.crs = {} if fixed.crs is None else {CRS: fixed.crs}
        self.result = replace(result, fixed_image=None, moving_image=None)
        self.metadata = {**result.to_dict(), "units": list(self.grid.units)}

    def array(self, data: Array) -> Array:
        """Pixels on the flat grid with the fixed layer's other axes, one pixel long."""
        return np.expand_dims(data, [k for k in range(self.ndim) if k not in self.axes])

    def points(self, points: Array) -> Array:
        """Pixel coordinates (..., d) with zeros along the other axes, (..., n)."""
        whole = np.zeros((*points.shape[:-1], self.ndim))
        whole[..., self.axes] = points
        return whole

    def keywords(self, kind: str, what: str = "", **more: Any) -> dict[str, Any]:
        """Keyword arguments that all result layers have, with more."""
        known = {"layer": what or "warped", "kind": kind, "number": self.number}
        name = f"{self.pair} {what}".rstrip()
        if self.number is not None:
            # What tells the layers apart comes first: napari's list cuts the end.
            name = f"{self.number} {self.metadata['method']} {what or 'warped'}: {self.pair}"
        metadata = {"voxreg": {**self.metadata, **known}, RESULT: self.result, **self.crs}
        return {"name": name, "metadata": metadata, **self.placement, **more}

    def map(self, data: Array, kind: str, what: str, limits: tuple[float, float], colormap: Any) -> LayerData:
        """A map over the fixed image, opaque."""
        return (
            self.array(data),
            self.keywords(kind, what, rgb=False, colormap=colormap, contrast_limits=limits),
            "image",
        )


def over_axes(matrix: Array, axes: Sequence[int], factors: Sequence[float] | Array, ndim: int) -> Array:
    """A map of a transform's world as one of a layer's whole world, in the layer's units.

    Parameters
    ----------
    matrix : ndarray, shape (d + 1, d + 1)
        In the world of the transform.
    axes : sequence of int
        The layer's axes that the transform has.
    factors : sequence of float
        How many units of the transform one unit of the layer is, along these axes.
    ndim : int
        Number of axes of the layer, n.

    Returns
    -------
    ndarray, shape (n + 1, n + 1)
        That moves nothing along the other axes.
    """
    units = np.diag([*factors, 1.0])
    whole = np.eye(ndim + 1)
    whole[np.ix_([*axes, ndim], [*axes, ndim])] = np.linalg.inv(units) @ matrix @ units
    return whole


def stays_in_slices(matrix: Array, viewer: ViewerModel) -> bool:
    """Whether napari draws a layer that is moved by this map (n + 1, n + 1) of its world.

    It draws slices of a layer only where nothing rotates out of them.
    """
    dims, n = viewer.dims, len(matrix) - 1
    if dims.ndisplay == 3:
        return True
    shown = [axis for axis in range(n) if axis - n + dims.ndim in dims.displayed]
    hidden = [axis for axis in range(n) if axis not in shown]
    mixed = np.abs(
        np.concatenate([matrix[np.ix_(shown, hidden)].ravel(), matrix[np.ix_(hidden, shown)].ravel()])
    )
    return bool(mixed.max(initial=0.0) < 1e-9 * np.abs(matrix[:-1, :-1]).max())


def pair_name(moving: str, fixed: str) -> str:
    """The name "moving > fixed" of results; long names are reduced to the words in which they differ."""
    words = moving.split(), fixed.split()
    if len(moving) + len(fixed) > NAME:
        for end in (0, -1):
            while min(map(len, words)) > 1 and words[0][end] == words[1][end]:
                for half in words:
                    half.pop(end)
    return " > ".join(
        name if len(name) <= NAME else name[: NAME - 1] + "…" for name in (" ".join(half) for half in words)
    )
