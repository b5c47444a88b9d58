"""Placing pairs with the mouse: a click in the fixed image, then one in the moving image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from ...core.geometry import Array
from ...core.progress import Progress
from ...metrics.landmarks import find_partner
from ...transforms import Affine, Transform, chain
from ..background.worker import Runner
from ..widgets.canvas_context import own_viewer
from .pairs import PointPairs
from .visibility import Visibility

STILL = 5  # pixels of the screen that the mouse may move during a click
KEYS = {"accept": ("Return", "Enter"), "refine": ("R",), "skip": ("Escape",)}
FIRST = "Click landmark {} in the fixed image. Escape ends."
SECOND = "Landmark {}: click it in the moving image, or accept it (Enter), refine it (R), skip it (Esc)."
VOLUME = "Landmarks are placed in slices: switch the viewer to 2D."


class Placing(QObject):
    """The mode in which clicks place pairs.

    While a fixed point is expected the moving image and its points are hidden, and the other way round,
    unless a preview shows one over the other.

    Parameters
    ----------
    viewer : napari viewer
        With a window.
    pairs : PointPairs
    present : callable
        Gives the transform that proposes the second point.
    preview : callable
        Gives the transform through which the moving image is seen now; None if it lies where it is.
    visibility : Visibility
    parent : QObject
        Ends with it.

    Attributes
    ----------
    hint : str
        What is expected of the user.

    Signals
    -------
    changed()
        Another point is expected, or the mode has ended.
    """

    changed = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        pairs: PointPairs,
        present: Callable[[], Transform],
        preview: Callable[[], Transform | None],
        visibility: Visibility,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = own_viewer(viewer)
        self._pairs, self._present, self._preview = pairs, present, preview
        self._visibility = visibility
        self._runner = Runner()
        self._modes: list[str] = []
        self._canvas = self._viewer.window._qt_viewer.canvas.native
        self._shortcuts: list[QShortcut] = []
        self._news = ""
        self.on = False

    @property
    def second(self) -> bool:
        """Whether the fixed point is placed, and the moving one is expected."""
        return self._pairs.pending is not None

    @property
    def hint(self) -> str:
        """What is expected of the user; empty while the mode is off."""
        if not self.on:
            return ""
        if self._viewer.dims.ndisplay == 3:
            return VOLUME
        if self._pairs.pending is not None:
            return " ".join([self._news, SECOND.format(self._pairs.pending)]).strip()
        return FIRST.format(self._pairs.next_number())

    def start(self) -> None:
        """Begin to take clicks."""
        if self.on:
            return
        self.on = True
        pairs = self._pairs
        points = pairs.fixed.points, pairs.moving.points
        self._modes = [str(layer.mode) for layer in points]
        for layer in points:
            layer.mode = "pan_zoom"
        self._viewer.layers.selection.active = points[0]  # else a click would draw in another layer
        self._viewer.mouse_drag_callbacks.append(self._click)
        self._viewer.dims.events.ndisplay.connect(self._show)
        self._shortcuts = [
            self._shortcut(key, act)
            for name, act in (("accept", self.accept), ("refine", self.refine), ("skip", self.skip))
            for key in KEYS[name]
        ]
        self._show()

    def stop(self) -> None:
        """Take no more clicks; a half placed pair is taken back, and all layers are as visible as before."""
        if not self.on:
            return
        self._take_back()
        self.on = False
        self._runner.cancel()
        self._viewer.mouse_drag_callbacks.remove(self._click)
        self._viewer.dims.events.ndisplay.disconnect(self._show)
        for shortcut in self._shortcuts:
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
        self._visibility.wish("placing", {})
        points = self._pairs.fixed.points, self._pairs.moving.points
        for one, mode in zip(points, self._modes, strict=True):
            one.mode = mode
        self.changed.emit()

    def cancel(self) -> None:
        """Search no longer; uses nothing of Qt."""
        self._runner.cancel()

    def accept(self) -> None:
        """Count the proposed pair, and expect the next one where the fixed point lies."""
        if self.on and self.second:
            fixed, _ = self._points(self._pairs.pending)
            self._runner.cancel()
            self._pairs.settle()
            self._back_to(fixed)

    def skip(self) -> None:
        """Take a half placed pair back; without one, end the mode."""
        if not self.on:
            return
        if self.second:
            fixed, _ = self._points(self._pairs.pending)
            self._runner.cancel()
            self._take_back()
            self._back_to(fixed)
        else:
            self.stop()

    def refine(self) -> None:
        """Search for the moving point around where it is now, in the background."""
        if not (self.on and self.second):
            return
        pairs, number = self._pairs, self._pairs.pending
        fixed, moving = self._points(number)
        present = self._present()
        offset = moving - present(fixed[None])[0]
        begin = chain(Affine.translation(offset), present) if offset.any() else present
        first, second = pairs.fixed.taken, pairs.moving.taken

        def job(progress: Progress) -> tuple[Array, float]:
            progress(0.0, "searching")
            return find_partner(pairs.fixed.pixels(first), pairs.moving.pixels(second), fixed, begin)

        self._runner.start(
            job,
            report=lambda report: None,
            done=lambda found: self._refined(number, *found),
            failed=lambda error: self._tell(str(error).split("\n")[0]),
            warned=lambda text: None,
        )

    def _refined(self, number: int | None, place: Array, correlation: float) -> None:
        if number is not None and number == self._pairs.pending:
            self._pairs.place(number, moving=place)
            self._go_to(self._seen(*self._points(number)))
            self._tell(f"Refined: the patches correlate by {correlation:.2f}.")

    def _tell(self, news: str) -> None:
        """Say what a refinement has found, or why not."""
        self._news = news
        self.changed.emit()

    def _click(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """A click, and not a drag, places a point."""
        begin = np.array(event.pos)
        plain = event.button == 1 and not event.modifiers
        yield
        while event.type == "mouse_move":
            yield
        moved = float(np.linalg.norm(np.array(event.pos) - begin))
        if plain and moved < STILL and self.on and self._viewer.dims.ndisplay == 2:
            self._place(event.position)

    def _place(self, position: Any) -> None:
        """Place the point that is expected at a position in the viewer's world."""
        pairs = self._pairs
        if pairs.pending is None:
            fixed = pairs.fixed.from_view(position)
            pairs.pending = pairs.next_number()
            pairs.place(pairs.pending, fixed, self._present()(fixed[None])[0])
            self._show()
            self._go_to(self._seen(*self._points(pairs.pending)))
            return
        through = self._preview()
        if through is None:
            moving = pairs.moving.from_view(position)
        else:  # the moving image is seen at x where it is at T(x)
            moving = through(pairs.fixed.from_view(position)[None])[0]
        pairs.place(pairs.pending, moving=moving)
        self.accept()

    def _points(self, number: int | None) -> tuple[Array, Array]:
        """The fixed and the moving point of a pair."""
        sides = self._pairs.fixed, self._pairs.moving
        first, second = (side.world[np.flatnonzero(side.numbers == number)[0]] for side in sides)
        return first, second

    def _seen(self, fixed: Array, moving: Array) -> Array:
        """Where a moving point is seen, in the viewer's world."""
        if self._preview() is None:
            return self._pairs.moving.to_view(moving)
        return self._pairs.fixed.to_view(fixed)

    def _go_to(self, place: Array) -> None:
        """Show a place if it is not on the screen, and its slice."""
        show_place(self._viewer, place, only_if_hidden=True)

    def _back_to(self, fixed: Array) -> None:
        """Show the fixed image again, where a point of it lies."""
        self._show()
        self._go_to(self._pairs.fixed.to_view(fixed))

    def _take_back(self) -> None:
        number = self._pairs.pending
        if number is not None:
            self._pairs.remove(number)
            self._pairs.settle()

    def _show(self, event: Any = None) -> None:
        """Show the image in which the next click is expected."""
        fixed, moving = self._pairs.fixed, self._pairs.moving
        sides = {False: (fixed.image, fixed.points), True: (moving.image, moving.points)}
        shown = {layer: second is self.second for second, layers in sides.items() for layer in layers}
        self._news = ""
        self._visibility.wish("placing", shown)
        self.changed.emit()

    def _shortcut(self, key: str, act: Callable[[], None]) -> QShortcut:
        """A key that works while the canvas has the focus."""
        shortcut = QShortcut(QKeySequence(key), self._canvas)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(act)
        return shortcut


def show_place(viewer: ViewerModel, place: Array, only_if_hidden: bool = False) -> None:
    """Centre the camera on a place of the viewer's world, on its slice.

    Parameters
    ----------
    viewer : napari viewer
        With a window.
    place : ndarray
        Along all axes of the viewer.
    only_if_hidden : bool
        Whether the camera stays where it is if the place is on the screen.
    """
    own = own_viewer(viewer)
    camera = own.scene.camera if hasattr(own, "scene") else own.camera
    dims = own.dims
    dims.set_point(range(dims.ndim), place)
    shown = list(dims.displayed)
    centre = np.array(camera.center, dtype=float)[-len(shown) :]
    half = np.array(own.window._qt_viewer.canvas.size) / 2 / camera.zoom
    inside = len(shown) == 2 and bool((np.abs(place[shown] - centre) < 0.9 * half).all())
    if not (only_if_hidden and inside):
        camera.center = (*camera.center[: 3 - len(shown)], *place[shown])
