"""Layers to which a transform is applied: taken on the main thread, computed in a worker."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from napari.layers import Layer

from ...core.geometry import Array, Grid, Image, apply_affine, unit_factor
from ...core.pixels import with_opacity
from ...core.progress import Progress, subprogress
from ...registration.apply import Background, Direction, apply, fill_of, target_grid, warper
from ...registration.in_slabs import cut, lazy_frames
from ...registration.pair_transform import PairTransform
from ...transforms import Interpolation
from .outlines import mapped_shapes
from .placement import RESULT, LayerData, over_axes
from .snapshots import CRS, NOTES, STEPPED, data_to_world, grid_kwargs

PLACED = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
OF_THE_DATA = ("plane", "experimental_clipping_planes", "locked_data_level")  # in coordinates of its pixels
OF_RESULTS = ("voxreg", RESULT, CRS, NOTES)  # in a layer's metadata


@dataclass(frozen=True)
class LayerOptions:
    """How a transform is applied to layers.

    Parameters
    ----------
    direction, grid, pixel_size, background
        As in `napari_voxreg.apply`.
    images, labels : str
        The interpolation of images and of labels.
    resample : bool
        Whether images are resampled; else an affine transform goes into the new layer's own affine, also that
        of points and shapes.
    """

    direction: Direction = "moving -> fixed"
    grid: Grid | Literal["fixed", "moving"] | None = None
    pixel_size: float | tuple[float, ...] | None = None
    images: Interpolation = "linear"
    labels: Interpolation = "nearest"
    background: Background = "own"
    resample: bool = True


@dataclass(frozen=True, eq=False)
class TakenLayer:
    """A layer of any kind as it was, safe to pass to another thread.

    Parameters
    ----------
    data : object
        The layer's data; references, never modified.
    state : dict
        All keyword arguments that make the layer again.
    kind : str
        "image", "labels", "points", "shapes", "vectors", "tracks" or "surface".
    matrix : ndarray, shape (n + 1, n + 1)
        From data to world, in the layer's own units.
    """

    data: Any
    state: dict[str, Any]
    kind: str
    matrix: Array

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.state["name"])

    @property
    def ndim(self) -> int:
        """Number of axes, n; channels do not count."""
        return len(self.matrix) - 1

    @property
    def units(self) -> tuple[str, ...]:
        """Of all axes."""
        return tuple(str(unit) for unit in self.state["units"])

    def grid(self, axes: Sequence[int], steps: Mapping[int, int] | None = None) -> Grid:
        """Where the pixels of an image or labels lie, at a position along its other axes (the first one)."""
        world = np.eye(len(axes) + 1)
        world[:-1, :-1] = self.matrix[np.ix_(axes, axes)]
        world[:-1, -1] = self.matrix[axes, -1]
        for axis, index in (steps or {}).items():
            world[:-1, -1] += self.matrix[axes, axis] * index
        shape = tuple(int(self.pixels.shape[k]) for k in axes)
        return Grid(shape, world, tuple(self.units[k] for k in axes), self.state["metadata"].get(CRS))

    @property
    def pixels(self) -> Any:
        """Those of an image or labels, at full resolution."""
        return self.data[0] if self.state.get("multiscale") else self.data

    def spatial(self, ndim: int) -> list[int]:
        """The axes in which a transform of so many axes moves: the last ones that are not time or channels.

        Raises
        ------
        ValueError
            If there are fewer, or the layer's own transform mixes them with the others.
        """
        named = [str(label).strip().lower() in STEPPED for label in self.state["axis_labels"]]
        axes = [k for k in range(self.ndim) if not named[k]][-ndim:]
        if len(axes) < ndim:
            raise ValueError(f"The layer is {len(axes)}D and the transform {ndim}D; choose another one.")
        others = [k for k in range(self.ndim) if k not in axes]
        linear = np.abs(self.matrix[:-1, :-1])
        if others and linear[np.ix_(others, axes)].max() > 1e-9 * linear.max():
            raise ValueError("The layer's own transform mixes its axes; reset its affine first.")
        return axes


def take(layer: Layer) -> TakenLayer:
    """Take a layer for a worker."""
    data, state, kind = layer.as_layer_data_tuple()
    if kind in ("points", "vectors", "tracks"):
        data = data.copy()  # edited in place; shapes and surfaces are copied by napari
    return TakenLayer(data, state, kind, data_to_world(layer))


def applied_layer(
    taken: TakenLayer, pair: PairTransform, options: LayerOptions, title: str, progress: Progress
) -> tuple[LayerData, tuple[str, ...]]:
    """Apply a transform to a layer.

    Parameters
    ----------
    taken : TakenLayer
    pair : PairTransform
    options : LayerOptions
    title : str
        Of the transform, for the name of the new layer.
    progress : Progress
        May raise `Cancelled`.

    Returns
    -------
    LayerData
        ``(data, keyword arguments, type)`` of a new layer that looks like the old one.
    tuple of str
        Notes for the user.

    Raises
    ------
    ValueError
        In one sentence that names the layer.
    """
    state = {key: value for key, value in taken.state.items() if key not in OF_RESULTS}
    known = {key: value for key, value in state["metadata"].items() if key not in OF_RESULTS}
    state |= {"name": f"{taken.name} applied {title}", "metadata": known, "visible": True}
    try:
        if not options.resample:
            return _with_affine(taken, state, pair, options), ()
        if taken.kind in ("image", "labels"):
            return _warped(taken, state, pair, options, progress)
        return _moved(taken, state, pair, options, progress)
    except ValueError as error:
        raise ValueError(f"{taken.name}: {error}") from error
    except MemoryError as error:
        raise ValueError(
            f"{taken.name}: The result needs more memory than there is; give a larger pixel size or a "
            "smaller grid."
        ) from error


def _with_affine(
    taken: TakenLayer, state: dict[str, Any], pair: PairTransform, options: LayerOptions
) -> LayerData:
    """The same data in another place."""
    transform = pair.transform
    if not transform.linear or transform.matrix is None:
        raise ValueError("Only an affine transform can be set as the layer's affine; resample instead.")
    matrix: Array = transform.matrix
    if options.direction == "moving -> fixed":
        matrix = np.linalg.inv(matrix)
    whole = over_axes(matrix, taken.spatial(transform.ndim), _factors(taken, pair), taken.ndim)
    data = taken.data
    if taken.kind == "labels" and isinstance(data, np.ndarray):
        data = data.copy()  # painted on independently
    return data, {**state, "affine": whole @ np.asarray(taken.state["affine"])}, taken.kind


def _warped(
    taken: TakenLayer, state: dict[str, Any], pair: PairTransform, options: LayerOptions, progress: Progress
) -> tuple[LayerData, tuple[str, ...]]:
    """Pixels on another grid, at every position along the other axes.

    Lazy pixels stay lazy, unless all of them are in one plane: that is seen at once.
    """
    axes = taken.spatial(pair.transform.ndim)
    steps = [k for k in range(taken.ndim) if k not in axes]
    pixels = taken.pixels
    colours = pixels.shape[taken.ndim :]
    interpolation = options.labels if taken.kind == "labels" else options.images
    target = target_grid(pair, options.direction, options.grid, options.pixel_size)
    ready = warper(pair, options.direction, target, interpolation, progress)
    counts = [int(pixels.shape[k]) for k in steps]
    first = _at(taken, axes, steps, [0] * len(steps))
    fill = _fill(taken, first, options.background)
    shape = (*ready.grid.shape, *colours)
    if not isinstance(pixels, np.ndarray) and (counts or len(axes) > 2):

        def make(position: tuple[int, ...], rows: slice) -> Array:
            slab = replace(ready, grid=cut(ready.grid, [rows]))
            return np.ma.filled(slab(_at(taken, axes, steps, position), fill))

        stacked = lazy_frames(make, counts, shape, pixels.dtype)
    else:
        stacked = np.empty((*counts, *shape), pixels.dtype)
        for number, position in enumerate(np.ndindex(*counts)):
            part = subprogress(progress, number / math.prod(counts), (number + 1) / math.prod(counts))
            part(0.0, f"warping {taken.name}")
            stacked[position] = np.ma.filled(ready(_at(taken, axes, steps, position), fill, part))
    places = [*steps, *axes, *range(taken.ndim, stacked.ndim)]  # of the axes of what is stacked
    found = stacked.transpose([places.index(k) for k in range(stacked.ndim)])
    for key in (*PLACED, *OF_THE_DATA):
        state.pop(key, None)
    if target.crs is not None:
        state["metadata"] = {**state["metadata"], CRS: target.crs}
    flat = target if target.ndim == ready.grid.ndim else target.without(target.thin_axes())
    keywords = {**state, **_placed(taken, flat, axes), "multiscale": False}
    return (found, keywords, taken.kind), ready.notes


def _at(taken: TakenLayer, axes: Sequence[int], steps: Sequence[int], position: Sequence[int]) -> Image:
    """The pixels at one position along the other axes."""
    where = dict(zip(steps, position, strict=True))
    pixels = taken.pixels[tuple(where.get(k, slice(None)) for k in range(taken.ndim))]
    if taken.state.get("rgb") and pixels.shape[-1] == 4:
        pixels = with_opacity(np.asarray(pixels))
    return Image(pixels, taken.grid(axes, where), taken.name)


def _fill(taken: TakenLayer, frame: Image, background: Background) -> float:
    """The value outside an image or labels."""
    if taken.kind == "labels":
        return 0.0
    if background == "own" and taken.state.get("rgb") and frame.data.dtype.kind == "f":
        return 0.0  # colours have no NaN
    if background == "own" and frame.ndim == 2 and not isinstance(frame.data, np.ndarray):
        frame = frame.with_data(np.asarray(frame.data))  # a plane is small, and its border alone may mislead
    return fill_of(frame, "linear", background)


def _placed(taken: TakenLayer, grid: Grid, axes: Sequence[int]) -> dict[str, Any]:
    """Keyword arguments that place a layer of n axes on a grid, and along its other axes as it was."""
    matrix, units = np.diag(np.diag(taken.matrix)), list(taken.units)
    matrix[:-1, -1] = taken.matrix[:-1, -1]
    matrix[np.ix_(axes, axes)] = grid.affine[:-1, :-1]
    matrix[axes, -1] = grid.affine[:-1, -1]
    for axis, unit in zip(axes, grid.units, strict=True):
        units[axis] = unit
    # The shape does not matter here.
    place = grid_kwargs(Grid((1,) * taken.ndim, matrix, tuple(units)))
    return {**place, "axis_labels": taken.state["axis_labels"]}


def _moved(
    taken: TakenLayer, state: dict[str, Any], pair: PairTransform, options: LayerOptions, progress: Progress
) -> tuple[LayerData, tuple[str, ...]]:
    """Points, and what is made of points, moved in the layer's own coordinates."""
    notes: dict[str, None] = {}
    mapped = _mapping(taken, pair, options.direction, notes, progress)
    data = taken.data
    progress(0.0, f"moving {taken.name}")
    if taken.kind == "points":
        data = mapped(data)
    elif taken.kind == "tracks":
        data = np.column_stack([data[:, 0], mapped(data[:, 1:])])  # whole numbers become fractions
    elif taken.kind == "surface":
        data = (mapped(data[0]), *data[1:])
    elif taken.kind == "vectors":
        start, stop = np.split(mapped(np.concatenate([data[:, 0], data[:, 0] + data[:, 1]])), 2)
        data = np.stack([start, stop - start], axis=1)
    else:
        data, kinds = mapped_shapes(data, taken.state["shape_type"], mapped, straight=pair.transform.linear)
        state["shape_type"] = kinds
    return (data, state, taken.kind), tuple(notes)


def _mapping(
    taken: TakenLayer,
    pair: PairTransform,
    direction: Direction,
    notes: dict[str, None],
    progress: Progress,
) -> Callable[[Array], Array]:
    """What maps points (N, n) in a layer's data; sentences for the user are added to `notes`."""
    axes, factors = taken.spatial(pair.transform.ndim), _factors(taken, pair)
    back = np.linalg.inv(taken.matrix)

    def mapped(points: Array) -> Array:
        world = apply_affine(taken.matrix, points)
        if len(points):
            done = apply(pair, world[:, axes] * factors, direction=direction, progress=progress)
            notes.update(dict.fromkeys(done.notes))
            world[:, axes] = np.asarray(done) / factors
        return apply_affine(back, world)

    return mapped


def _factors(taken: TakenLayer, pair: PairTransform) -> Array:
    """How many units of the transform one unit of the layer is, along the axes in which it moves."""
    axes = taken.spatial(pair.transform.ndim)
    if pair.fixed is None:
        return np.ones(len(axes))
    return np.array(
        [unit_factor(taken.units[k], unit) for k, unit in zip(axes, pair.fixed.units, strict=True)]
    )
