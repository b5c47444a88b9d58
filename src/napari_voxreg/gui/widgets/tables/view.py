"""A table whose rows can be sorted, selected and copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QEvent, QItemSelectionModel, QSize, Qt, Signal
from qtpy.QtGui import QAction, QGuiApplication, QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableView

from ..combo_box import SLIM
from .model import RowStyle, TableColumn, TableModel

PLAIN = 150  # pixels that a table of plain text is high
ARROW = 14  # pixels for the arrow of the sorted column
# napari's theme has no style for cells; the default has wide margins.
STYLE = (
    f"QTableView::item {{padding: 0 {ARROW - 2}px 0 2px;}}"
    f"QHeaderView::section {{padding: 2px {ARROW}px 2px 2px;}}"
)
PLAIN_STYLE = "QTableView::item {padding: 0 1px;} QHeaderView::section {padding: 2px;}"


class Table(QTableView):
    """Rows under headings: a click on a heading sorts, Ctrl+C and the context menu copy the selected rows.

    Parameters
    ----------
    style : callable
        A row's `RowStyle`.

    Attributes
    ----------
    contents : TableModel
        What is shown.

    Signals
    -------
    chosen()
        Other rows are selected, or none.
    """

    chosen = Signal()

    def __init__(self, style: Callable[[Any], RowStyle] = lambda row: RowStyle()) -> None:
        super().__init__()
        self.contents = TableModel(self, style)
        self.setModel(self.contents)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(SLIM)
        self.setIconSize(QSize(9, 9))
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)  # Tab moves to the next widget
        self.setStyleSheet(STYLE)
        self.across.setMinimumSectionSize(24)
        self.across.setHighlightSections(False)
        self.across.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        down = self.verticalHeader()
        assert down is not None  # every table has one
        down.hide()
        down.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        down.setDefaultSectionSize(self.fontMetrics().height() + 8)
        copy = QAction("Copy rows", self)
        copy.triggered.connect(self.copy)
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.selection.selectionChanged.connect(self.chosen)

    @property
    def across(self) -> QHeaderView:
        """The headings."""
        header = self.horizontalHeader()
        assert header is not None  # every table has them
        return header

    @property
    def selection(self) -> QItemSelectionModel:
        """What is selected."""
        found = self.selectionModel()
        assert found is not None  # there is a model
        return found

    @property
    def selected(self) -> Any:
        """The selected row; None if none or several are selected."""
        lines = self.selection.selectedRows()
        return self.contents.rows[lines[0].row()] if len(lines) == 1 else None

    def select(self, row: Any) -> None:
        """Select a row of the table, and scroll to it."""
        line = next(k for k, one in enumerate(self.contents.rows) if one is row)
        index = self.contents.index(line, 0)
        flags = QItemSelectionModel.SelectionFlag
        # Not by `selectRow`, which with Ctrl held, as for Ctrl+C, adds the row or takes it away.
        self.selection.setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)

    def copy(self) -> None:
        """Copy the selected rows to the clipboard, in the order shown, with the headings."""
        lines = sorted(index.row() for index in self.selection.selectedRows())
        clipboard = QGuiApplication.clipboard()
        if lines and clipboard is not None:
            clipboard.setText(self.contents.text(lines))

    def event(self, event: Any) -> bool:
        """Handle Ctrl+C before the window's shortcuts."""
        if event.type() == QEvent.Type.ShortcutOverride and event.matches(QKeySequence.StandardKey.Copy):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: Any) -> None:
        """Copy rows; Qt would copy a single cell."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def fit(self, lines: int | None = None) -> None:
        """Set the height to that of the rows, but to `lines` rows at most."""
        count = len(self.contents.rows)
        down, bar = self.verticalHeader(), self.horizontalScrollBar()
        assert down is not None and bar is not None  # every table has both
        height = (count if lines is None else min(count, lines)) * down.defaultSectionSize()
        frame = 2 * self.frameWidth()
        across = self.horizontalScrollBarPolicy() != Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        height += bar.sizeHint().height() * across
        self.setFixedHeight(self.across.sizeHint().height() + height + frame)


def plain_table(columns: Sequence[TableColumn], widths: Sequence[int], tip: Callable[[Any], str]) -> Table:
    """An empty table of a fixed height.

    Parameters
    ----------
    columns : sequence of TableColumn
    widths : sequence of int
        Pixels of all columns but the last, which takes the rest.
    tip : callable
        A row's tooltip.
    """
    table = Table(lambda row: RowStyle(tip(row)))
    table.setStyleSheet(PLAIN_STYLE)
    table.setShowGrid(True)
    table.setFixedHeight(PLAIN)
    table.contents.fill(columns, ())
    table.across.setStretchLastSection(True)
    for column, width in enumerate(widths):
        table.setColumnWidth(column, width)
    return table
