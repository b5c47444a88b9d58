"""The moving image as a transform shows it, while the transform changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Layer, Points
from qtpy.QtCore import QObject

from ...core.geometry import Array, Grid
from ...core.progress import Progress
from ...transforms import Transform, warp
from ..background.worker import Runner
from ..layers.placement import over_axes, stays_in_slices
from ..layers.snapshots import grid_kwargs, like_layer
from ..look.look import OVERLAY, Look
from ..widgets.canvas_context import own_viewer
from .pairs import PointPairs, colours_of
from .visibility import Visibility

PIXELS = {2: 256**2, 3: 72**3}  # of an image that is resampled for a preview
MINE = {"voxreg": {"kind": "preview"}}  # so that no panel takes it for an image of the user's
STEPS = 3  # of Newton, to where a landmark is seen


class Preview(QObject):
    """Shows fixed and moving image on top of each other through a transform.

    A linear transform moves a copy of the moving layer, which shares its pixels: nothing is resampled. Other
    ones, and rotations of a volume out of the slice, are shown by a coarse image that is warped in the
    background. The user's layers are only hidden, and shown again afterwards.

    Parameters
    ----------
    viewer : napari viewer
        With a window.
    pairs : PointPairs
    visibility : Visibility
    parent : QObject
        Ends with it.

    Attributes
    ----------
    transform : Transform or None
        Through which the moving image is seen.
    changing : bool
        Whether the layers of the viewer change only because of the preview.
    """

    def __init__(
        self, viewer: ViewerModel, pairs: PointPairs, visibility: Visibility, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._visibility = visibility
        self._viewer = own_viewer(viewer)
        self._pairs = pairs
        self._look = Look(viewer, self)
        self._runner = Runner()
        self._image: ImageLayer | None = None
        self._marks: Points | None = None
        self._waiting: Transform | None = None
        self.transform: Transform | None = None
        self.changing = False

    @property
    def on(self) -> bool:
        """Whether a preview is shown."""
        return self.transform is not None

    @property
    def lost(self) -> bool:
        """Whether a layer of the preview was removed from the viewer."""
        mine = [layer for layer in (self._image, self._marks) if layer is not None]
        return any(layer not in self._viewer.layers for layer in mine)

    def show(self, transform: Transform) -> None:
        """Show the moving image through a transform from the fixed world to the moving one."""
        if not self.on:
            fixed, moving = self._pairs.fixed, self._pairs.moving
            hidden = {moving.image: False, moving.points: False}
            self._visibility.wish("preview", {**hidden, fixed.image: True, fixed.points: True})
        self.transform = transform
        with self._own_change():
            self._mark(transform)
            matrix = self._affine(transform)
            if matrix is None:
                self._waiting = transform
                self._warp_next()
                return
            self._waiting = None
            if self._image is None or self._image.metadata.get("resampled"):
                self._put(self._copy(matrix))
            else:
                self._image.affine = matrix

    def end(self) -> None:
        """Show the layers as they were."""
        if not self.on:
            return
        self.transform = None
        self.cancel()
        with self._own_change():
            self._put(None)
            if self._marks is not None and self._marks in self._viewer.layers:
                self._remove(self._marks)
        self._marks = None
        self._visibility.wish("preview", {})

    def cancel(self) -> None:
        """Warp nothing more; uses nothing of Qt."""
        self._waiting = None
        self._runner.cancel()

    @contextmanager
    def _own_change(self) -> Iterator[None]:
        before, self.changing = self.changing, True
        try:
            yield
        finally:
            self.changing = before

    # The image -------------------------------------------------------------------------------------------

    def _affine(self, transform: Transform) -> Array | None:
        """The affine with which the moving layer is seen through a transform; None if there is none."""
        if not transform.linear or transform.matrix is None:
            return None
        side, taken = self._pairs.moving, self._pairs.moving.taken
        axes = [axis + taken.ndim for axis in side.axes]
        # From the world of the layer to that in which it is seen.
        seen = over_axes(np.linalg.inv(transform.matrix), axes, side.factors, taken.ndim)
        if not stays_in_slices(seen, self._viewer):
            return None
        found: Array = seen @ side.image.affine.affine_matrix
        return found

    def _copy(self, matrix: Array) -> ImageLayer:
        """A layer with the pixels of the moving one, placed by an affine."""
        image = self._pairs.moving.image
        place = {**like_layer(image), "affine": matrix}
        look = {} if image.rgb else {"contrast_limits": image.contrast_limits}
        return ImageLayer(
            image.data, rgb=image.rgb, multiscale=image.multiscale, metadata=dict(MINE), **look, **place
        )

    def _warp_next(self) -> None:
        """Warp through the transform that was asked for last, one at a time."""
        if self._runner.busy or self._waiting is None:
            return
        transform, self._waiting = self._waiting, None
        fixed, moving = self._pairs.fixed, self._pairs.moving
        grid, taken = _coarse(fixed.grid), moving.taken

        def job(progress: Progress) -> Array:
            progress(0.0, "warping a preview")
            # Outside the moving image nothing is seen: 0 may be its brightest value.
            found: Array = warp(moving.pixels(taken), transform, grid, fill=np.nan).data
            return found

        self._runner.start(
            job,
            report=lambda report: None,
            done=lambda data: self._warped(data, grid),
            failed=lambda error: None,
            warned=lambda text: None,
        )

    def _warped(self, data: Array, grid: Grid) -> None:
        if not self.on:
            return
        old = self._image
        with self._own_change():
            if old is not None and old.metadata.get("resampled") and old.data.shape == data.shape:
                old.data = data
            else:
                self._put(self._resampled(data, grid))
        self._warp_next()

    def _resampled(self, data: Array, grid: Grid) -> ImageLayer:
        """A layer of warped pixels."""
        image = self._pairs.moving.image
        seen = data[np.isfinite(data)] if np.isfinite(data).any() else np.zeros(1)
        low, high = (float(seen.min()), float(seen.max())) if image.rgb else image.contrast_limits
        limits = low, max(high, low + 1e-9)
        meta = {**MINE, "resampled": True}
        return ImageLayer(data, rgb=False, contrast_limits=limits, metadata=meta, **grid_kwargs(grid))

    def _put(self, layer: ImageLayer | None) -> None:
        """Show another image, or none."""
        old, self._image = self._image, layer
        self._look.clear()
        if old is not None and old in self._viewer.layers:
            self._remove(old)
        if layer is not None:
            layer.name = f"preview: {self._pairs.moving.image.name}"
            layers = self._viewer.layers
            self._add(layer, 1 + max(map(layers.index, (self._pairs.fixed.image, self._pairs.moving.image))))
            self._look.show(OVERLAY, self._pairs.fixed.image, layer)

    # The landmarks ----------------------------------------------------------------------------------------

    def _mark(self, transform: Transform) -> None:
        """Show where the moving landmarks lie in the preview."""
        fixed, moving = self._pairs.fixed, self._pairs.moving
        _, at, there = np.intersect1d(fixed.numbers, moving.numbers, return_indices=True)
        numbers = fixed.numbers[at]
        seen, wanted = fixed.world[at], moving.world[there]
        for _ in range(STEPS if len(seen) else 0):
            slope = transform.jacobian(seen)
            step = np.einsum("nij,nj->ni", np.linalg.pinv(slope), wanted - transform(seen))
            seen = seen + step
        data = fixed.to_data(seen)
        if self._marks is None or self._marks not in self._viewer.layers:
            self._marks = Points(
                data,
                name="preview: moving landmarks",
                symbol="cross",
                metadata=dict(MINE),
                size=fixed.points.current_size,
                canvas_size_limits=fixed.points.canvas_size_limits,
                border_width=0,
                **like_layer(fixed.points),
            )
            self._marks.editable = False
            self._add(self._marks, len(self._viewer.layers))
        else:
            self._marks.data = data
        if len(numbers):
            self._marks.face_color = colours_of(numbers)

    def _add(self, layer: Layer, place: int) -> None:
        """Add a layer without changing which are selected."""
        selection = self._viewer.layers.selection
        before, active = set(selection), selection.active
        self._viewer.layers.insert(place, layer)
        selection.clear()
        selection.update(before)
        selection.active = active

    def _remove(self, layer: Layer) -> None:
        selection = self._viewer.layers.selection
        before, active = set(selection) - {layer}, selection.active
        self._viewer.layers.remove(layer)
        if active is not layer:
            selection.clear()
            selection.update(before)
            selection.active = active


def _coarse(grid: Grid) -> Grid:
    """A grid on the same place with so few pixels that it is warped at once."""
    steps = [1] * grid.ndim
    while np.prod(grid.coarsened(steps).shape) > PIXELS[grid.ndim]:
        at = int(np.argmin(grid.spacing * steps))
        steps[at] += 1
    return grid.blocks(steps)
