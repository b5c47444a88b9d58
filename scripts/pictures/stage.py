"""A real viewer that is driven and photographed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import napari
import napari.settings
import numpy as np
from napari.layers import Layer
from PIL import Image as Picture
from PIL import ImageDraw
from qtpy.QtCore import QPoint
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QWidget

from napari_voxreg.core.geometry import Image
from napari_voxreg.gui.doors import open_panel
from napari_voxreg.gui.layers.readers import image_layers
from napari_voxreg.gui.preferences import preferences

SIZE = (1280, 800)  # of the window, in pixels
SETTLE = 0.7  # seconds that napari needs to lay out and draw
KMEANS = 1  # refine a palette until so few pixels change
ARROW = ((0, 0), (0, 24), (6, 19), (10, 28), (14, 26), (10, 18), (18, 18))  # the pointer's outline, x first


class Stage:
    """A viewer with what the scenes do in it.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self.viewer = viewer

    def panel(self, name: str) -> Any:
        """Open a panel of the plugin by its name in the menu."""
        panel = open_panel(self.viewer, name)
        self.settle(0.2)
        return panel

    def add(self, image: Image, name: str) -> Layer:
        """Add an image as the reader does, with its pose and units."""
        for layer in image_layers(image, name=name):
            self.viewer.add_layer(Layer.create(*layer))
        return self.viewer.layers[-1]

    def add_pair(self, fixed: Image, moving: Image) -> None:
        """Add two images, with what the panels then guess."""
        self.add(fixed, "fixed")
        self.add(moving, "moving")
        self.viewer.reset_view(margin=0.02)
        self.settle()

    def register(self, method: str = "auto", preset: str = "") -> Any:
        """Register the layers that the panel guesses; the panel, when the result is shown."""
        panel = self.panel("Register")
        panel.method.choose(method, *([preset] if preset else []))
        complaints: list[str] = []
        panel.failed.connect(complaints.append)
        panel.run()
        self.wait(lambda: not panel.busy)
        if complaints:
            raise RuntimeError(complaints[0])
        self.viewer.reset_view(margin=0.02)
        self.settle()
        return panel

    def wait(self, until: Callable[[], bool], seconds: float = 600.0) -> None:
        """Let the viewer work until something holds."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                raise TimeoutError("the viewer did not get that far")
            QApplication.processEvents()
            time.sleep(0.01)

    def settle(self, seconds: float = SETTLE) -> None:
        """Let the viewer draw."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end)

    def shot(self) -> Picture.Image:
        """The window as it is."""
        QApplication.processEvents()
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        return Picture.fromarray(np.asarray(pixels)[..., :3])

    def canvas(self) -> Picture.Image:
        """The canvas alone."""
        return Picture.fromarray(np.asarray(self.viewer.screenshot(flash=False))[..., :3])

    def grab(self, widget: QWidget) -> Picture.Image:
        """A widget as it is, whatever lies over it."""
        image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        pixels = image.constBits().asstring(image.sizeInBytes())
        return Picture.frombytes(
            "RGB", (image.width(), image.height()), pixels, "raw", "RGB", image.bytesPerLine()
        )

    def panel_shot(self, panel: QWidget) -> Picture.Image:
        """A panel in its dock, and the tab bar, cut from the window."""
        dock, window = panel.parentWidget(), self.viewer.window._qt_window
        assert dock is not None
        corner, shot = dock.mapTo(window, QPoint(0, 0)), self.shot()
        return shot.crop((corner.x(), corner.y(), shot.width, shot.height - window.statusBar().height()))

    def pointed(self, widget: QWidget, pressed: bool = False) -> Picture.Image:
        """The window with a pointer on a widget."""
        picture = self.shot()
        window = self.viewer.window._qt_window
        at = widget.mapTo(window, QPoint(widget.width() // 2, widget.height() // 2))
        draw = ImageDraw.Draw(picture)
        if pressed:
            draw.ellipse([at.x() - 16, at.y() - 16, at.x() + 16, at.y() + 16], outline="#ffd400", width=3)
        outline = [(at.x() + x, at.y() + y) for x, y in ARROW]
        draw.polygon(outline, fill="white", outline="black", width=2)
        return picture


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what a panel reads and writes; a training that is left may still write there."""
    with tempfile.TemporaryDirectory(prefix="voxreg-pictures-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def stage(size: tuple[int, int] = SIZE, theme: str = "dark") -> Iterator[Stage]:
    """Open a viewer, and close it afterwards."""
    # The verdict is shown as a notification, too, over the canvas.
    napari.settings.get_settings().application.gui_notification_level = "error"
    viewer = napari.Viewer(title="napari-voxreg")
    viewer.theme = theme
    viewer.window.resize(*size)
    preferences().look = "overlay"  # not as the scene before left it
    found = Stage(viewer)
    found.settle()
    try:
        yield found
    finally:
        viewer.close()
        QApplication.processEvents()


def save(picture: Picture.Image, path: Path, palette: bool = True) -> None:
    """Write a picture as PNG; a palette halves the file, and may merge rare colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if palette:
        picture = picture.quantize(256, method=Picture.Quantize.MEDIANCUT, kmeans=KMEANS)
    picture.save(path, optimize=True)


def save_movie(frames: list[tuple[Picture.Image, int]], path: Path, width: int) -> None:
    """Write frames, each with its milliseconds, as an endless GIF.

    All frames share one palette, so that nothing flickers that does not move.
    """
    height = round(frames[0][0].height * width / frames[0][0].width)
    small = [frame.resize((width, height), Picture.Resampling.LANCZOS) for frame, _ in frames]
    some = small[:: max(1, len(small) // 6)]
    sheet = Picture.new("RGB", (width, height * len(some)))
    for k, frame in enumerate(some):
        sheet.paste(frame, (0, k * height))
    palette = sheet.quantize(256, method=Picture.Quantize.MEDIANCUT)
    drawn = [frame.quantize(palette=palette, dither=Picture.Dither.NONE) for frame in small]
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn[0].save(
        path,
        save_all=True,
        append_images=drawn[1:],
        duration=[milliseconds for _, milliseconds in frames],
        loop=0,
        optimize=False,
    )
