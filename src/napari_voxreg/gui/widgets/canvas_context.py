"""The viewer behind its proxy, and the OpenGL context of its canvas while a layer is removed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from weakref import WeakSet

from napari.components import ViewerModel

_kept: WeakSet[ViewerModel] = WeakSet()


def own_viewer(viewer: ViewerModel) -> ViewerModel:
    """The viewer itself: a plugin gets a proxy, a new one each time, which does not give the canvas."""
    own: ViewerModel = getattr(viewer, "__wrapped__", viewer)
    return own


def keep_context(viewer: ViewerModel) -> None:
    """Make the canvas's context current before any layer of a viewer is removed.

    napari deletes the layer's textures and programs at once, in whatever context is current then. In that of
    another widget, Mesa keeps a deleted program in use and crashes at the next drawing.

    Parameters
    ----------
    viewer : napari viewer
        With a window.
    """
    own = own_viewer(viewer)
    if own in _kept:
        return
    _kept.add(own)
    canvas = own.window._qt_viewer.canvas.native

    def make_current(event: Any) -> None:
        with suppress(RuntimeError):  # the window is gone
            canvas.makeCurrent()

    own.layers.events.removing.connect(make_current, position="first")
