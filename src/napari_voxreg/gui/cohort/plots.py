"""The motion of a series over its frames, and how the images of a cohort resemble each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...cohort.group import CohortResult
from ...cohort.group.drawings import draw_errors, draw_matrix, errors_between
from ...cohort.series import SeriesResult
from ...figures import SCREEN, draw_motion
from ..widgets.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


LEGEND = {"frameon": False, "borderpad": 0, "borderaxespad": 0.2, "handlelength": 1.0}


class MotionPlot(Plot):
    """Translation or rotation of every frame, crosses at bad ones; a click goes to a frame.

    Parameters
    ----------
    rotation : bool
        Which of the two.
    """

    def __init__(self, rotation: bool) -> None:
        super().__init__(110, self._draw_result)
        self._rotation = rotation
        self._result: SeriesResult | None = None
        what = "Rotation" if rotation else "Translation"
        self.setAccessibleName(f"{what} of the frames")
        self.setToolTip(f"{what} of each frame; crosses mark bad frames; a click shows a frame")

    def show_result(self, result: SeriesResult | None) -> None:
        """Show the motion of a series."""
        self._result = result
        self.refresh()

    def _draw_result(self, axes: Axes) -> None:
        if self._result is None:
            axes.set_xticks([])
            axes.set_yticks([])
            return
        draw_motion(axes, self._result, self._rotation, SCREEN)
        axes.set_ylabel("")  # the title above says it
        axes.margins(x=0.01)
        low, high = axes.dataLim.intervaly
        axes.set_yticks([low, high], [f"{limit:.2g}" for limit in (low, high)])
        handles, labels = axes.get_legend_handles_labels()
        if len(labels) > 1:
            axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, **LEGEND)


class MatrixPlot(Plot):
    """How little every two images resemble each other."""

    def __init__(self) -> None:
        super().__init__(200, self._draw_result)
        self._result: CohortResult | None = None
        self.setAccessibleName("Errors between the images")
        self.setToolTip(
            "Row by row, the error of each image with each other one: dark is small. The image that agrees "
            "best with the others is marked"
        )

    def show_result(self, result: CohortResult) -> None:
        """Show the matrix of a cohort."""
        self._result = result
        self.refresh()

    def _draw_result(self, axes: Axes) -> None:
        found = None if self._result is None else errors_between(self._result)
        if found is not None:
            draw_matrix(axes, *found[:2], SCREEN.alone)


class ErrorsPlot(Plot):
    """How the errors of all pairs of images are distributed."""

    def __init__(self) -> None:
        super().__init__(90, self._draw_result)
        self._result: CohortResult | None = None
        self.setAccessibleName("Histogram of the errors")
        self.setToolTip(
            "Pairs of images by their error; the line is at the median of the image that agrees best"
        )

    def show_result(self, result: CohortResult) -> None:
        """Show the errors of a cohort."""
        self._result = result
        self.refresh()

    def _draw_result(self, axes: Axes) -> None:
        axes.set_yticks([])
        found = None if self._result is None else errors_between(self._result)
        if found is not None:
            draw_errors(axes, *found[:2], SCREEN.after, SCREEN.alone)
