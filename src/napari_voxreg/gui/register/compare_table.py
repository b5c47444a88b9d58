"""The table of compared methods."""

from __future__ import annotations

import math
from collections.abc import Callable

from qtpy.QtCore import QObject, QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...methods import METHODS
from ...registration.compare import BEFORE, Row, best, columns, remarks
from ...registration.result import Result
from ..widgets.sentence import COLOURS

ROW = Qt.ItemDataRole.UserRole  # which row an item belongs to, as sorting moves the items
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class Item(QTableWidgetItem):
    """A cell that sorts by its number; what has none comes last."""

    def __init__(self, text: str, number: float | None) -> None:
        super().__init__(text)
        self._key = math.inf if number is None or math.isnan(number) else number

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return self._key < other._key if isinstance(other, Item) else super().__lt__(other)


class Arrivals(QObject):
    """Carries rows from the worker to the interface; it may outlive the table."""

    row = Signal(int, object)


class CompareTable(QWidget):
    """Rows as they arrive; one of them can be shown as layers.

    Signals
    -------
    arrived(row)
        A method is done.
    show_asked(result)
        The user wants a row's layers.
    """

    arrived = Signal(object)
    show_asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._run = 0
        self._busy = False
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.table.setIconSize(QSize(9, 9))
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        # napari's theme has no style for items: its own would leave wide margins.
        self.table.setStyleSheet(
            # Room at the right for the arrow of the sorted column.
            "QTableWidget::item {padding: 0 12px 0 2px;} QHeaderView::section {padding: 2px 14px 2px 2px;}"
        )
        across, down = _header(self.table.horizontalHeader()), _header(self.table.verticalHeader())
        down.hide()
        down.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        down.setDefaultSectionSize(self.table.fontMetrics().height() + 8)
        across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        across.setMinimumSectionSize(24)
        across.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        across.setHighlightSections(False)
        self.title = QLabel()
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.remark = QLabel()
        self.remark.setWordWrap(True)
        self.remark.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.show_button = QPushButton("Show layers")
        self.show_button.setToolTip("Add the selected method's layers; a double click does so, too")
        buttons = QHBoxLayout()
        buttons.addWidget(self.show_button)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.title)
        layout.addWidget(self.table)
        layout.addWidget(self.remark)
        layout.addLayout(buttons)
        self.table.itemSelectionChanged.connect(self._refresh)
        self.table.itemDoubleClicked.connect(lambda item: self._ask())
        self.show_button.clicked.connect(self._ask)
        self.hide()

    @property
    def selected(self) -> Row | None:
        """The row that the user has selected."""
        items = self.table.selectedItems()
        return self.rows[items[0].data(ROW)] if items else None

    def select(self, method: str) -> None:
        """Select a method's row."""
        for line in range(self.table.rowCount()):
            item = self.table.item(line, 0)
            if item is not None and self.rows[item.data(ROW)].method == method:
                self.table.selectRow(line)

    def begin(self, title: str) -> Callable[[Row], None]:
        """Empty, for a new comparison of the titled pair; returns what its worker calls with each row."""
        self.end()
        self.title.setText(title)
        self.table.setRowCount(0)  # with its selection
        self.rows = []
        self._fill()
        run, arrivals = self._run, Arrivals()
        arrivals.row.connect(self._receive, Qt.ConnectionType.QueuedConnection)
        return lambda row: arrivals.row.emit(run, row)

    def end(self) -> None:
        """Drop the rows that still arrive; those that are there stay."""
        self._run += 1

    def show_best(self) -> None:
        """Select the best row, unless the user has selected one."""
        top = best(self.rows)
        if top is not None and self.selected is None:
            self.select(top.method)

    def set_busy(self, busy: bool) -> None:
        """Whether something runs, so that no layers can be asked for."""
        self._busy = busy
        self._refresh()

    def _receive(self, run: int, row: Row) -> None:
        if run == self._run:
            self.rows.append(row)
            self._fill()
            self.arrived.emit(row)

    def _fill(self) -> None:
        """Write all rows anew: a new one may be the best, or bring a column."""
        selected = self.selected
        chosen, top = columns(self.rows), best(self.rows)
        table = self.table
        table.setSortingEnabled(False)  # or items would move while they are written
        table.clear()
        table.setRowCount(len(self.rows))
        table.setColumnCount(1 + len(chosen))
        first = QTableWidgetItem("method")
        first.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        table.setHorizontalHeaderItem(0, first)
        for k, column in enumerate(chosen, 1):
            head = QTableWidgetItem(column.title)
            head.setToolTip(column.help)
            head.setTextAlignment(RIGHT)
            table.setHorizontalHeaderItem(k, head)
        for line, row in enumerate(self.rows):
            items = [QTableWidgetItem(row.method), *(Item(c.text(row), c.value(row)) for c in chosen)]
            if row.outcome:
                items[0].setData(Qt.ItemDataRole.DecorationRole, QColor(COLOURS[row.outcome]))
            for k, item in enumerate(items):
                item.setData(ROW, line)
                item.setToolTip(_tip(row))
                if k:
                    item.setTextAlignment(RIGHT)
                font = item.font()
                font.setBold(row is top)
                font.setItalic(row.method == BEFORE)
                item.setFont(font)
                table.setItem(line, k, item)
        table.setSortingEnabled(True)
        if selected is not None and selected in self.rows:
            self.select(selected.method)
        text = "\n".join(remarks(self.rows)).replace("* best", "Best")
        self.remark.setText(text)
        self.remark.setVisible(bool(text))
        self.setVisible(bool(self.rows))
        self._fit()
        self._refresh()

    def _fit(self) -> None:
        """As high as the rows: the panel itself scrolls."""
        table = self.table
        rows = sum(table.rowHeight(line) for line in range(table.rowCount()))
        bar = table.horizontalScrollBar()
        head = _header(table.horizontalHeader()).sizeHint().height()
        extra = 0 if bar is None else bar.sizeHint().height()
        table.setFixedHeight(head + rows + extra + 2 * table.frameWidth())

    def _refresh(self) -> None:
        row = self.selected
        self.show_button.setEnabled(not self._busy and row is not None and row.result is not None)

    def _ask(self) -> None:
        row = self.selected
        if not self._busy and row is not None and isinstance(row.result, Result):
            self.show_asked.emit(row.result)


def _header(header: QHeaderView | None) -> QHeaderView:
    assert header is not None  # a table has both
    return header


def _tip(row: Row) -> str:
    """What a row's numbers rest on."""
    if row.result is not None:
        return "\n".join([METHODS[row.method].title, row.result.verdict.sentence, *row.result.notes])
    return row.failure or "The images as they lie"
