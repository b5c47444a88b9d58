"""The pose of the moving image as it is set by hand, seen in its own layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QWidget

from ...core.geometry import Array, Grid, apply_affine, unit_factor
from ...registration.slices import Slices
from ...transforms import Affine
from ..layers.guess import common_ndim
from ..layers.placement import over_axes, stays_in_slices
from ..layers.snapshots import LayerSnapshot, snapshot
from ..look.look import OVERLAY, Look
from ..widgets.canvas_context import own_viewer

TRANSFORM = "transform"  # napari's mode in which a layer is dragged


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the two images lie, as a registration sees them.

    Parameters
    ----------
    fixed, moving : Grid
        Without one-pixel-thin axes, at the layers' own places, in the units of the fixed one.
    world : list of int
        The axes of the viewer, counted from the last, that the grids have.
    axes : list of int
        Those of the moving layer.
    factors : ndarray, shape (d,)
        How many units of the fixed image one of the moving layer is.
    """

    fixed: Grid
    moving: Grid
    world: list[int]
    axes: list[int]
    factors: Array


class HandPose(QObject):
    """Moves the moving layer by its affine, so that nothing is resampled, and puts it back.

    The two are overlaid meanwhile. Whatever else changes the affine while the pose is seen, as napari's
    transform mode does, changes the pose.

    Parameters
    ----------
    viewer : napari viewer
        With a window.
    parent : QWidget
        Ends with it. While it is hidden, the layer is at its own place.

    Attributes
    ----------
    transform : Affine or None
        From the fixed world to that of the moving layer at its own place; None before anything was done.
    start : Affine or None
        From where the first step starts, if not from the layer's own place.
    seen : bool
        Whether the layer is moved.
    watched : bool
        Whether a layer that is dragged in napari's transform mode is posed by hand.

    Signals
    -------
    changed()
        The pose is another one.
    seen_changed()
        The layer is seen in the pose, or at its own place again.
    """

    changed = Signal()
    seen_changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        super().__init__(parent)
        parent.installEventFilter(self)
        self._viewer = own_viewer(viewer)
        self._look = Look(viewer, self)
        self._fixed: Image | None = None
        self._moving: Image | None = None
        self._original = np.eye(3)  # the affine of the moving layer at its own place
        self._before: dict[Layer, tuple[bool, str]] = {}  # visible, and blending
        self._own = self._paused = False
        self._found: tuple[str, Frame | None] | None = None  # looked up once, since a drag asks at each step
        self.transform: Affine | None = None
        self.start: Affine | None = None
        self.seen = self.watched = False

    # The pair -------------------------------------------------------------------------------------------

    def set_pair(self, fixed: Layer | None, moving: Layer | None) -> None:
        """Pose another moving layer; the one before goes back to its own place, and its pose is forgotten."""
        self._found = None
        if fixed is self._fixed and moving is self._moving:
            return
        self.clear()
        if self._moving is not None:
            self._moving.events.affine.disconnect(self._affine_changed)
        self._fixed, self._moving = fixed, moving
        if moving is not None:
            self._original = moving.affine.affine_matrix.copy()
            moving.events.affine.connect(self._affine_changed)

    def reason(self) -> str:
        """Why the pair cannot be posed by hand; empty if it can."""
        if self._found is None:
            against = self._reason()
            self._found = against, None if against else self._frame()
        return self._found[0]

    @property
    def frame(self) -> Frame:
        """Where the two images lie; there must be no `reason` against them."""
        self.reason()
        assert self._found is not None and self._found[1] is not None
        return self._found[1]

    def _reason(self) -> str:
        if self._fixed is None or self._moving is None or self._fixed is self._moving:
            return "Choose a fixed and a moving image."
        try:
            common_ndim(self._fixed, self._moving)
        except ValueError as error:
            return str(error)
        grids = snapshot(self._fixed).grid(), snapshot(self._moving).grid()
        if grids[0].ndim == grids[1].ndim and Slices.of(grids[0], grids[1].in_world_of(grids[0])):
            return "Slices that lie obliquely cannot be posed by hand; set their place in napari."
        return ""

    def _frame(self) -> Frame:
        assert self._fixed is not None and self._moving is not None
        ndim = common_ndim(self._fixed, self._moving)
        taken = snapshot(self._fixed, self._viewer)
        fixed, axes = taken.flat(ndim)
        moving, own = self.at_its_place(snapshot(self._moving, self._viewer)).flat(ndim)
        factors = [unit_factor(a, b) for a, b in zip(moving.units, fixed.units, strict=True)]
        world = [axis - taken.ndim for axis in axes]
        return Frame(fixed, moving.in_world_of(fixed), world, own, np.array(factors))

    def at_its_place(self, taken: LayerSnapshot) -> LayerSnapshot:
        """A snapshot of the moving layer as if it were at its own place."""
        if not self.seen or self._moving is None:
            return taken
        back = self._original @ np.linalg.inv(self._moving.affine.affine_matrix)
        return replace(
            taken, affine=back @ taken.affine, placement={**taken.placement, "affine": self._original.copy()}
        )

    # The pose -------------------------------------------------------------------------------------------

    @property
    def centre(self) -> Array:
        """Where the centre of the moving image is seen, in the world of the fixed one, (d,)."""
        centre: Array = apply_affine(np.linalg.inv(self._matrix), self.frame.moving.centre[None])[0]
        return centre

    def move(self, step: Array) -> None:
        """Move what is seen by a map (d + 1, d + 1) of the fixed world."""
        self.show(Affine(self._matrix @ np.linalg.inv(step)))

    def take(self, transform: Affine | None) -> None:
        """Take a pose without showing it."""
        self.transform = transform
        self.changed.emit()

    def show(self, transform: Affine | None = None) -> None:
        """Show the moving layer in a pose, by default in the last one."""
        if self._moving is None or self.reason():
            return
        frame = self.frame
        self.transform = transform or Affine(self._matrix)
        motion = over_axes(np.linalg.inv(self._matrix), frame.axes, frame.factors, self._moving.ndim)
        if not stays_in_slices(motion, self._viewer):
            self._viewer.dims.ndisplay = 3  # napari's slices cannot show it
        with self._own_change():
            self._moving.affine = motion @ self._original
        self._see()
        self.changed.emit()

    def end(self) -> None:
        """Put the layer back to its own place; the pose is kept."""
        if not self.seen or self._moving is None:
            return
        self.seen = False
        with self._own_change():
            self._moving.affine = self._original
        self._look.clear()
        for layer, (visible, blending) in self._before.items():
            layer.blending = blending
            layer.visible = layer.visible and visible  # it may have been hidden meanwhile
        self._before = {}
        self.seen_changed.emit()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Put the layer back while the panel is hidden: nothing would tell why it is elsewhere."""
        if event.type() == QEvent.Type.Hide and not event.spontaneous():
            self._paused = self.seen
            self.end()
        elif event.type() == QEvent.Type.Show and self._paused:
            self._paused = False
            if self.transform is not None:
                self.show()
        return False

    def clear(self) -> None:
        """Forget the pose."""
        self.end()
        if self.transform is not None:
            self.take(None)

    @property
    def _matrix(self) -> Array:
        """The transform's, or that of the start."""
        given = self.transform or self.start
        return np.eye(self.frame.fixed.ndim + 1) if given is None else given.matrix

    # The layer ------------------------------------------------------------------------------------------

    def _see(self) -> None:
        """Overlay the two layers, once."""
        if self.seen or self._fixed is None or self._moving is None:
            return
        self.seen = True
        self.seen_changed.emit()
        layers = self._viewer.layers
        pair = sorted((self._fixed, self._moving), key=layers.index)
        self._before = {layer: (layer.visible, layer.blending) for layer in pair}
        self._look.show(OVERLAY, *pair)  # the upper one is added to the lower one

    def _affine_changed(self, event: Any = None) -> None:
        """Read the pose of a layer that was moved in another way."""
        assert self._moving is not None
        if self._own:
            return
        if not self.seen and not (self.watched and self._moving.mode == TRANSFORM and not self.reason()):
            self._original, self._found = self._moving.affine.affine_matrix.copy(), None
            return
        frame, n = self.frame, self._moving.ndim
        whole = self._moving.affine.affine_matrix @ np.linalg.inv(self._original)
        at = np.ix_([*frame.axes, n], [*frame.axes, n])
        units = np.diag([*frame.factors, 1.0])
        try:
            self.transform = Affine(np.linalg.inv(units @ whole[at] @ np.linalg.inv(units)))
        except ValueError:
            return  # dragged through a size of zero
        self._see()
        self.changed.emit()

    @contextmanager
    def _own_change(self) -> Iterator[None]:
        self._own = True
        try:
            yield
        finally:
            self._own = False
