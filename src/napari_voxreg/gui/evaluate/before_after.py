"""SSIM of every pair before and after, drawn as pairs finish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal

from ...evaluation import Row
from ...figures import SCREEN, by_score, draw_before_after
from ..widgets.plots.plot import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEY = "ssim_common"


class BeforeAfter(Plot):
    """A line from before to after for each pair, in the order of the values after.

    Attributes
    ----------
    rows : list of Row
        In the order drawn.

    Signals
    -------
    picked(row)
        A pair was clicked.
    """

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__(140, self._draw_rows)
        self.rows: list[Row] = []
        self.clicked.connect(self._pick)
        self.hovered.connect(self._name)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows; those without SSIM are skipped."""
        self.rows = by_score([row for row in rows if not math.isnan(row.beyond)], KEY)
        self.setVisible(bool(self.rows))
        self.refresh()

    def _row_at(self, place: float) -> Row:
        """The row nearest to a place along the axis; there are rows."""
        return self.rows[min(max(round(place) - 1, 0), len(self.rows) - 1)]

    def _pick(self, place: float) -> None:
        if self.rows:
            self.picked.emit(self._row_at(place))

    def _name(self, place: float) -> None:
        """Name the pair under the mouse."""
        if self.rows:
            row = self._row_at(place)
            values = row.before[KEY], row.after[KEY], row.interpolated
            self.setToolTip("{}\nSSIM {:.3f} → {:.3f}; interpolation alone {:.3f}".format(row.name, *values))

    def _draw_rows(self, axes: Axes) -> None:
        axes.set_xticks([])
        if self.rows:
            draw_before_after(axes, self.rows, KEY, SCREEN)
            limits = axes.dataLim.intervaly
            axes.set_yticks(limits, [f"{limit:.2f}" for limit in limits])
            handles, (before, *others) = axes.get_legend_handles_labels()
            axes.legend(
                handles,
                [f"SSIM {before}", *others],
                loc="lower left",
                bbox_to_anchor=(0, 1),
                ncols=3,
                frameon=False,
                borderpad=0,
                borderaxespad=0.2,
                handlelength=0.7,
                handletextpad=0.4,
                columnspacing=1,
            )
