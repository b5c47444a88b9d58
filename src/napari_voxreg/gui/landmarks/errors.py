"""The errors of a fit at its landmarks, as rows of a table and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QHeaderView

from ...core.geometry import Array
from ...transforms import Transform
from ..widgets.tables.model import RowStyle, TableColumn
from ..widgets.tables.view import PLAIN_STYLE, Table
from .pairs import COLOURS

LINES = 8  # pairs that are seen without scrolling
NAN = float("nan")


@dataclass(frozen=True, eq=False)
class PairErrors:
    """The errors at one pair, world units; NaN where there is none.

    Parameters
    ----------
    number : int
    residual : float
        Of the fit to all pairs.
    left_out : float
        Of the fit to all others.
    result : float
        Of a result of the session.
    worst : bool
        Whether it has the largest error of all.
    label : str
        The name of the pair, from a file; empty for none.
    """

    number: int
    residual: float
    left_out: float
    result: float
    worst: bool = False
    label: str = ""


class PairTable(Table):
    """A row for each pair: its errors, the worst bold, in the colour of its points.

    Signals
    -------
    delete_pressed()
        The key Del.
    """

    delete_pressed = Signal()

    def __init__(self) -> None:
        super().__init__(_style)
        self.setStyleSheet(PLAIN_STYLE)
        self.setAccessibleName("Landmarks and their errors")
        self.setToolTip("A row for each pair, with its error; a click goes there, Delete removes it")
        self.show_rows([], "", False)

    def keyPressEvent(self, event: Any) -> None:
        """Ask for the pair of the selected row to be deleted."""
        if event.matches(QKeySequence.StandardKey.Delete):
            self.delete_pressed.emit()
        else:
            super().keyPressEvent(event)

    def show_rows(self, rows: Sequence[PairErrors], unit: str, result: bool) -> None:
        """Show these rows, with a column for the result if there is one, keeping the selection."""
        selected = self.selected
        self.blockSignals(True)
        selection = self.selection.blockSignals(True)
        self.contents.fill(_columns(unit, result), rows)
        self.across.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.fit(LINES)
        for row in rows:
            if selected is not None and row.number == selected.number:
                self.select(row)
        self.selection.blockSignals(selection)
        self.blockSignals(False)


def rows_of(
    numbers: Array,
    residual: Array,
    left_out: Mapping[int, float],
    result: Array,
    rounding: float,
    labels: Sequence[str],
) -> list[PairErrors]:
    """Rows of these pairs; the worst is that with the largest left-out error, else the largest residual.

    Errors below `rounding` count as 0.
    """
    missed = np.array([left_out.get(int(k), NAN) for k in numbers])
    residual, missed, result = (np.where(one < rounding, 0.0, one) for one in (residual, missed, result))
    decisive = missed if np.isfinite(missed).any() else residual
    worst = int(np.nanargmax(decisive)) if np.isfinite(decisive).any() and len(numbers) > 1 else -1
    if worst >= 0 and decisive[worst] == 0:
        worst = -1
    return [
        PairErrors(int(number), float(residual[k]), float(missed[k]), float(result[k]), k == worst, label)
        for k, (number, label) in enumerate(zip(numbers, labels, strict=True))
    ]


def summary(kind: str, rows: Sequence[PairErrors], unit: str, transform: Transform) -> str:
    """The errors of a fit in a sentence or two."""
    pairs = f"{len(rows)} pair{'s' * (len(rows) != 1)}"
    said = f"{kind.capitalize()} fit to {pairs}: residual {_ends(rows, 'residual', unit)}."
    if any(np.isfinite(row.left_out) for row in rows):
        said += f" Each left out in turn: {_ends(rows, 'left_out', unit)}."
    if transform.linear and transform.matrix is not None and np.linalg.det(transform.matrix[:-1, :-1]) < 0:
        said += " The fit mirrors the image."
    return said


def result_summary(title: str, rows: Sequence[PairErrors], unit: str) -> str:
    """The error of a result at the pairs, in a sentence."""
    return f"{title}: {_ends(rows, 'result', unit)}."


def _ends(rows: Sequence[PairErrors], name: str, unit: str) -> str:
    """The mean and the largest of some errors."""
    known = [(getattr(row, name), row.number) for row in rows if np.isfinite(getattr(row, name))]
    largest, number = max(known)
    mean = float(np.mean([value for value, _ in known]))
    return f"mean {_short(mean)} {unit}, largest {_short(largest)} {unit} (landmark {number})"


def _columns(unit: str, result: bool) -> tuple[TableColumn, ...]:
    per = f"\n{unit}" if unit else ""
    columns = [
        TableColumn(
            "no.",
            lambda row: " ".join([str(row.number), *["worst"] * row.worst, row.label]).rstrip(),
            lambda row: row.number,
            "The number of the pair, and its label if it has one",
        ),
        TableColumn(
            f"residual{per}",
            lambda row: _short(row.residual),
            lambda row: row.residual,
            "How far the fit misses the moving point",
        ),
        TableColumn(
            f"left out{per}",
            lambda row: _short(row.left_out),
            lambda row: row.left_out,
            "How far the fit to all other pairs misses it: large for a wrong pair, even if the fit is free",
        ),
    ]
    if result:
        columns.append(
            TableColumn(
                f"result{per}",
                lambda row: _short(row.result),
                lambda row: row.result,
                "How far the chosen result misses the moving point",
            )
        )
    return tuple(columns)


def _short(value: float) -> str:
    """Three digits, or a dash where there is no error."""
    return "–" if np.isnan(value) else f"{value:.3g}"


def _style(row: PairErrors) -> RowStyle:
    colour = COLOURS[(row.number - 1) % len(COLOURS)]
    tip = "The worst pair: check it first" if row.worst else "A click shows the landmark"
    return RowStyle(tip, colour, row.worst)
