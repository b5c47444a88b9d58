"""Where the images of a run come from: taken on the main thread, read in a worker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer

from ...cohort.group import cohort_frames
from ...cohort.series import Frames, SeriesResult, frames_of
from ...core.geometry import Array, Image
from ...core.pixels import with_opacity
from ...registration.apply import Warper, fill_of
from ...registration.in_slabs import cut, lazy_frames
from ..layers.applied import OF_RESULTS, OF_THE_DATA, TakenLayer, take
from ..layers.placement import LayerData
from ..layers.readers import image_layers
from ..layers.snapshots import AXES, CHANNELS, STEPPED, LayerSnapshot, on_layer, snapshot

TIMES = STEPPED - CHANNELS
FEW = 2  # axes that a frame has at least


@dataclass(frozen=True, eq=False)
class OneLayer:
    """A layer whose frames follow each other along an axis.

    Parameters
    ----------
    taken : TakenLayer
    axis : int
        Along which they do.
    current : tuple of int
        The position along the other axes that are not registered, channels for instance, of what drives.
    """

    taken: TakenLayer
    axis: int
    current: tuple[int, ...]

    @property
    def axes(self) -> list[int]:
        """The axes of a frame: the last ones that are neither channels nor time.

        Raises
        ------
        ValueError
            If there are fewer than two, or the layer's transform mixes them with others.
        """
        named = [str(label).strip().lower() in STEPPED for label in self.taken.state["axis_labels"]]
        free = [k for k in range(self.taken.ndim) if k != self.axis and not named[k]]
        if len(free) < FEW:
            raise ValueError(f"{self.taken.name!r} has no frames along that axis; choose another axis.")
        axes = free[-3:]
        others = [k for k in range(self.taken.ndim) if k not in axes]
        linear = np.abs(self.taken.matrix[:-1, :-1])
        if linear[np.ix_(others, axes)].max() > 1e-9 * linear.max():
            raise ValueError(f"The transform of {self.taken.name!r} mixes its axes; reset its affine first.")
        return axes

    @property
    def steps(self) -> list[int]:
        """All other axes."""
        return [k for k in range(self.taken.ndim) if k not in self.axes]

    def frames(self) -> Frames:
        """What drives, frame by frame."""
        taken = self.taken
        unit, step = taken.units[self.axis], float(np.linalg.norm(taken.matrix[:-1, self.axis]))
        if unit == "pixel":
            unit, step = "frame", 1.0
        grid = taken.grid(self.axes)
        if math.prod(grid.shape) < FEW or taken.pixels.shape[self.axis] < FEW:
            raise ValueError(f"{taken.name!r} has one frame along that axis; choose another axis or layer.")
        where = {k: self.current[k] for k in self.steps}
        return Frames(
            int(taken.pixels.shape[self.axis]),
            grid,
            lambda number: self._at({**where, self.axis: number}),
            step,
            unit,
        )

    def layers(self, result: SeriesResult, frames: Frames) -> list[LayerData]:
        """The same layer with every frame aligned, computed where it is looked at."""
        taken, grid, steps = self.taken, result.grid, self.steps
        first = self._at({**dict.fromkeys(steps, 0), self.axis: result.readable[0]})
        coloured = bool(taken.state.get("rgb"))
        fill = 0.0 if coloured and first.data.dtype.kind == "f" else fill_of(first, "linear", "own")
        turn, colours = steps.index(self.axis), first.data.shape[grid.ndim :]

        def make(position: tuple[int, ...], rows: slice) -> Array:
            number, part = position[turn], cut(grid, [rows])
            if number not in result.readable:
                return np.full((*part.shape, *colours), fill, first.data.dtype)
            ready = Warper(result.transforms[number], part)
            return np.ma.filled(ready(self._at(dict(zip(steps, position, strict=True))), fill))

        counts = [int(taken.pixels.shape[k]) for k in steps]
        stacked = lazy_frames(make, counts, (*grid.shape, *colours), first.data.dtype)
        places = [*steps, *self.axes, *range(taken.ndim, stacked.ndim)]
        pixels = stacked.transpose([places.index(k) for k in range(stacked.ndim)])
        state = {key: value for key, value in taken.state.items() if key not in OF_THE_DATA}
        known = {key: value for key, value in state["metadata"].items() if key not in OF_RESULTS}
        made = {"name": f"{taken.name} aligned", "metadata": known, "visible": True, "multiscale": False}
        return [(pixels, {**state, **made}, "image")]

    def _at(self, where: dict[int, int]) -> Image:
        """The pixels at a position along the other axes."""
        taken = self.taken
        pixels = np.asarray(taken.pixels[tuple(where.get(k, slice(None)) for k in range(taken.ndim))])
        if taken.state.get("rgb") and pixels.shape[-1] == 4:
            pixels = with_opacity(pixels)
        return Image(pixels, taken.grid(self.axes), f"{taken.name} {where[self.axis]}")


@dataclass(frozen=True, eq=False)
class Layers:
    """One image a layer."""

    snapshots: tuple[LayerSnapshot, ...]

    def frames(self) -> Frames:
        """Their images; lazy pixels are computed here."""
        return frames_of([one.image() for one in self.snapshots])

    def layers(self, result: SeriesResult, frames: Frames) -> list[LayerData]:
        """See `stacked_layers`."""
        return stacked_layers(result, frames)


@dataclass(frozen=True)
class Files:
    """Images on disk.

    Parameters
    ----------
    images : Path or tuple of Path
        As `frames_of` and `cohort_frames` take them.
    cohort : bool
        Which of the two finds them.
    pattern : str, optional
        Of a cohort.
    """

    images: Path | tuple[Path, ...]
    cohort: bool
    pattern: str | None = None

    def frames(self) -> Frames:
        """The images; none is read but the first."""
        given = list(self.images) if isinstance(self.images, tuple) else self.images
        return cohort_frames(given, self.pattern) if self.cohort else frames_of(given)

    def layers(self, result: SeriesResult, frames: Frames) -> list[LayerData]:
        """See `stacked_layers`."""
        return stacked_layers(result, frames)


Source = OneLayer | Layers | Files


def one_layer(layer: ImageLayer, axis: int, viewer: ViewerModel) -> OneLayer:
    """A layer with the position of the viewer's sliders."""
    taken = take(layer)
    point = on_layer(layer, viewer.dims.point, viewer)
    index = np.linalg.solve(taken.matrix, [*point, 1.0])[:-1]
    last = np.array(taken.pixels.shape[: taken.ndim]) - 1
    return OneLayer(taken, axis, tuple(int(k) for k in np.clip(np.rint(index), 0, last)))


def several_layers(layers: Sequence[ImageLayer], viewer: ViewerModel) -> Layers:
    """Layers from the bottom to the top."""
    return Layers(tuple(snapshot(layer, viewer) for layer in reversed(layers)))


def stacked_layers(result: SeriesResult, frames: Frames) -> list[LayerData]:
    """All frames as layers with a slider, each frame computed where it is looked at."""
    image = replace(result.lazy(frames, background="own"), name="aligned")
    keywords: dict[str, Any] = {"axis_labels": ("t", *AXES[-frames.grid.ndim :])}
    layers = image_layers(image, **keywords)
    if any(more.get("rgb") for _, more, _ in layers):
        return layers
    # Else napari would compute whole frames in the interface's thread.
    shown = next((k for k, frame in enumerate(result.frames) if not frame.problem), 0)
    found = []
    for data, more, kind in layers:
        values = np.asarray(data[shown], dtype=float)
        low, high = (float(x) for x in np.nanpercentile(values, (0.5, 99.8)))
        found.append((data, {**more, "contrast_limits": (low, high if high > low else low + 1)}, kind))
    return found


def axes_of(layer: ImageLayer) -> dict[int, str]:
    """The axes along which frames of a layer may follow each other, with their names and lengths."""
    shape = layer.level_shapes[0] if layer.multiscale else layer.data.shape
    labels = [str(label).strip().lower() for label in layer.axis_labels]
    free = [k for k in range(layer.ndim) if labels[k] not in CHANNELS]
    return {
        k: f"{layer.axis_labels[k]} ({shape[k]} frames)"
        for k in free
        if shape[k] >= FEW and len([n for n in free if n != k and labels[n] not in TIMES]) >= FEW
    }


def first_axis(layer: ImageLayer) -> int | None:
    """Where frames are sought first: time, else the first axis; None where there are none."""
    found = list(axes_of(layer))
    times = [k for k in found if str(layer.axis_labels[k]).strip().lower() in TIMES]
    chosen = times or found
    return chosen[0] if chosen and layer.ndim > FEW else None
