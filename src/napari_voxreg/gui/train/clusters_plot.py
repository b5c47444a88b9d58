"""Inertia by the number of clusters, and sample images of a cluster, for the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap

from ...core.geometry import Array
from ...figures import SCREEN, draw_elbow
from ..widgets.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAP = 4  # pixels between images


class ElbowPlot(Plot):
    """A curve with its elbow marked and the chosen number ringed; a click chooses a number of clusters.

    Signals
    -------
    picked(k)
        A number was clicked.
    """

    picked = Signal(int)

    def __init__(self) -> None:
        super().__init__(150, self._draw_curve)
        self.inertias: tuple[float, ...] = ()
        self._suggested = self._chosen = 0
        self.clicked.connect(self._pick)
        self.setToolTip("Summed squared distance to the nearest centre; a click chooses a number of clusters")

    def set_curve(self, inertias: Sequence[float], suggested: int, chosen: int) -> None:
        """Show inertia for 1, 2, ... clusters, and mark the elbow and the choice."""
        self.inertias, self._suggested, self._chosen = tuple(inertias), suggested, chosen
        self.refresh()

    def _pick(self, place: float) -> None:
        if self.inertias:
            self.picked.emit(min(max(round(place), 1), len(self.inertias)))

    def _draw_curve(self, axes: Axes) -> None:
        axes.set_yticks([])
        axes.set_xticks([])
        if self.inertias:
            draw_elbow(axes, self.inertias, self._suggested, self._chosen or None, SCREEN)
            axes.margins(x=0.04)


def strip(images: Sequence[Array], side: int) -> QPixmap:
    """Grey images side by side.

    Parameters
    ----------
    images : sequence of ndarray, uint8
        At least one, square, all of one size.
    side : int
        Side of each on the screen, pixels.
    """
    size = images[0].shape[0]
    gap = round(GAP * size / side)
    sheet = np.zeros((size, len(images) * (size + gap) - gap), np.uint8)
    for k, image in enumerate(images):
        sheet[:, k * (size + gap) : k * (size + gap) + size] = image
    height, width = sheet.shape
    row = QImage(sheet.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(row).scaledToHeight(side, Qt.TransformationMode.SmoothTransformation)
