"""The demo: the fundus pair registered by the Register panel, and how far it is from the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

from ..core.geometry import Array, short_unit
from ..core.process import MethodUnavailable
from ..images.preprocess import driving_channel
from ..registration.register import DEFAULT_METHOD
from ..registration.result import Result
from ..samples import make_sample
from ..samples.base import Sample
from ..transforms import Affine, Transform

SIZE = (1640, 900)  # of the window in the picture
SETTLE = 700  # milliseconds that napari needs to lay out and draw before a picture is taken


def demo(picture: Path | None, say: Callable[[str], None]) -> None:
    """Open napari with the fundus pair, register it in the panel and show the result.

    Parameters
    ----------
    picture : path or None
        Where to save a picture of the window, which then closes; with None it stays open until the user
        closes it.
    say : callable
        Is told the verdict and the true error, and where the picture is.

    Raises
    ------
    MethodUnavailable
        If the registration failed.
    """
    sample = make_sample("fundus")
    viewer = napari.Viewer(title="napari-voxreg")
    viewer.window.resize(*SIZE)
    viewer.open_sample("napari-voxreg", sample.name)
    _, panel = viewer.window.add_plugin_dock_widget("napari-voxreg", "Register")
    panel.method.choose(DEFAULT_METHOD)
    failures: list[str] = []

    def done(result: Result) -> None:
        panel.finished.disconnect(done)  # what the user runs next is no longer the demo
        _arrange(viewer)
        panel.outcome.details.open = True
        say(result.verdict.sentence)
        say(true_error(sample, result.transform))
        if picture is not None:
            QTimer.singleShot(SETTLE, lambda: _photograph(viewer, picture, say))

    def failed(sentence: str) -> None:
        failures.append(sentence)
        if picture is not None:
            viewer.close()

    panel.finished.connect(done)
    panel.failed.connect(failed)
    QTimer.singleShot(0, panel.run)
    napari.run()
    if failures and picture is not None:
        raise MethodUnavailable(failures[0])


def true_error(sample: Sample, transform: Transform) -> str:
    """How far a transform is from a sample's true map, in a sentence.

    Distances are taken at every fifth pixel that shows something and whose true partner lies in the moving
    image, in the units of the fixed image.
    """
    coarse = sample.fixed.grid.coarsened(5)
    shown = driving_channel(sample.fixed).data[(slice(None, None, 5),) * coarse.ndim]
    points = coarse.nodes()[shown.ravel() > 0.05 * shown.max()]
    there = sample.truth(points)
    counted = sample.moving.grid.contains(there)
    points, there = points[counted], there[counted]
    start = _distances(Affine.identity(coarse.ndim), points, there)
    end = _distances(transform, points, there)
    unit = short_unit(coarse.units[0])
    return (
        f"True error: mean {start.mean():.2f} -> {end.mean():.2f} {unit}, "
        f"95th percentile {np.percentile(start, 95):.2f} -> {np.percentile(end, 95):.2f} {unit}."
    )


def _distances(transform: Transform, points: Array, there: Array) -> Array:
    return np.linalg.norm(transform(points) - there, axis=1)


def _arrange(viewer: Viewer) -> None:
    """Show the warped picture under the arrows; without its eye the fixed one is seen in its place."""
    for layer in viewer.layers:
        if layer.name.startswith("fundus moving") and "voxreg" not in layer.metadata:
            layer.visible = False
    viewer.reset_view(margin=0.02)


def _photograph(viewer: Viewer, picture: Path, say: Callable[[str], None]) -> None:
    """Save a picture of the window and close it."""
    viewer.screenshot(str(picture), canvas_only=False, flash=False)
    say(f"The picture is {picture.resolve()}.")
    viewer.close()
