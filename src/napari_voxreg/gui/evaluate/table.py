"""The table of evaluated pairs."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QModelIndex, Qt, QTimer, Signal
from qtpy.QtGui import QGuiApplication

from ...evaluation import COLUMNS, Column, Row
from ..background.row_feed import RowFeed
from ..widgets.sentence import COLOURS
from ..widgets.tables.model import RowStyle, TableColumn
from ..widgets.tables.view import ARROW, Table

HIDDEN = ("ssim_common_before", "ssim_common_after", "ssim_interpolated")  # the plot shows them
FIRST = ("ssim_before", "ssim_after", "ssim_beyond")
LINES = 12  # shown at once at most
PAIR = 150  # pixels for the name of a pair
PERIOD = 100  # milliseconds between two updates
BATCH = 100  # rows at a time


class EvaluateTable(Table):
    """One row per pair, as they finish; a click on a heading sorts.

    Attributes
    ----------
    rows : list of Row
        In the order of arrival.

    Signals
    -------
    grown()
        Rows were added.
    picked(row)
        A pair with a result was clicked.
    """

    grown = Signal()
    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__(_style)
        self.setAccessibleName("Pairs and their scores")
        self.setToolTip("A row for each pair; Ctrl+C copies the chosen ones")
        self.rows: list[Row] = []
        self._columns: tuple[Column, ...] = ()
        self._feed = RowFeed(self)
        self._feed.arrived.connect(self._receive)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PERIOD)
        self._timer.timeout.connect(self._tick)
        self.clicked.connect(self._clicked)
        self.hide()

    def begin(self) -> Callable[[Row], None]:
        """Clear for a new run; returns the function that its worker calls with each row."""
        self.rows, self._columns = [], ()
        self.contents.fill((), ())
        self.hide()
        return self._feed.begin()

    def end(self) -> None:
        """Drop rows that still arrive; those shown stay."""
        self._feed.end()

    def select(self, row: Row) -> None:
        """Select a pair's row."""
        self.flush()
        super().select(row)

    def flush(self) -> None:
        """Show all waiting rows."""
        self._timer.stop()
        self._show(len(self.rows))

    def _tick(self) -> None:
        """Show some of the waiting rows, so that the interface is never blocked."""
        self._show(len(self.contents.rows) + BATCH)
        if len(self.contents.rows) < len(self.rows):
            self._timer.start()

    def _show(self, stop: int) -> None:
        """Show the waiting rows up to a number."""
        there = len(self.contents.rows)
        waiting = self.rows[there:stop]
        if not waiting:
            return
        if {column.key for column in _shown(waiting)} - {column.key for column in self._columns}:
            # The first pairs, or the first with labels.
            self._columns = _shown(self.rows[:stop])
            self.contents.fill(_table_columns(self._columns), self.rows[:stop])
            self._set_widths()
        else:
            self.contents.append(waiting)
        self.fit(LINES)
        self.show()
        self.grown.emit()

    def _receive(self, row: Row) -> None:
        """Keep a row; hundreds arrive in a second where a run continues an earlier table."""
        self.rows.append(row)
        if not self._timer.isActive():
            self._timer.start()

    def _set_widths(self) -> None:
        width = self.fontMetrics().horizontalAdvance
        for k, (column, shown) in enumerate(zip(self._columns, self.contents.columns[1:], strict=True), 1):
            # Qt itself measures a heading of two lines as one.
            words = *shown.title.split("\n"), format(-0.0, column.form)
            self.setColumnWidth(k, max(map(width, words)) + ARROW + 4)
        self.resizeColumnToContents(0)
        self.setColumnWidth(0, min(self.columnWidth(0), PAIR))

    def _clicked(self, index: QModelIndex) -> None:
        row: Row = self.contents.rows[index.row()]
        # With a modifier, the click selects rows to copy.
        if not row.failed and QGuiApplication.keyboardModifiers() == Qt.KeyboardModifier.NoModifier:
            self.picked.emit(row)


def _style(row: Row) -> RowStyle:
    return RowStyle(f"{row.name}\n{row.sentence}", COLOURS.get(row.outcome, COLOURS["quiet"]))


def _table_columns(columns: tuple[Column, ...]) -> list[TableColumn]:
    """The pair's name and its numbers, with headings in two lines since the numbers are narrow."""
    numbers = [TableColumn("\n".join(c.title.rsplit(" ", 1)), c.text, c.value, c.help) for c in columns]
    return [TableColumn("pair", lambda row: row.name), *numbers]


def _shown(rows: list[Row]) -> tuple[Column, ...]:
    """The columns that these rows have; SSIM stands beside its gain beyond smoothing."""
    there = [c for c in COLUMNS if c.key not in HIDDEN and any(c.value(row) == c.value(row) for row in rows)]
    known = [c for c in there if c.key.startswith(("end_point", "landmark", "dice"))]
    first = [c for key in FIRST for c in there if c.key == key]
    return (*known, *first, *(c for c in there if c not in known and c not in first))
