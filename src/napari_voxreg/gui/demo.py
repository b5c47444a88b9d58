"""The demo: the fundus pair registered in the Register panel, with its true error."""

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
from ..io.files import replace_file
from ..registration.register import DEFAULT_METHOD
from ..registration.result import Result
from ..samples import make_sample
from ..samples.base import Sample
from ..transforms import Affine, Transform

SIZE = (1640, 900)  # of the window in the screenshot
SETTLE = 700  # milliseconds that napari needs to lay out and draw before a screenshot is taken


def demo(screenshot: Path | None, say: Callable[[str], None]) -> None:
    """Open napari with the fundus pair, register it in the panel and show the result.

    Parameters
    ----------
    screenshot : path or None
        Where to save a screenshot of the window, which then closes; its folder is made if need be. With None
        the window stays open until the user closes it.
    say : callable
        Called with the verdict, the true error, and the path of the screenshot.

    Raises
    ------
    MethodUnavailable
        If the registration failed, or the screenshot could not be written.
    """
    sample = make_sample("fundus")
    viewer = napari.Viewer(title="napari-voxreg")
    viewer.window.resize(*SIZE)
    viewer.open_sample("napari-voxreg", sample.name)
    _, panel = viewer.window.add_plugin_dock_widget("napari-voxreg", "Register")
    panel.method.choose(DEFAULT_METHOD)
    failures: list[str] = []

    def done(result: Result) -> None:
        panel.finished.disconnect(done)  # the user's own runs are not the demo
        viewer.reset_view(margin=0.02)
        panel.outcome.details.open = True
        say(result.verdict.sentence)
        say(true_error(sample, result.transform))
        if screenshot is not None:
            QTimer.singleShot(SETTLE, lambda: save(screenshot))

    def save(path: Path) -> None:
        try:
            _save_screenshot(viewer, path, say)
        except OSError as error:  # raised in a timer, it would leave the window open for ever
            failed(str(error))

    def failed(sentence: str) -> None:
        failures.append(sentence)
        if screenshot is not None:
            viewer.close()

    panel.finished.connect(done)
    panel.failed.connect(failed)
    QTimer.singleShot(0, panel.run)
    napari.run()
    if failures and screenshot is not None:
        raise MethodUnavailable(failures[0])


def true_error(sample: Sample, transform: Transform) -> str:
    """How far a transform is from a sample's true map, in a sentence.

    Distances are taken at every fifth pixel of the foreground whose true partner lies in the moving image, in
    the units of the fixed image.
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


def _save_screenshot(viewer: Viewer, path: Path, say: Callable[[str], None]) -> None:
    """Save a screenshot of the window and close it."""
    replace_file(path, lambda file: viewer.screenshot(str(file), canvas_only=False, flash=False))
    say(f"The screenshot is {path.resolve()}.")
    viewer.close()
