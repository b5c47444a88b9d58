"""napari layers as images, masks and points, and grids as napari's keyword arguments.

A snapshot is taken on the main thread and holds references and matrices only; its pixels are read where
`LayerSnapshot.image` is called, so that lazy data (dask, zarr) is computed in the worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer, Points, Shapes
from napari.utils.transforms import CompositeAffine

from ...core.geometry import Array, Grid, Image, apply_affine, unit_factor
from ...core.pixels import counted, with_opacity
from .outlines import ellipse

AXES = ("z", "y", "x")
CHANNELS = frozenset({"c", "channel"})
STEPPED = CHANNELS | {"t", "time", "frame"}
APPEARANCE = ("colormap", "contrast_limits", "gamma")
CRS, NOTES = "voxreg crs", "voxreg notes"  # of a layer's metadata: `Grid.crs` and `Image.notes`
FILE_AXES = "voxreg file axes"  # and `LayerSnapshot.file_axes`


@dataclass(frozen=True, eq=False)
class LayerSnapshot:
    """The data of an Image or Labels layer that a run needs, safe to pass to another thread.

    Parameters
    ----------
    name : str
        The layer's name.
    levels : tuple of array-like
        The pixels, finest first; one entry unless the layer is multiscale. References, never modified.
    affine : ndarray, shape (n + 1, n + 1)
        From data to world, over all n axes of the layer, in the layer's own units.
    units : tuple of str
        Of all axes.
    spatial : tuple of int
        The two or three axes that are registered.
    current : tuple of int
        The viewer's position: the index along every axis of the layer, at full resolution.
    rgb, labels : bool
        Whether colour channels come last, and whether the pixels are labels.
    placement : mapping
        Keyword arguments that place a layer of n axes, one pixel long along those that are not spatial.
    appearance : mapping
        Colormap, and the contrast limits and gamma of an Image layer.
    crs : str or None
        The coordinate reference system of a map.
    notes : tuple of str
        What the layer's file says that a user should know.
    file : str or None
        From which the layer was read.
    file_axes : ndarray, shape (4, 4), or None
        From an index of a volume's file to that of the layer, whose axes may have been reordered.
    """

    name: str
    levels: tuple[Any, ...]
    affine: Array
    units: tuple[str, ...]
    spatial: tuple[int, ...]
    current: tuple[int, ...]
    rgb: bool
    labels: bool
    placement: Mapping[str, Any]
    appearance: Mapping[str, Any]
    crs: str | None = None
    notes: tuple[str, ...] = ()
    file: str | None = None
    file_axes: Array | None = None

    @property
    def ndim(self) -> int:
        """Number of axes of the layer, channels not counted."""
        return len(self.units)

    @property
    def steps(self) -> dict[int, int]:
        """The current index along the axes that are not registered (time)."""
        return {k: index for k, index in enumerate(self.current) if k not in self.spatial}

    def grid(self, level: int = 0) -> Grid:
        """Where the pixels of a level lie, in the layer's own units.

        A pixel of a coarse level covers several fine ones, so its centre is shifted inwards accordingly;
        napari draws it there too.
        """
        axes = list(self.spatial)
        world = np.eye(len(axes) + 1)
        world[:-1, :-1] = self.affine[np.ix_(axes, axes)]
        world[:-1, -1] = self.affine[axes, -1]
        for axis, index in self.steps.items():
            world[:-1, -1] += self.affine[axes, axis] * index
        factors = self._factors(level)[axes]
        coarse = np.diag([*factors, 1.0])
        coarse[:-1, -1] = (factors - 1) / 2
        shape = tuple(self.levels[level].shape[k] for k in axes)
        return Grid(shape, world @ coarse, tuple(self.units[k] for k in axes), self.crs)

    def file_grid(self) -> Grid:
        """The grid of the pixels in the order of the layer's file, where the layer lies now."""
        grid = self.grid()
        if self.file_axes is None or self.file_axes.shape != grid.affine.shape:
            return grid
        shape = np.abs(self.file_axes[:-1, :-1]).T @ grid.shape
        return replace(grid, shape=tuple(shape.astype(int)), affine=grid.affine @ self.file_axes)

    def flat(self, ndim: int) -> tuple[Grid, list[int]]:
        """The grid of a transform with so many axes, without thin ones, and the layer's axes that it has."""
        grid = self.grid()
        thin = grid.thin_axes() if grid.ndim > ndim else ()
        return grid.without(thin), [axis for k, axis in enumerate(self.spatial) if k not in thin]

    def image(self, level: int = 0) -> Image:
        """The pixels of a level; lazy data is computed here."""
        factors = self._factors(level)
        pixels = self.levels[level]
        at: list[slice | int] = [slice(None)] * pixels.ndim
        for axis, index in self.steps.items():
            coarse = round((index + 0.5) / factors[axis] - 0.5)
            at[axis] = min(max(coarse, 0), pixels.shape[axis] - 1)
        data: Array = np.asarray(pixels[tuple(at)])
        if self.rgb and data.shape[-1] == 4:
            data = with_opacity(data)
        return Image(data, self.grid(level), self.name, self.notes)

    def mask(self, grid: Grid) -> Image:
        """Where the pixels are not zero, on the layer's own grid; `grid` is not needed."""
        image = self.image()
        data = counted(image.data)
        return image.with_data(data if image.channels is None else np.any(data, axis=-1))

    def _factors(self, level: int) -> Array:
        """Fine pixels per pixel of a level, along each axis of the layer."""
        fine, coarse = (np.array(self.levels[k].shape[: self.ndim], dtype=float) for k in (0, level))
        return fine / coarse


@dataclass(frozen=True, eq=False)
class ShapesSnapshot:
    """The outlines of a Shapes layer in the world, safe to pass to another thread.

    Parameters
    ----------
    name : str
        The layer's name.
    outlines : tuple of ndarray, each (V, n)
        Closed polygons in world coordinates.
    units : tuple of str
        Of the n axes.
    """

    name: str
    outlines: tuple[Array, ...]
    units: tuple[str, ...]

    def mask(self, grid: Grid) -> Image:
        """The pixels of a grid inside any of the outlines.

        On a stack an outline counts on the plane where it was drawn; if all were drawn on one plane, or in
        two dimensions, they count on every plane.
        """
        from skimage.draw import polygon2mask

        mask = np.zeros(grid.shape, dtype=bool)
        planes = set()
        for outline in self.outlines:
            index = grid.to_index(_world_on(outline, self.units, grid))
            # The outline is flat: it lies across the axis along which it varies least.
            axis = int(np.argmin(np.ptp(index, axis=0))) if grid.ndim == 3 else None
            if axis is None:
                mask |= polygon2mask(grid.shape, index)
                continue
            plane = round(float(index[:, axis].mean()))
            planes.add((axis, plane))
            drawn = polygon2mask(np.delete(grid.shape, axis), np.delete(index, axis, axis=1))
            if 0 <= plane < grid.shape[axis]:
                np.moveaxis(mask, axis, 0)[plane] |= drawn
        if len(planes) == 1:
            axis = planes.pop()[0]
            mask |= mask.any(axis=axis, keepdims=True)
        return Image(mask, grid, self.name)


def snapshot(layer: ImageLayer | Labels, viewer: ViewerModel | None = None) -> LayerSnapshot:
    """Take a snapshot of an Image or Labels layer for a worker.

    Axes labelled t, time, frame, c or channel, and leading axes beyond three, are not registered: the current
    position of the viewer along them is used. A stack without such labels is a volume.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
        Not modified.
    viewer : napari viewer, optional
        Gives the current time point; without it the first is used.

    Raises
    ------
    ValueError
        If the layer has no two axes to register, or its transform mixes time with space.
    """
    named = [str(label).strip().lower() in STEPPED for label in layer.axis_labels]
    spatial = tuple(k for k in range(layer.ndim) if not named[k])[-3:]
    if len(spatial) < 2:
        raise ValueError(
            f"{layer.name!r} has the axes {', '.join(layer.axis_labels)}, of which only {len(spatial)} can "
            "be registered; correct its axis labels."
        )
    affine = data_to_world(layer)
    stepped = [k for k in range(layer.ndim) if k not in spatial]
    if stepped and np.abs(affine[np.ix_(stepped, spatial)]).max() > 1e-9 * np.abs(affine[:-1, :-1]).max():
        raise ValueError(f"The transform of {layer.name!r} mixes time with space; reset its affine first.")
    labels = isinstance(layer, Labels)
    current = _current(layer, affine, viewer)
    return LayerSnapshot(
        name=layer.name,
        levels=tuple(layer.data) if layer.multiscale else (layer.data,),
        affine=affine,
        units=tuple(str(unit) for unit in layer.units),
        spatial=spatial,
        current=current,
        rgb=not labels and bool(layer.rgb),
        labels=labels,
        placement=_placed(layer, affine, {k: current[k] for k in stepped}),
        appearance={"colormap": layer.colormap}
        if labels
        else {name: getattr(layer, name) for name in APPEARANCE},
        crs=layer.metadata.get(CRS),
        notes=tuple(layer.metadata.get(NOTES, ())),
        file=layer.source.path,
        file_axes=layer.metadata.get(FILE_AXES),
    )


def image_from_layer(layer: ImageLayer | Labels, viewer: ViewerModel | None = None, level: int = 0) -> Image:
    """A layer's pixels with the grid of its whole transform (scale, rotate, shear, translate and affine).

    Reads the pixels at once; from a worker, take a `snapshot` first and call its ``image``.
    """
    return snapshot(layer, viewer).image(level)


def mask_snapshot(layer: Layer, viewer: ViewerModel | None = None) -> LayerSnapshot | ShapesSnapshot:
    """Take from a Labels, Image or Shapes layer what is needed to make a mask of it.

    Call ``.mask(grid)`` on the result, in the worker, with the grid of the masked image: pixels that
    are not zero count on a grid of their own, Shapes are filled on the given one. Lines and paths enclose
    nothing and are ignored.
    """
    return _shapes_snapshot(layer) if isinstance(layer, Shapes) else snapshot(layer, viewer)


def mask_from_layer(layer: Layer, grid: Grid, viewer: ViewerModel | None = None) -> Image:
    """A boolean mask from a Labels, Image or Shapes layer; see `mask_snapshot`."""
    return mask_snapshot(layer, viewer).mask(grid)


def points_from_layer(layer: Points, grid: Grid) -> Array:
    """World coordinates of a Points layer, in the units of an image's grid.

    Parameters
    ----------
    layer : napari.layers.Points
        Points at all time points count.
    grid : Grid
        The grid of the image on which the points lie.

    Returns
    -------
    ndarray, shape (N, d)
        In array-axis order, in the order of the layer, without the axes along which the grid is one pixel
        thin.

    Raises
    ------
    ValueError
        If the points have too few axes or units that cannot be converted.
    """
    flat = grid.without(grid.thin_axes())
    if layer.ndim < flat.ndim:
        raise ValueError(
            f"The points of {layer.name!r} are {layer.ndim}D and the image {flat.ndim}D; "
            "draw them on the image."
        )
    if layer.ndim < grid.ndim:
        grid = flat
    world = apply_affine(data_to_world(layer), np.reshape(layer.data, (-1, layer.ndim)))
    units = tuple(str(unit) for unit in layer.units)
    return grid.flat_points(_world_on(world, units, grid))


def data_to_world(layer: Layer) -> Array:
    """The homogeneous matrix (n + 1, n + 1) from a layer's data to its world, in the layer's own units."""
    # Composed: probing with points would lose digits far from the origin.
    own = CompositeAffine(
        layer.scale, layer.translate, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim
    )
    return layer.affine.affine_matrix @ own.affine_matrix


def on_layer(layer: Layer, place: Sequence[float], viewer: ViewerModel) -> Array:
    """A position in the viewer's world along the axes of a layer, in the layer's units, (n,).

    Parameters
    ----------
    layer : Layer
        Axes that the viewer lacks get 0.
    place : sequence of float
        Of the sliders or the mouse, which count in the viewer's units.
    viewer : napari viewer
    """
    found = np.zeros(layer.ndim)
    shared = min(layer.ndim, len(place))
    found[layer.ndim - shared :] = place[len(place) - shared :]
    if viewer.dims.units is not None:
        for axis in range(-shared, 0):
            found[axis] *= unit_factor(str(viewer.dims.units[axis]), str(layer.units[axis]))
    return found


def grid_kwargs(grid: Grid) -> dict[str, Any]:
    """Keyword arguments that make a napari layer's data-to-world equal to a grid's affine.

    As plain as the grid allows: ``scale`` and ``translate``; ``rotate`` where the axes are rotated; an
    ``affine`` only where they are not at right angles. ``units`` and ``axis_labels`` always.
    """
    d = grid.ndim
    linear = grid.affine[:d, :d]
    common: dict[str, Any] = {"units": grid.units, "axis_labels": AXES[-d:]}
    if np.array_equal(linear, np.diag(np.diag(linear))):
        return {"scale": np.diag(linear).copy(), "translate": grid.origin, **common}
    scale, direction = grid.spacing, grid.direction
    if np.allclose(direction.T @ direction, np.eye(d), rtol=0, atol=1e-12):
        if np.linalg.det(direction) < 0:  # a mirrored grid is a rotation with one axis reversed
            scale[-1], direction[:, -1] = -scale[-1], -direction[:, -1]
        return {"scale": scale, "translate": grid.origin, "rotate": direction, **common}
    affine = np.eye(d + 1)
    affine[:d, :d] = direction
    affine[:d, d] = grid.origin
    return {"scale": scale, "affine": affine, **common}


def about(image: Image) -> dict[str, Any]:
    """What a layer's metadata keep of an image: its reference system and its notes, where it has them."""
    crs = {} if image.grid.crs is None else {CRS: image.grid.crs}
    return {**crs, NOTES: image.notes} if image.notes else crs


def like_layer(layer: Layer) -> dict[str, Any]:
    """Keyword arguments that copy a layer's transform, units and axis labels as they are."""
    return {
        "scale": np.array(layer.scale),
        "translate": np.array(layer.translate),
        "rotate": np.array(layer.rotate),
        "shear": np.array(layer.shear),
        "affine": np.array(layer.affine.affine_matrix),
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def _placed(layer: Layer, affine: Array, steps: Mapping[int, int]) -> dict[str, Any]:
    """`like_layer`, moved to the current time point where the layer has a time axis."""
    kwargs = like_layer(layer)
    if steps:
        own = np.linalg.inv(kwargs["affine"][:-1, :-1]) @ affine[:-1, :-1]
        kwargs["translate"] = kwargs["translate"] + own[:, list(steps)] @ list(steps.values())
    return kwargs


def _current(layer: ImageLayer | Labels, affine: Array, viewer: ViewerModel | None) -> tuple[int, ...]:
    """The viewer's position as index along each axis of a layer; the first pixel without a viewer."""
    if viewer is None:
        return (0,) * layer.ndim
    point = on_layer(layer, viewer.dims.point, viewer)
    index = np.rint(apply_affine(np.linalg.inv(affine), point[None])[0])
    return tuple(int(i) for i in np.clip(index, 0, np.array(layer.level_shapes[0]) - 1))


def _shapes_snapshot(layer: Shapes) -> ShapesSnapshot:
    """The closed outlines of a Shapes layer in its world."""
    outlines = []
    for vertices, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind == "ellipse":
            outlines.append(ellipse(vertices))
        elif kind in ("rectangle", "polygon"):
            outlines.append(vertices)
    if not outlines:
        raise ValueError(f"{layer.name!r} encloses nothing; draw a rectangle, an ellipse or a polygon.")
    matrix = data_to_world(layer)
    return ShapesSnapshot(
        layer.name,
        tuple(apply_affine(matrix, outline) for outline in outlines),
        tuple(str(unit) for unit in layer.units),
    )


def _world_on(world: Array, units: Sequence[str], grid: Grid) -> Array:
    """World points (N, n) with the axes and units of a grid, (N, d); a missing plane is the middle one."""
    points = np.tile(grid.centre, (len(world), 1))
    for k in range(1, min(grid.ndim, world.shape[1]) + 1):
        points[:, -k] = world[:, -k] * unit_factor(units[-k], grid.units[-k])
    return points
