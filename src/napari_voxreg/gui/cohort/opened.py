"""The template of a cohort, and the image that is compared with it."""

from __future__ import annotations

import napari.viewer
from napari.layers import Layer

from ..layers.placement import LayerData
from ..look.look import Look
from ..session.state import SessionState
from .job import CohortDone


class Opened:
    """The layers of a cohort in a viewer: the template, and one image at a time.

    Parameters
    ----------
    viewer : napari.Viewer
    look : Look
        Compares the two.
    state : SessionState
        Remembers how.
    """

    def __init__(self, viewer: napari.viewer.Viewer, look: Look, state: SessionState) -> None:
        self._viewer, self._look, self._state = viewer, look, state
        self._template: Layer | None = None
        self._image: Layer | None = None

    def clear(self) -> None:
        """Leave the layers to the user."""
        self._look.clear()
        self._template = self._image = None

    def add_template(self, data: list[LayerData]) -> None:
        """Show the template of a run, the last of its layers, and those below it."""
        layers = [self._viewer.add_layer(Layer.create(*one)) for one in data]
        self._template = layers[-1]

    def show(self, done: CohortDone, data: list[LayerData], aligned: bool) -> None:
        """Show an image in place of the one before; an aligned one is compared with the template."""
        self._look.clear()
        layers = self._viewer.layers
        if self._image is not None and self._image in layers:
            layers.remove(self._image)
        if self._template is None or self._template not in layers:
            self.add_template(done.layers[-1:])
        (self._image,) = (self._viewer.add_layer(Layer.create(*one)) for one in data)
        if aligned:
            self.compare(self._state.look)

    def compare(self, mode: str) -> None:
        """Compare the two in another way, which is remembered."""
        self._state.look = mode
        pair = [layer for layer in (self._template, self._image) if layer is not None]
        if len(pair) == 2 and all(layer in self._viewer.layers for layer in pair):
            self._look.show(mode, *pair)
