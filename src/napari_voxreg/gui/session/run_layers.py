"""The layers of a run: made at once without a run, shown, hidden and removed."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from functools import partial
from math import prod
from typing import Any
from weakref import WeakKeyDictionary, ref

from napari.components import LayerList, ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from ..background.worker import Runner
from ..layers.maps import MEASURES, MOTION
from ..layers.placement import LayerData
from ..layers.result_layers import KINDS, MOVING, ON_REQUEST, Show
from ..widgets.canvas_context import own_viewer
from .state import Run

NOTHING = Show().only([])
ORDER = ("extras", "warped", *MEASURES, "ssim", "grid", "arrows")  # from the bottom to the top
ALL_AFFINE = "This motion is all affine, so that nothing is left to show: check “with affine part”."
PATIENCE = 1.0  # seconds before it is told that a layer is being made
BAR_AFTER = 50  # milliseconds from a layer to its colour bar, so that each is drawn by itself
AHEAD = 3000**2  # pixels: layers of larger images are made when they are asked for
Wanted = tuple[Run, str, Show]  # the last only tells in which way

_known: WeakKeyDictionary[ViewerModel, RunLayers] = WeakKeyDictionary()


class RunLayers(QObject):
    """Makes layers of runs in the background, one kind at a time, and adds those that were asked for.

    There is one for all panels of a viewer: `run_layers`.

    Parameters
    ----------
    layers : napari.components.LayerList
        Of the viewer, which is not kept.

    Signals
    -------
    changed()
        Layers of a run were added, shown, hidden or removed, by whomever.
    toggled(number, kind, on)
        A layer of the run with this number was shown or hidden.
    failed(error)
        A layer could not be made.
    noted(text)
        What is to be known of a layer that was asked for.
    making(kind, stage)
        A layer that was asked for is not there after a second; of no kind once it is.
    """

    changed = Signal()
    toggled = Signal(int, str, bool)
    failed = Signal(object)
    noted = Signal(str)
    making = Signal(str, str)

    def __init__(self, layers: LayerList) -> None:
        super().__init__()
        self._list = layers
        self._holders: set[int] = set()
        self._runner = Runner()
        self._wanted: list[Wanted] = []  # to be added, the first one first
        self._ahead: list[Wanted] = []
        self._pending: list[LayerData] = []
        self._now: Wanted | None = None  # what is being made
        self._began = 0.0
        self._told = False
        self._kept: Run | None = None
        self._adder = QTimer(self)
        self._adder.setSingleShot(True)
        self._adder.timeout.connect(self._add_next)
        layers.events.inserted.connect(self._inserted)
        layers.events.removed.connect(self._listed)
        for layer in layers:
            self._follow(layer)

    def hold(self, panel: int) -> None:
        """Keep making layers as long as a panel, known by its id, is open."""
        self._holders.add(panel)

    def release(self, panel: int) -> None:
        """Make nothing more after the last panel; uses nothing of Qt."""
        self._holders.discard(panel)
        if not self._holders:
            self._wanted, self._ahead, self._pending = [], [], []
            self._runner.cancel()

    def there(self, run: Run, kind: str = "") -> list[Layer]:
        """The layers of a run that are in the viewer, of all kinds or of one."""
        found = []
        for layer in self._list:
            known = layer.metadata.get("voxreg", {})
            if known.get("number") == run.number and kind in ("", known.get("kind")):
                found.append(layer)
        return found

    def shows(self, run: Run, kind: str) -> bool:
        """Whether a kind of layer of a run is there and visible, or being made."""
        coming = any(one is run and what == kind for one, what, _ in self._wanted)
        return coming or any(layer.visible for layer in self.there(run, kind))

    def show(self, run: Run, kind: str, on: bool, how: Show = NOTHING) -> None:
        """Show a kind of layer of a run, which is made in a way if need be, or hide it."""
        layers = self.there(run, kind)
        for layer in layers:
            if on and layer.metadata["voxreg"]["way"] != how.way(kind):
                self._list.remove(layer)
        layers = self.there(run, kind)
        for layer in layers:
            if layer.visible != on:  # napari would slice it again
                layer.visible = on
        if on and kind in MOVING and not how.affine and run.result.transform.linear:
            self.noted.emit(ALL_AFFINE)
        self._wanted = [w for w in self._wanted if w[:2] != (run, kind)]
        if self._now is not None and self._now[:2] == (run, kind) and kind in ON_REQUEST:
            self._runner.cancel()
            self._next()
        if on and not layers:
            self._wanted.append((run, kind, how))
            self._next()
        self.changed.emit()

    def make_ahead(self, run: Run) -> None:
        """Make in the background what may be asked for next."""
        if self._kept is not None and self._kept is not run:
            self._kept.made.clear()  # memory
        self._kept = run
        if prod(run.result.fixed.shape) <= AHEAD:
            kinds = [kind for kind in KINDS if kind != "extras" or run.result.extras]
            kinds = [kind for kind in kinds if kind not in ON_REQUEST]
            self._ahead = [(run, kind, NOTHING) for kind in kinds if not self.there(run, kind)]
            self._next()

    def remove(self, run: Run, but: Collection[Layer] = ()) -> None:
        """Take all layers of a run out of the viewer, except some."""
        self._wanted = [wanted for wanted in self._wanted if wanted[0] is not run]
        self._ahead = [wanted for wanted in self._ahead if wanted[0] is not run]
        for layer in self.there(run):
            if layer not in but:
                self._list.remove(layer)
        self.changed.emit()

    def _next(self) -> None:
        """Start on what was asked for, else on what may be."""
        while self._wanted and _key(self._wanted[0]) in self._wanted[0][0].made:
            wanted = self._wanted.pop(0)
            self._add(wanted[0].made[_key(wanted)])
        if self._runner.busy or not (self._wanted or self._ahead):
            return
        wanted = self._wanted[0] if self._wanted else self._ahead.pop(0)
        run, kind, how = wanted
        kinds = [kind]
        if not self._wanted and kind in MOTION:  # all of these need the displacement
            kinds += [other for _, other, _ in self._ahead if other in MOTION]
            self._ahead = [one for one in self._ahead if one[1] not in kinds]
        chosen = run.chosen
        if chosen is None or _key(wanted) in run.made:
            self._wanted = [one for one in self._wanted if one is not wanted]
            return self._next()
        show = how.only(kinds)
        self._now, self._began = wanted, time.monotonic()
        self._runner.start(
            lambda progress: chosen.layers(run.result, show, run.number, progress),
            report=lambda report: self._report(wanted, report.message),
            done=lambda layers: self._made(wanted, kinds, layers),
            failed=lambda error: self._fail(wanted, error),
            warned=lambda text: None,
        )

    def _report(self, wanted: Wanted, stage: str) -> None:
        if wanted in self._wanted and time.monotonic() - self._began > PATIENCE:
            self._told = True
            self.making.emit(wanted[1], stage)

    def _made(self, wanted: Wanted, kinds: list[str], layers: list[LayerData]) -> None:
        run, _, how = wanted
        if self._told:
            self._told = False
            self.making.emit("", "")
        if prod(run.result.fixed.shape) <= AHEAD:
            for kind in kinds:
                own = [one for one in layers if one[1]["metadata"]["voxreg"]["kind"] == kind]
                run.made[_key((run, kind, how))] = own
        elif wanted in self._wanted:
            self._wanted.remove(wanted)
            self._add(layers)
        self._next()

    def _fail(self, wanted: Wanted, error: Exception) -> None:
        self._wanted = [one for one in self._wanted if one != wanted]
        self.failed.emit(error)
        self._next()

    def _add(self, layers: list[LayerData]) -> None:
        self._pending += layers
        self._add_next()

    def _add_next(self) -> None:
        """Add one layer at a time, since each blocks napari for a moment."""
        if self._pending:
            data = self._pending.pop(0)
            add_made(self._list, data, self._place(data[1]["metadata"]["voxreg"]), visible=True)
            self._adder.start()
            self.changed.emit()

    def _inserted(self, event: Any) -> None:
        self._follow(event.value)

    def _follow(self, layer: Layer) -> None:
        """Follow a layer of a run, which may also be hidden in napari's own list."""
        if "voxreg" in layer.metadata:
            layer.events.visible.connect(self._seen)

    def _seen(self, event: Any) -> None:
        layer = event.source
        known = layer.metadata["voxreg"]
        self.toggled.emit(known.get("number") or 0, known.get("kind", ""), layer.visible)
        self.changed.emit()

    def _listed(self, event: Any = None) -> None:
        self.changed.emit()

    def _place(self, known: Mapping[str, Any]) -> int:
        """Where in the list a layer belongs: images under maps, and those under drawings."""
        rank = ORDER.index(known["kind"])
        for place, layer in enumerate(self._list):
            there = layer.metadata.get("voxreg", {})
            if there.get("number") == known["number"] and ORDER.index(there["kind"]) > rank:
                return place
        return len(self._list)


def run_layers(viewer: ViewerModel) -> RunLayers:
    """The layers of a viewer's runs, the same for each of its panels."""
    own = own_viewer(viewer)
    if own not in _known:
        _known[own] = RunLayers(own.layers)
    return _known[own]


def _key(wanted: Wanted) -> tuple[str, bool, str]:
    """What distinguishes the layers of one run."""
    _, kind, how = wanted
    return (kind, *how.way(kind))


def add_made(
    layers: LayerList, data: LayerData, place: int | None = None, visible: bool | None = None
) -> Layer:
    """Add a layer of a run; a map gets a colour bar on the canvas as soon as it has been drawn.

    Parameters
    ----------
    layers : napari.components.LayerList
        Of the viewer.
    data : LayerData
        As `result_layers` makes it.
    place : int, optional
        In the list of layers; default: on top.
    visible : bool, optional
        Whether it is shown, if that is not as its data say.
    """
    pixels, keywords, kind = data
    # Hidden at first: napari slices a visible layer and draws its thumbnail at each of three steps.
    layer = Layer.create(pixels, {**keywords, "visible": False}, kind)
    layers.insert(len(layers) if place is None else place, layer)
    layer.visible = keywords.get("visible", True) if visible is None else visible
    if isinstance(layer, Image) and keywords["metadata"]["voxreg"]["kind"] in MEASURES:
        # Its text and shaders take napari longer than the layer itself.
        QTimer.singleShot(BAR_AFTER, partial(_show_bar, ref(layer)))
    return layer


def _show_bar(layer: ref[Layer]) -> None:
    """Show the colour bar of a layer, if it is still there."""
    there = layer()
    if there is not None:
        there.colorbar.visible = True
