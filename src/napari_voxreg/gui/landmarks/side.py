"""One of the two images with its landmarks, and the way between the viewer, the layers and the world."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Points

from ...core.geometry import Array, Grid, Image, apply_affine, unit_factor
from ...images.preprocess import driving_channel
from ..layers.point_files import NUMBER
from ..layers.snapshots import LayerSnapshot, data_to_world, on_layer, points_from_layer, snapshot


class Side:
    """An image layer and the Points layer of its landmarks.

    World coordinates are those of the image without its one-pixel-thin axes, in the units of the fixed one.

    Parameters
    ----------
    viewer : napari viewer
    image : napari.layers.Image
    points : napari.layers.Points
        With a feature "number".
    like : Grid or None
        The fixed image's grid, whose units count; None for the fixed image itself.
    """

    def __init__(
        self, viewer: ViewerModel, image: ImageLayer, points: Points, like: Grid | None = None
    ) -> None:
        self.viewer, self.image, self.points, self.like = viewer, image, points, like

    def forget(self) -> None:
        """Look again where the image lies."""
        for name in ("grid", "factors", "axes", "_whole", "_spatial", "_thin"):
            self.__dict__.pop(name, None)

    @property
    def taken(self) -> LayerSnapshot:
        """The image as it lies now."""
        return snapshot(self.image, self.viewer)

    # What takes a moment is kept, since a point that is dragged asks for it at each step.

    @cached_property
    def grid(self) -> Grid:
        """Where the image's pixels lie."""
        return self._flat(self._whole)

    @cached_property
    def factors(self) -> Array:
        """How many units of the fixed image one unit of this image is, along each axis."""
        own = self._whole.without(self._whole.thin_axes()).units
        return np.array([unit_factor(a, b) for a, b in zip(own, self.grid.units, strict=True)])

    @property
    def numbers(self) -> Array:
        """The numbers of the points, (N,), in the layer's order."""
        return numbers_of(self.points)

    @property
    def world(self) -> Array:
        """World coordinates of all points, (N, d), in the layer's order."""
        whole = self._whole
        grid = whole if self.like is None else whole.in_world_of(self.like)
        return points_from_layer(self.points, grid)

    def from_file(self, points: Array) -> Array:
        """World points of a file (N, d), in the image's own units, with or without its thin axes."""
        if not len(points):
            return np.empty((0, self.grid.ndim))
        whole = self._whole
        flat = whole.flat_points(points) if points.shape[1:] == (whole.ndim,) else points
        if flat.shape[1] != self.grid.ndim:
            raise ValueError(
                f"The points are {points.shape[1]}D and the images {self.grid.ndim}D; open others."
            )
        return flat * self.factors

    @property
    def own_grid(self) -> Grid:
        """The image's grid with its one-pixel-thin axes, in its own units."""
        return self._whole

    @property
    def file_grid(self) -> Grid:
        """The same with the axes of the image's file, along which indices in other files count."""
        return self.taken.file_grid()

    def pixels(self, taken: LayerSnapshot) -> Image:
        """One channel of the image, read from a snapshot; may be called in a worker."""
        image = taken.image()
        grid = self._flat(image.grid)
        return driving_channel(image.without(image.grid.thin_axes()).with_grid(grid))

    def _flat(self, whole: Grid) -> Grid:
        flat = whole.without(whole.thin_axes())
        return flat if self.like is None else flat.in_world_of(self.like)

    def to_data(self, world: Array) -> Array:
        """World points (N, d) in the coordinates of the Points layer, (N, n), at the viewer's position."""
        here = on_layer(self.points, self.viewer.dims.point, self.viewer)
        places = np.tile(here, (len(world), 1))
        for k, (axis, unit) in enumerate(zip(self.axes, self.grid.units, strict=True)):
            places[:, axis] = world[:, k] * unit_factor(unit, str(self.points.units[axis]))
        for axis, value, unit in self._thin:
            places[:, axis] = value * unit_factor(unit, str(self.points.units[axis]))
        matrix: Array = np.linalg.inv(data_to_world(self.points))
        return apply_affine(matrix, places)

    def from_view(self, position: Any) -> Array:
        """A position of the mouse, in the viewer's world, as a world point (d,)."""
        place = on_layer(self.points, position, self.viewer)
        return np.array(
            [
                place[axis] * unit_factor(str(self.points.units[axis]), unit)
                for axis, unit in zip(self.axes, self.grid.units, strict=True)
            ]
        )

    def to_view(self, world: Array) -> Array:
        """A world point (d,) in the viewer's world, along all its axes, in its units."""
        dims = self.viewer.dims
        place = np.array(dims.point, dtype=float)
        for axis, value, unit in zip(self.axes, world, self.grid.units, strict=True):
            shown = unit if dims.units is None else str(dims.units[axis])
            place[axis] = value * unit_factor(unit, shown)
        return place

    @cached_property
    def axes(self) -> list[int]:
        """The world axes of the viewer, counted from the last, that the grid has."""
        thin = self._whole.thin_axes()
        return [axis for k, axis in enumerate(self._spatial) if k not in thin]

    @cached_property
    def _whole(self) -> Grid:
        """The image's grid with its one-pixel-thin axes, in its own units."""
        return self.taken.grid()

    @cached_property
    def _spatial(self) -> list[int]:
        """The world axes of the image that are registered, counted from the last."""
        taken = self.taken
        return [axis - taken.ndim for axis in taken.spatial]

    @cached_property
    def _thin(self) -> list[tuple[int, float, str]]:
        """The one-pixel-thin axes, counted from the last, with the image's place along them and its unit."""
        grid = self._whole
        return [
            (axis, float(grid.origin[k]), grid.units[k])
            for k in grid.thin_axes()
            if (axis := self._spatial[k]) >= -self.points.ndim
        ]


def numbers_of(points: Points) -> Array:
    """The numbers of a layer's points, (N,)."""
    return np.asarray(points.features[NUMBER], dtype=float).astype(int)
