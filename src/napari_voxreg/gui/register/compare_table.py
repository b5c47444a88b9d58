"""The table of compared methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QHeaderView, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ...methods import METHODS
from ...registration.compare import BEFORE, Column, Row, best, columns, remarks
from ...registration.result import Result
from ..background.row_feed import RowFeed
from ..widgets.sentence import COLOURS
from ..widgets.tables.model import RowStyle, TableColumn
from ..widgets.tables.view import Table

SHORT = {"folding %": "fold\n%", "overlap %": "overlap\n%"}  # headings for a narrow panel
STYLE = "QTableView::item {padding: 0 1px;} QHeaderView::section {padding: 2px 1px;}"


class CompareTable(QWidget):
    """Rows as they arrive; one of them can be shown as layers.

    Signals
    -------
    arrived(row)
        A method has finished.
    show_requested(result)
        The user requests a row's layers.
    """

    arrived = Signal(object)
    show_requested = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._best: Row | None = None
        self._busy = self._current = False
        self._feed = RowFeed(self)
        self._feed.arrived.connect(self._receive)
        self.table = Table(self._style)
        self.table.setAccessibleName("Compared methods")
        self.table.setToolTip(
            "A row for each method; a double click adds its layers. A wider panel has more columns."
        )
        for set_policy in (self.table.setVerticalScrollBarPolicy, self.table.setHorizontalScrollBarPolicy):
            set_policy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setStyleSheet(STYLE)
        self.table.across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.title = QLabel()
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.remark = QLabel()
        self.remark.setWordWrap(True)
        self.remark.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.show_button = QPushButton("Show layers")
        self.show_button.setToolTip("Add the selected method's layers; a double click does the same")
        buttons = QHBoxLayout()
        buttons.addWidget(self.show_button)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.title)
        layout.addWidget(self.table)
        layout.addWidget(self.remark)
        layout.addLayout(buttons)
        self.table.chosen.connect(self._refresh)
        self.table.doubleClicked.connect(self._request)
        self.show_button.clicked.connect(self._request)
        self.hide()

    @property
    def selected(self) -> Row | None:
        """The row that the user has selected."""
        row: Row | None = self.table.selected
        return row

    def select(self, method: str) -> None:
        """Select a method's row."""
        self.table.select(next(row for row in self.rows if row.method == method))

    def begin(self, title: str) -> Callable[[Row], None]:
        """Clear for a comparison of the titled pair; returns the function its worker calls with each row."""
        self.title.setText(title)
        self.table.clearSelection()
        self.rows = []
        self._current = True
        self._fill()
        return self._feed.begin()

    def end(self) -> None:
        """Drop the rows that still arrive; those that are there stay."""
        self._feed.end()

    def show_best(self) -> None:
        """Select the best row, unless the user has selected one."""
        if self._best is not None and self.selected is None:
            self.table.select(self._best)

    def set_busy(self, busy: bool) -> None:
        """Set whether a run is in progress, in which no layers can be requested."""
        self._busy = busy
        self._refresh()

    def set_current(self, current: bool) -> None:
        """Set whether the chosen pair is the compared one; the table is shown beside no other."""
        self._current = current
        self.setVisible(current and bool(self.rows))

    def _receive(self, row: Row) -> None:
        self.rows.append(row)
        self._fill()
        self.arrived.emit(row)

    def _fill(self) -> None:
        """Show all rows again: a new one may be the best, or add a column."""
        selected, self._best = self.selected, best(self.rows)
        method = TableColumn("method", lambda row: row.method)
        measured = [
            TableColumn(SHORT.get(c.title, c.title), c.text, c.value, c.help) for c in columns(self.rows)
        ]
        self.table.contents.fill([method, *measured], self.rows)
        if selected is not None:
            self.table.select(selected)
        text = "\n".join(remarks(self.rows)).replace("* best", "Best")
        self.remark.setText(text)
        self.remark.setVisible(bool(text))
        self.setVisible(self._current and bool(self.rows))
        self._show_columns()
        self.table.fit()  # the panel itself scrolls
        self._refresh()

    def resizeEvent(self, event: Any) -> None:
        """Show more columns in a wider panel."""
        super().resizeEvent(event)
        self._show_columns()

    def _show_columns(self) -> None:
        """Show the columns that fit, the most telling of which come first; tooltips have the others."""
        table, left = self.table, self.width() - 2 * self.table.frameWidth()
        for column in range(len(table.contents.columns)):
            table.showColumn(column)  # a hidden one has no size
            left -= max(table.sizeHintForColumn(column), table.across.sectionSizeHint(column))
            table.setColumnHidden(column, left < 0)

    def _style(self, row: Row) -> RowStyle:
        colour = COLOURS[row.outcome] if row.outcome else ""
        return RowStyle(
            _tip(row, columns(self.rows)), colour, bold=row is self._best, italic=row.method == BEFORE
        )

    def _refresh(self) -> None:
        row = self.selected
        self.show_button.setEnabled(not self._busy and row is not None and row.result is not None)

    def _request(self) -> None:
        row = self.selected
        if not self._busy and row is not None and isinstance(row.result, Result):
            self.show_requested.emit(row.result)


def _tip(row: Row, measured: Sequence[Column]) -> str:
    """A row's verdict and notes, and all its scores."""
    lines = [row.failure or "The images at their current positions"]
    if row.result is not None:
        lines = [METHODS[row.method].title, row.result.verdict.sentence, *row.result.notes]
    if row.scores is not None:
        lines.append(", ".join(f"{column.title} {column.text(row)}" for column in measured))
    return "\n".join(lines)
