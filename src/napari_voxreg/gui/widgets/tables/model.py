"""Rows of a table for Qt: sorted by number, copied as text, exported as a data frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from qtpy.QtGui import QColor, QFont

if TYPE_CHECKING:
    import pandas as pd

Role = Qt.ItemDataRole
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
NOWHERE = QModelIndex()


@dataclass(frozen=True)
class TableColumn:
    """A column of a table.

    Parameters
    ----------
    title : str
        The heading, of one or two lines.
    text : callable
        A row's cell.
    number : callable, optional
        A row's number, nan or None where it is missing. A column with numbers is aligned to the right and
        sorted by them, other columns by their text.
    help : str
        The tooltip of the heading.
    """

    title: str
    text: Callable[[Any], str]
    number: Callable[[Any], float | None] | None = None
    help: str = ""

    @property
    def name(self) -> str:
        """The heading in one line."""
        return " ".join(self.title.split())

    def value(self, row: Any) -> float | str:
        """A row's number, nan where it is missing; the text in a column without numbers."""
        if self.number is None:
            return self.text(row)
        number = self.number(row)
        return math.nan if number is None else float(number)


@dataclass(frozen=True)
class RowStyle:
    """The appearance of a row.

    Parameters
    ----------
    tip : str
        The tooltip of all its cells.
    colour : str
        Of the square before its first cell; none if empty.
    bold, italic : bool
        Its font.
    """

    tip: str = ""
    colour: str = ""
    bold: bool = False
    italic: bool = False


class TableModel(QAbstractTableModel):
    """Rows of any kind, under columns that read them.

    New rows of a sorted table are sorted in, and the selection is kept.

    Parameters
    ----------
    parent : QObject
        The model ends with it.
    style : callable
        A row's `RowStyle`.

    Attributes
    ----------
    columns : tuple of TableColumn
    rows : list
        In the order shown.
    """

    def __init__(self, parent: QObject, style: Callable[[Any], RowStyle] = lambda row: RowStyle()) -> None:
        super().__init__(parent)
        self.columns: tuple[TableColumn, ...] = ()
        self.rows: list[Any] = []
        self._style = style
        self._sorted = -1, Qt.SortOrder.AscendingOrder

    def fill(self, columns: Sequence[TableColumn], rows: Iterable[Any]) -> None:
        """Show other columns and rows."""
        self.beginResetModel()
        self.columns, self.rows = tuple(columns), list(rows)
        self.endResetModel()
        self.sort(*self._sorted)

    def append(self, rows: Sequence[Any]) -> None:
        """Add rows."""
        if not rows:
            return
        first = len(self.rows)
        self.beginInsertRows(NOWHERE, first, first + len(rows) - 1)
        self.rows += rows
        self.endInsertRows()
        self.sort(*self._sorted)

    def text(self, lines: Iterable[int]) -> str:
        """Some rows with the headings, separated by tabs, for spreadsheets."""
        cells = [[column.name for column in self.columns]]
        cells += [
            [" ".join(column.text(self.rows[line]).split("\n")) for column in self.columns] for line in lines
        ]
        return "\n".join("\t".join(line) for line in cells)

    def to_dataframe(self) -> pd.DataFrame:
        """All rows in the order shown, with all digits; nan where a number is missing."""
        import pandas as pd

        return pd.DataFrame({c.name: [c.value(row) for row in self.rows] for c in self.columns})

    # What Qt calls --------------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex = NOWHERE) -> int:
        """The number of rows."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = NOWHERE) -> int:
        """The number of columns."""
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """What a cell shows."""
        row, column = self.rows[index.row()], self.columns[index.column()]
        if role == Role.DisplayRole:
            return column.text(row)
        if role == Role.TextAlignmentRole:
            return LEFT if column.number is None else RIGHT
        if role == Role.ToolTipRole:
            return self._style(row).tip
        if role == Role.DecorationRole and index.column() == 0:
            colour = self._style(row).colour
            return QColor(colour) if colour else None
        if role == Role.FontRole:
            style, font = self._style(row), QFont()
            font.setBold(style.bold)
            font.setItalic(style.italic)
            return font
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole) -> Any:
        """What a heading shows."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        column = self.columns[section]
        if role == Role.DisplayRole:
            return column.title
        if role == Role.TextAlignmentRole:
            return LEFT if column.number is None else RIGHT
        return column.help if role == Role.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; rows without a number stay last in either order."""
        self._sorted = column, order
        if not 0 <= column < len(self.columns):
            return
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        kept = [self.rows[index.row()] for index in before]
        self.rows = _sorted(self.rows, self.columns[column], order == Qt.SortOrder.DescendingOrder)
        line = {id(row): k for k, row in enumerate(self.rows)}
        after = [self.index(line[id(row)], index.column()) for row, index in zip(kept, before, strict=True)]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()


def _sorted(rows: list[Any], column: TableColumn, descending: bool) -> list[Any]:
    """Rows with a number (or text) in order, then those without."""
    keyed = [(column.value(row), row) for row in rows]
    missing = [row for value, row in keyed if value != value]
    known = [(value, row) for value, row in keyed if value == value]
    known.sort(key=lambda item: item[0], reverse=descending)
    return [row for _, row in known] + missing
