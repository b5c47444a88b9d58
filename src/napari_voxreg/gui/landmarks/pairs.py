"""Two Points layers as numbered pairs, with undo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Points
from napari.layers.base import ActionType
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import QObject, Signal

from ...core.geometry import Array, unit_factor
from ...io.points import PairFile, common_labels, outside_note
from ..layers.point_files import LABEL, LANDMARKS, NUMBER, SEEN, SHARE, SYMBOLS, names_of
from ..layers.snapshots import like_layer
from .side import Side, numbers_of

# Bright, and far apart for neighbouring numbers; those of a pair are equal.
COLOURS = ("#ffd400", "#00e5ff", "#ff5ca8", "#7dff4f", "#ff8a1f", "#b18cff", "#ffffff", "#2fd6a3")
MOST = 200  # steps that can be undone


@dataclass(frozen=True, eq=False)
class State:
    """The points of both layers, their numbers and their labels."""

    points: tuple[Array, Array]
    numbers: tuple[Array, Array]
    labels: tuple[Array, Array]

    def same_as(self, other: State) -> bool:
        """Whether nothing differs."""
        mine, its = (one.points + one.numbers + one.labels for one in (self, other))
        return all(np.array_equal(a, b) for a, b in zip(mine, its, strict=True))


class PointPairs(QObject):
    """The landmarks of two images: points with the same number are a pair.

    Parameters
    ----------
    fixed, moving : Side
        Their points may be moved, added and deleted with napari's own tools.

    Attributes
    ----------
    pending : int or None
        The number of a pair that is being placed, and does not count yet.

    Signals
    -------
    changed()
        Points were added, moved (also while they are dragged) or deleted.
    """

    changed = Signal()

    def __init__(self, fixed: Side, moving: Side) -> None:
        super().__init__()
        self.fixed, self.moving = fixed, moving
        self.pending: int | None = None
        self._busy = False
        _pair_by_label(*self._layers)
        for layer in self._layers:
            label(layer)
            layer.bind_key("Control-Z", lambda layer: self.undo(), overwrite=True)
            layer.bind_key("Control-Shift-Z", lambda layer: self.redo(), overwrite=True)
            layer.events.data.connect(self._altered)
            layer.events.features.connect(self._moved)
            layer.events.set_data.connect(self._drawn)
        self._done, self._undone = [self._state()], list[State]()
        self._dress()

    @property
    def complete(self) -> tuple[Array, Array, Array]:
        """Numbers (N,) in order, and fixed and moving world points (N, d) of the pairs that count."""
        first, second = self.fixed.numbers, self.moving.numbers
        common = np.intersect1d(first, second)
        common = common[common != (0 if self.pending is None else self.pending)]
        at = [[int(np.flatnonzero(side == k)[0]) for k in common] for side in (first, second)]
        return common, self.fixed.world[at[0]], self.moving.world[at[1]]

    @property
    def alone(self) -> str:
        """Which points have no partner, in one sentence; empty if all have."""
        first, second = (
            set(side.tolist()) - {self.pending} for side in (self.fixed.numbers, self.moving.numbers)
        )
        parts = [
            f"{_listed(missing)} no {which} point"
            for which, missing in (("moving", first - second), ("fixed", second - first))
            if missing
        ]
        if not parts:
            return ""
        counts = f"{len(first)} fixed and {len(second)} moving points"
        return f"Of {counts}, {', and '.join(parts)}: add or delete one."

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return len(self._done) > 1

    @property
    def can_redo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self._undone)

    def next_number(self) -> int:
        """The number of a new pair."""
        return 1 + max([0, *self.fixed.numbers.tolist(), *self.moving.numbers.tolist()])

    def place(self, number: int, fixed: Array | None = None, moving: Array | None = None) -> None:
        """Put the points of a pair at these world points (d,); those that are not there are added."""
        with self._alone():
            for side, world in ((self.fixed, fixed), (self.moving, moving)):
                if world is not None:
                    at = np.flatnonzero(side.numbers == number)
                    data, numbers, labels = side.points.data, side.numbers, names_of(side.points)
                    if len(at):
                        data = data.copy()
                        data[at[0]] = side.to_data(world[None])[0]
                    else:
                        data = np.append(data, side.to_data(world[None]), axis=0)
                        numbers, labels = np.append(numbers, number), np.append(labels, "")
                    _set(side.points, data, numbers, labels)
        self._record()

    def for_file(self) -> PairFile:
        """The pairs that count, each point in the units of its image, with their labels or their numbers."""
        common, fixed, moving = self.complete
        labels = self.labels(common)
        names = tuple(label or str(number) for label, number in zip(labels, common.tolist(), strict=True))
        units = self.fixed.own_grid.units[-1], self.moving.own_grid.units[-1]
        return PairFile(fixed, moving / self.moving.factors, names if any(labels) else (), units=units)

    def labels(self, numbers: Array) -> list[str]:
        """The names of pairs by their numbers (N,); empty texts for those without one."""
        known = dict(zip(self.fixed.numbers.tolist(), names_of(self.fixed.points), strict=True))
        return [str(known[number]) for number in numbers.tolist()]

    def outside(self) -> tuple[str, ...]:
        """A sentence on the points of each image that lie outside it; none if all are on it."""
        _, fixed, moving = self.complete
        return (
            *outside_note(fixed, self.fixed.grid, "fixed"),
            *outside_note(moving, self.moving.grid, "moving"),
        )

    def replace_by(self, pairs: PairFile) -> None:
        """Have these pairs instead.

        Raises
        ------
        ValueError
            If they have another number of coordinates than the images have axes.
        """
        sides = (self.fixed, pairs.fixed), (self.moving, pairs.moving)
        found = [side.to_data(side.from_file(world)) for side, world in sides]
        count = len(pairs.fixed)
        labels = np.array(pairs.labels or [""] * count, dtype=object)
        with self._alone():
            for side, data in zip((self.fixed, self.moving), found, strict=True):
                _set(side.points, data, np.arange(1, count + 1), labels)
        self._record()

    def remove(self, number: int) -> None:
        """Delete a pair; the pairs after it move up by one."""
        with self._alone():
            for layer in self._layers:
                numbers = numbers_of(layer)
                kept = numbers != number
                numbers = np.where(numbers > number, numbers - 1, numbers)
                _set(layer, layer.data[kept], numbers[kept], names_of(layer)[kept])
        self._record()

    def undo(self) -> None:
        """Take the last change back."""
        if self.can_undo:
            self._undone.append(self._done.pop())
            self._restore()

    def redo(self) -> None:
        """Bring back what was undone last."""
        if self.can_redo:
            self._done.append(self._undone.pop())
            self._restore()

    def settle(self) -> None:
        """Count the pending pair from now on."""
        self.pending = None
        self._record()

    def stop(self) -> None:
        """Let the layers go."""
        for layer in self._layers:
            layer.events.data.disconnect(self._altered)
            layer.events.features.disconnect(self._moved)
            layer.events.set_data.disconnect(self._drawn)
            layer.bind_key("Control-Z", None)
            layer.bind_key("Control-Shift-Z", None)

    @property
    def _layers(self) -> tuple[Points, Points]:
        return self.fixed.points, self.moving.points

    def _state(self) -> State:
        first, second = self._layers
        return State(
            (first.data.copy(), second.data.copy()),
            (numbers_of(first), numbers_of(second)),
            (names_of(first), names_of(second)),
        )

    def _altered(self, event: Any) -> None:
        """Something was done with napari's tools; it may go on after this event."""
        if not self._busy and event.action in (ActionType.ADDED, ActionType.REMOVED, ActionType.CHANGED):
            self._record()

    def _moved(self, event: Any = None) -> None:
        """A point is being dragged, or anything else has changed."""
        if not self._busy:
            self._dress()
            self.changed.emit()

    def _drawn(self, event: Any) -> None:
        """A layer is drawn anew: napari pastes points without saying more."""
        counts = [len(layer.data) for layer in self._layers]
        if not self._busy and self.pending is None and counts != [len(one) for one in self._done[-1].points]:
            self._record()

    def _record(self) -> None:
        """Remember the present state, unless a pair is only half placed."""
        with self._alone():
            for layer in self._layers:
                _renumber(layer, self.next_number())
                numbers = numbers_of(layer)
                if (np.diff(numbers) < 0).any():  # Register pairs points by their order
                    order = np.argsort(numbers, kind="stable")
                    _set(layer, layer.data[order], numbers[order], names_of(layer)[order])
        if self.pending is None:
            state = self._state()
            if not state.same_as(self._done[-1]):
                self._done = [*self._done[-MOST:], state]
                self._undone = []
        self._dress()
        self.changed.emit()

    def _restore(self) -> None:
        state = self._done[-1]
        with self._alone():
            kept = zip(self._layers, state.points, state.numbers, state.labels, strict=True)
            for layer, data, numbers, labels in kept:
                _set(layer, data.copy(), numbers, labels)
        self._dress()
        self.changed.emit()

    def _dress(self) -> None:
        """Colour the points by their numbers, and number what is added next."""
        first, second = (numbers_of(layer) for layer in self._layers)
        with self._alone():
            for layer, own, other in zip(self._layers, (first, second), (second, first), strict=True):
                colours = colours_of(own)
                if not np.array_equal(layer.face_color, colours):
                    layer.face_color = colours
                lacking = np.setdiff1d(other, own)
                following = int(lacking[0]) if len(lacking) else self.next_number()
                if int(layer.feature_defaults[NUMBER].iloc[0]) != following:
                    unnamed = {LABEL: ""} if LABEL in layer.features else {}
                    layer.feature_defaults = {NUMBER: following, **unnamed}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Changes of the layers in here are our own."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before


def new_points(image: Image, which: str, viewer: ViewerModel) -> Points:
    """An empty Points layer for the landmarks of an image, "fixed" or "moving", on the image's own pixels.

    It has the viewer's units: napari's tools take the mouse's place in these for one in the layer's.
    """
    longest = max(image.level_shapes[0])
    place = like_layer(image)
    if viewer.dims.units is not None:
        units = tuple(map(str, viewer.dims.units[-image.ndim :]))
        factors = [unit_factor(str(a), b) for a, b in zip(image.units, units, strict=True)]
        place |= {"affine": np.diag([*factors, 1.0]) @ place["affine"], "units": units}
    layer = Points(
        np.empty((0, image.ndim)),
        name=f"{which} landmarks",
        size=max(1.0, SHARE * float(longest)),
        symbol=SYMBOLS[which],
        metadata={LANDMARKS: which},
        canvas_size_limits=SEEN,
        border_width=0,
        border_color="transparent",  # else its line is seen on screens of a fractional scale
        out_of_slice_display=False,
        **place,
    )
    label(layer)
    return layer


def label(layer: Points) -> None:
    """Number the points of a layer in their order, unless they have numbers, and write these beside them."""
    if NUMBER not in layer.features:
        layer.features = _features(np.arange(1, len(layer.data) + 1), names_of(layer))
        _write_numbers(layer)


def _write_numbers(layer: Points) -> None:
    """Write the numbers of a layer's points beside them."""
    layer.text = {"string": "{number:.0f}", "color": "#ffffff", "size": 10, "anchor": "upper_left"}


def colours_of(numbers: Array) -> Array:
    """Red, green, blue and opacity of the points with these numbers, (N, 4)."""
    table = transform_color(list(COLOURS))
    found: Array = table[(np.asarray(numbers, dtype=int) - 1) % len(COLOURS)]
    return found


def _renumber(layer: Points, following: int) -> None:
    """Give points that were pasted, and have the number of another, numbers of their own."""
    numbers = numbers_of(layer)
    again = np.setdiff1d(np.arange(len(numbers)), np.unique(numbers, return_index=True)[1])
    if len(again):
        labels = names_of(layer)
        numbers[again], labels[again] = following + np.arange(len(again)), ""
        layer.features = _features(numbers, labels)


def _features(numbers: Array, labels: Array) -> dict[str, Array]:
    """The features of points; without labels where there are none."""
    return {NUMBER: numbers} | ({LABEL: labels} if any(labels) else {})


def _pair_by_label(first: Points, second: Points) -> None:
    """Number the points of two layers by their labels, if both have labels and no numbers yet."""
    names = [tuple(names_of(layer)) for layer in (first, second)]
    if NUMBER in first.features or NUMBER in second.features or not common_labels(*names):
        return
    places = {name: k for k, name in enumerate(names[0], start=1)}
    new = [name for name in names[1] if name not in places]
    places |= {name: k for k, name in enumerate(new, start=len(places) + 1)}
    for layer, own in zip((first, second), names, strict=True):
        order = np.argsort([places[name] for name in own])
        numbers = np.array([places[own[k]] for k in order])
        _set(layer, layer.data[order], numbers, np.array(own, dtype=object)[order])
        _write_numbers(layer)


def _set(layer: Points, data: Array, numbers: Array, labels: Array) -> None:
    """Give a layer other points with their numbers and labels."""
    # Of a hidden layer napari does not find out which points are seen, and labels those that are gone.
    # Of a visible one it would drop the tool in use.
    hidden = not layer.visible
    if hidden:
        layer.visible = True
    layer.selected_data = set()
    layer.data = data
    layer.features = _features(numbers, labels)
    if hidden:
        layer.visible = False


def _listed(numbers: set[int]) -> str:
    """Some numbers in a sentence."""
    names = ", ".join(map(str, sorted(numbers)[:5])) + (", …" if len(numbers) > 5 else "")
    return f"{'number' if len(numbers) == 1 else 'numbers'} {names} {'has' if len(numbers) == 1 else 'have'}"
