"""The table of runs."""

from __future__ import annotations

import math

from qtpy.QtWidgets import QHeaderView

from ...methods import KNOWN_METHODS
from ..session.state import Run
from ..widgets.sentence import COLOURS
from ..widgets.tables.model import RowStyle, TableColumn
from ..widgets.tables.view import Table

LINES = 5  # runs that are seen without scrolling


def _scores(run: Run) -> str:
    verdict = run.result.verdict
    ends = " → ".join(
        "–" if math.isnan(value) else f"{value:.2g}" for value in (verdict.before, verdict.after)
    )
    return f"{verdict.outcome}, {verdict.measure}\n{ends}"


COLUMNS = (
    TableColumn(
        "run",
        lambda run: f"{run.number} {run.result.method}\n{run.pair}",
        help="Number and method; moving > fixed",
    ),
    TableColumn("verdict", _scores, help="The verdict, and the measure on which it rests"),
    TableColumn(
        "time",
        lambda run: f"{run.result.seconds:.1f} s\n{run.result.device or '–'}",
        lambda run: run.result.seconds,
        "Seconds of the method itself, and where it ran",
    ),
)


class RunTable(Table):
    """Runs, two lines each, so that all is seen in a narrow panel."""

    def __init__(self) -> None:
        super().__init__(_style)
        self.runs: list[Run] = []
        down = self.verticalHeader()
        assert down is not None  # every table has one
        down.setDefaultSectionSize(2 * self.fontMetrics().height() + 8)
        self.contents.fill(COLUMNS, [])
        self.across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.across.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def show_runs(self, runs: list[Run]) -> None:
        """Show these runs, keeping the selection."""
        selected = self.selected
        self.runs = list(runs)
        self.contents.fill(COLUMNS, runs)
        self.fit(LINES)
        if any(run is selected for run in runs):
            self.select(selected)


def _style(run: Run) -> RowStyle:
    """The verdict as a square, and all about the run as a tooltip."""
    result = run.result
    title = KNOWN_METHODS[result.method].title if result.method in KNOWN_METHODS else result.method
    saved = [f"Saved in {run.folder}"] if run.folder is not None else []
    tip = [f"{title}: {run.pair}", result.verdict.sentence, *result.notes, *saved]
    return RowStyle("\n".join(tip), COLOURS[result.verdict.outcome])
