"""The table of evaluated pairs."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableWidget, QTableWidgetItem

from ...evaluation import COLUMNS, Column, Row
from ..register.compare_table import RIGHT, ROW, Arrivals, Item
from ..widgets.sentence import COLOURS

HIDDEN = ("ssim_common_before", "ssim_common_after", "ssim_interpolated")  # the plot shows them
FIRST = ("ssim_before", "ssim_after", "ssim_beyond")
LINES = 12  # shown at once at most
PAIR = 150  # pixels for the name of a pair
PERIOD = 100  # milliseconds between two times that rows are written
BATCH = 100  # rows at a time
DECORATION = Qt.ItemDataRole.DecorationRole
ARROW = 14  # pixels for the arrow of the sorted column


class EvaluateTable(QTableWidget):
    """One row a pair, as they come in; a click on a heading sorts.

    Signals
    -------
    grown()
        There are more pairs.
    picked(row)
        A pair with a result was clicked.
    """

    grown = Signal()
    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._run = 0
        self._columns: tuple[Column, ...] = ()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setIconSize(QSize(9, 9))
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setStyleSheet(
            f"QTableWidget::item {{padding: 0 {ARROW - 2}px 0 2px;}}"
            f"QHeaderView::section {{padding: 2px {ARROW}px 2px 2px;}}"
        )
        across, down = _header(self.horizontalHeader()), _header(self.verticalHeader())
        down.hide()
        down.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        down.setDefaultSectionSize(self.fontMetrics().height() + 8)
        across.setMinimumSectionSize(24)
        across.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        across.setHighlightSections(False)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PERIOD)
        self._timer.timeout.connect(self._tick)
        self.itemClicked.connect(self._clicked)
        self.hide()

    def begin(self) -> Callable[[Row], None]:
        """Empty, for a new run; returns what its worker calls with each row."""
        self.end()
        self.rows = []
        self._set_columns(())
        self.hide()
        run, arrivals = self._run, Arrivals()
        arrivals.row.connect(self._receive, Qt.ConnectionType.QueuedConnection)
        return lambda row: arrivals.row.emit(run, row)

    def end(self) -> None:
        """Drop the rows that still arrive; those that are there stay."""
        self._run += 1

    def select(self, row: Row) -> None:
        """Select a pair's line."""
        self.flush()
        for line in range(self.rowCount()):
            item = self.item(line, 0)
            if item is not None and self.rows[item.data(ROW)] is row:
                self.selectRow(line)

    def flush(self) -> None:
        """Write all rows that wait."""
        self._timer.stop()
        self._write(len(self.rows))

    def _tick(self) -> None:
        """Write some of the rows that wait, so that the screen never stands still."""
        self._write(self.rowCount() + BATCH)
        if self.rowCount() < len(self.rows):
            self._timer.start()

    def _write(self, stop: int) -> None:
        """Write the rows that are not yet there up to a number."""
        waiting = self.rows[self.rowCount() : stop]
        if not waiting:
            return
        if {column.key for column in _shown(waiting)} - {column.key for column in self._columns}:
            shown = self.rows[: self.rowCount()] + waiting
            self._set_columns(_shown(shown))  # the first pairs, or the first with labels
            waiting = shown
        self._add(waiting)
        self._fit()
        self.show()
        self.grown.emit()

    def _receive(self, run: int, row: Row) -> None:
        """Keep a row; of a run that is taken from an earlier table, hundreds come in a second."""
        if run == self._run:
            self.rows.append(row)
            if not self._timer.isActive():
                self._timer.start()

    def _set_columns(self, columns: tuple[Column, ...]) -> None:
        """Empty, with these columns."""
        self._columns = columns
        self.setSortingEnabled(False)
        self.clear()
        self.setRowCount(0)
        self.setColumnCount(1 + len(columns))
        heads = [("pair", "", Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)]
        for k, (title, tip, side) in enumerate([*heads, *((c.title, c.help, RIGHT) for c in columns)]):
            head = QTableWidgetItem("\n".join(title.rsplit(" ", 1)))  # narrower, as the numbers are
            head.setToolTip(tip)
            head.setTextAlignment(side)
            self.setHorizontalHeaderItem(k, head)
        width = self.fontMetrics().horizontalAdvance
        for k, column in enumerate(columns, 1):
            # Left alone, Qt takes a heading of two lines for one.
            words = *column.title.rsplit(" ", 1), format(-0.0, column.form)
            self.setColumnWidth(k, max(map(width, words)) + ARROW + 4)

    def _add(self, rows: list[Row]) -> None:
        """Write these below."""
        self.setSortingEnabled(False)  # or lines would move while they are written
        first = self.rowCount()
        self.setRowCount(first + len(rows))
        for number, row in enumerate(rows, first):
            cells = (Item(column.text(row), float(column.value(row))) for column in self._columns)
            items = [QTableWidgetItem(row.name), *cells]
            items[0].setData(DECORATION, QColor(COLOURS.get(row.outcome, COLOURS["quiet"])))
            for k, item in enumerate(items):
                item.setData(ROW, number)
                item.setToolTip(f"{row.name}\n{row.sentence}")
                if k:
                    item.setTextAlignment(RIGHT)
                self.setItem(number, k, item)
        self.setSortingEnabled(True)
        if first == 0:
            self.resizeColumnToContents(0)
            self.setColumnWidth(0, min(self.columnWidth(0), PAIR))

    def _fit(self) -> None:
        """As high as the rows, up to a limit from which they scroll."""
        rows = min(self.rowCount(), LINES) * _header(self.verticalHeader()).defaultSectionSize()
        bar = self.horizontalScrollBar()
        extra = 0 if bar is None else bar.sizeHint().height()
        head = _header(self.horizontalHeader()).sizeHint().height()
        self.setFixedHeight(head + rows + extra + 2 * self.frameWidth())

    def _clicked(self, item: QTableWidgetItem) -> None:
        row = self.rows[item.data(ROW)]
        if not row.failed:
            self.picked.emit(row)


def _shown(rows: list[Row]) -> tuple[Column, ...]:
    """The columns that these rows have; SSIM comes together with what is of registration in it."""
    there = [c for c in COLUMNS if c.key not in HIDDEN and any(c.value(row) == c.value(row) for row in rows)]
    known = [c for c in there if c.key.startswith(("end_point", "landmark", "dice"))]
    first = [c for key in FIRST for c in there if c.key == key]
    return (*known, *first, *(c for c in there if c not in known and c not in first))


def _header(header: QHeaderView | None) -> QHeaderView:
    assert header is not None  # a table has both
    return header
