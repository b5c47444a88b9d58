"""The choice of a result whose error at the landmarks is shown."""

from __future__ import annotations

from ...core.geometry import Grid
from ...registration.result import Result
from ..session.state import SessionState
from ..widgets.combo_box import Choice

NO_RESULT = "no result"


class ResultBox(Choice):
    """Choose one of the session's results that map the world of the landmarks, or none.

    Parameters
    ----------
    state : SessionState
    """

    def __init__(self, state: SessionState) -> None:
        super().__init__()
        self._state = state
        self._grid: Grid | None = None
        self.addItem(NO_RESULT)

    @property
    def result(self) -> Result | None:
        """The chosen result."""
        found = self._state.results.get(self.currentText())
        return found if found is not None and self.fits(found) else None

    def fits(self, result: Result) -> bool:
        """Whether a result maps the world of the landmarks."""
        grid = self._grid
        return grid is not None and result.transform.ndim == grid.ndim and result.fixed.units == grid.units

    def offer(self, grid: Grid | None) -> None:
        """Offer the results for landmarks on a grid, keeping the choice."""
        self._grid = grid
        titles = [title for title, result in self._state.results.items() if self.fits(result)]
        wanted = [NO_RESULT, *reversed(titles)]
        if [self.itemText(k) for k in range(self.count())] != wanted:
            kept = self.currentText()
            self.blockSignals(True)
            self.clear()
            self.addItems(wanted)
            self.setCurrentText(kept if kept in titles else NO_RESULT)
            self.blockSignals(False)
