"""Fixed and warped on top of each other: overlay, checkerboard, swipe, flicker, difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import ref

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal
from vispy.visuals import Visual

from ...core.geometry import Array, unit_factor
from ..layers.snapshots import snapshot
from ..widgets.canvas_context import own_viewer
from .difference import difference_layers
from .lens import AWAY, CHECKER, FIXED, FLICKER, SWIPE, WARPED, WHOLE, Lens, lens_on

OVERLAY, CHECKERBOARD, SWIPED, FLICKERING, SIGNED, ABSOLUTE = MODES = (
    "overlay",
    "checkerboard",
    "swipe",
    "flicker",
    "signed difference",
    "absolute difference",
)
RULES = {CHECKERBOARD: CHECKER, SWIPED: SWIPE, FLICKERING: FLICKER, SIGNED: AWAY, ABSOLUTE: AWAY}
RED, CYAN, PLAIN = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.0, 0.0)
NEAR = 8  # pixels of the screen from the line, within which it is grasped


@dataclass(eq=False)
class Pair:
    """The two layers that are compared, and what was changed for that."""

    fixed: Layer
    warped: Layer
    lenses: list[Lens]
    hidden: list[ref[Layer]]


class Look(QObject):
    """Compares a fixed and a warped layer by eye, on the graphics card: no pixel is copied.

    Only the difference is computed, where it is looked at. Other images above the fixed one are hidden
    meanwhile.

    Parameters
    ----------
    viewer : napari viewer
        With a window.
    parent : QObject
        Ends with it.

    Signals
    -------
    ended()
        The user has hidden or removed what showed the difference.
    dragged()
        The line was moved in the image.
    """

    ended = Signal()
    dragged = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject | None) -> None:
        super().__init__(parent)
        self._viewer = own_viewer(viewer)
        self._pair: Pair | None = None
        self._differences: list[Layer] = []
        self._differs = "", False  # the mode of these, and whether they are volumes
        self.mode = ""
        self.tiles = 8  # along the longer side
        self.rate = 2.0  # images a second
        self.line = 0.5  # of the width
        self._turn = FIXED
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._take_turns)

    @property
    def layers(self) -> tuple[Layer, Layer] | None:
        """The compared layers."""
        return None if self._pair is None else (self._pair.fixed, self._pair.warped)

    def show(self, mode: str, fixed: Layer, warped: Layer) -> None:
        """Compare two layers in one of `MODES`; an empty one shows them as they are."""
        if self.layers != (fixed, warped):
            self.clear()
        if not mode:
            self.clear()
            return
        if self._pair is None:
            self._begin(fixed, warped)
        self.mode = mode
        self._draw()

    def clear(self) -> None:
        """Show all layers as they are."""
        pair, self._pair, self.mode = self._pair, None, ""
        self._timer.stop()
        self._remove_differences()
        if pair is None:
            return
        self._viewer.dims.events.disconnect(self._redraw)
        self._viewer.layers.events.removed.disconnect(self._removed)
        self._viewer.mouse_drag_callbacks.remove(self._drag)
        for lens in pair.lenses:
            lens.set(rule=WHOLE, tint=PLAIN)
        pair.warped.blending = "translucent"
        for hidden in pair.hidden:
            layer = hidden()
            if layer is not None:
                layer.visible = True

    def set(self, tiles: int | None = None, rate: float | None = None, line: float | None = None) -> None:
        """Change the size of the tiles, the rate of the flicker or the place of the line."""
        self.tiles = self.tiles if tiles is None else tiles
        self.rate = self.rate if rate is None else rate
        self.line = self.line if line is None else min(max(line, 0.0), 1.0)
        if self._pair is not None:
            self._draw()

    # The two layers --------------------------------------------------------------------------------------

    def _begin(self, fixed: Layer, warped: Layer) -> None:
        """Hide what lies over the pair, and follow the viewer."""
        above = list(self._viewer.layers)[self._viewer.layers.index(fixed) + 1 :]
        hidden = [one for one in above if isinstance(one, Image) and one.visible and one is not warped]
        self._pair = Pair(fixed, warped, [], [ref(layer) for layer in hidden])
        for layer in hidden:
            layer.visible = False
        for layer in (fixed, warped):
            _set_visible(layer, True)
        self._viewer.dims.events.connect(self._redraw)
        self._viewer.layers.events.removed.connect(self._removed)
        self._viewer.mouse_drag_callbacks.append(self._drag)

    def _removed(self, event: Any) -> None:
        """End with one of the layers."""
        if event.value in self._differences:
            self._gone()
        if self._pair is not None and event.value in (self._pair.fixed, self._pair.warped):
            self.clear()

    def _redraw(self, event: Any = None) -> None:
        """Follow a change between slices and volumes, after napari."""
        if event is None or event.type in ("ndisplay", "order"):
            QTimer.singleShot(0, self._draw)

    def _draw(self) -> None:
        """Draw the pair in the chosen mode."""
        pair = self._pair
        if pair is None:
            return
        self._attach(pair)
        rule, overlay = RULES.get(self.mode, WHOLE), self.mode == OVERLAY
        blending = "additive" if overlay else "translucent"
        if pair.warped.blending != blending:
            pair.warped.blending = blending
        common = {"rule": rule, "turn": self._turn, **self._divided(pair.fixed)}
        for lens in pair.lenses:
            lens.set(**common, tint=(CYAN if lens.side == WARPED else RED) if overlay else PLAIN)
        if self.mode == FLICKERING:
            self._timer.start(round(1000 / self.rate))
        else:
            self._timer.stop()
        self._differ(pair)

    def _attach(self, pair: Pair) -> None:
        """Put a lens on what draws each of the two layers now."""
        pair.lenses = []
        drawn = self._viewer.window._qt_viewer.canvas.layer_to_visual
        for side, layer in ((FIXED, pair.fixed), (WARPED, pair.warped)):
            node = drawn[layer].node
            # A large image is drawn by many.
            visuals = [node] if isinstance(node, Visual) else list(node.children)
            for visual in visuals:
                lens = lens_on(visual, isinstance(layer, Image) and layer.rgb)
                lens.set(side=side)
                pair.lenses.append(lens)

    def _divided(self, fixed: Layer) -> dict[str, Any]:
        """Where tiles and the line lie: in the world, or for volumes on the screen."""
        if self._viewer.dims.ndisplay == 3:
            low, high = np.zeros(2), self._canvas_size()
        else:
            low, high = self._extent(fixed)
        size = high - low
        return {
            "screen": float(self._viewer.dims.ndisplay == 3),
            "origin": tuple(low),
            "tile": float(size.max() / self.tiles),
            "line": float(self.line * size[0]),
        }

    def _extent(self, layer: Layer) -> tuple[Array, Array]:
        """The corners of a layer in the displayed plane, x first, in the units of the viewer."""
        dims = self._viewer.dims
        axes = [axis - dims.ndim for axis in dims.displayed[::-1]]
        units = layer.units if dims.units is None else dims.units
        scale = np.array([unit_factor(str(layer.units[axis]), str(units[axis])) for axis in axes])
        half = np.abs(layer.extent.step[axes]) / 2
        low, high = layer.extent.world[:, axes]
        return (low - half) * scale, (high + half) * scale

    def _canvas_size(self) -> Array:
        """Of the canvas, in pixels of the screen."""
        return np.array(self._viewer.window._qt_viewer.canvas._scene_canvas.physical_size, dtype=float)

    # Flicker, swipe, difference ----------------------------------------------------------------------------

    def _take_turns(self) -> None:
        self._turn = WARPED if self._turn == FIXED else FIXED
        for lens in self._pair.lenses if self._pair is not None else ():
            lens.set(turn=self._turn)

    def _drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """Move the line of the swipe with the mouse."""
        if self.mode != SWIPED or self._pair is None or abs(self._at(event) - self.line) > self._reach():
            return
        camera = camera_of(self._viewer)
        camera.mouse_pan = False
        yield
        while event.type == "mouse_move":
            self.set(line=self._at(event))
            self.dragged.emit()
            yield
        camera.mouse_pan = True

    def _at(self, event: Any) -> float:
        """Where the mouse is, as a fraction of the width that is divided."""
        assert self._pair is not None
        if self._viewer.dims.ndisplay == 3:
            canvas = self._viewer.window._qt_viewer.canvas
            return float(event.pos[0] / canvas.size[1])
        low, high = self._extent(self._pair.fixed)
        return float((event.position[self._viewer.dims.displayed[-1]] - low[0]) / (high[0] - low[0]))

    def _reach(self) -> float:
        """How near to the line the mouse grasps it, as such a fraction."""
        assert self._pair is not None
        if self._viewer.dims.ndisplay == 3:
            return float(NEAR / self._canvas_size()[0])
        low, high = self._extent(self._pair.fixed)
        return float(NEAR / camera_of(self._viewer).zoom / (high[0] - low[0]))

    def _differ(self, pair: Pair) -> None:
        """Add the layers of a difference, whose pixels are computed when they are drawn, or remove them."""
        differs = self.mode if self.mode in (SIGNED, ABSOLUTE) else "", self._viewer.dims.ndisplay == 3
        if differs == self._differs:
            return
        self._remove_differences()
        mode, volume = self._differs = differs
        if not mode:
            return
        layers = self._viewer.layers
        selected = list(layers.selection)
        taken = snapshot(pair.fixed, self._viewer)
        self._differences = difference_layers(
            taken, pair.fixed, pair.warped, absolute=mode == ABSOLUTE, volume=volume
        )
        for layer in self._differences:
            layers.append(layer)
            layer.events.visible.connect(self._gone)
        layers.selection = selected

    def _remove_differences(self) -> None:
        layers, self._differences, self._differs = self._differences, [], ("", False)
        for layer in layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _gone(self, event: Any = None) -> None:
        """Notice that a difference was hidden or removed, after napari."""
        QTimer.singleShot(0, self._end)

    def _end(self) -> None:
        """Show the pair again if there is nothing else to see."""
        layers = self._viewer.layers
        if not all(one in layers and one.visible for one in self._differences):
            self.clear()
            self.ended.emit()


def _set_visible(layer: Layer, on: bool) -> None:
    """Show or hide a layer; napari would slice one again that is shown already, and send it to the card."""
    if layer.visible != on:
        layer.visible = on


def camera_of(viewer: ViewerModel) -> Any:
    """The viewer's camera, which napari 0.9 keeps elsewhere."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
