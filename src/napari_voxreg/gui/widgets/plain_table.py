"""A table to look at and to choose a row from."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget

from .combo_box import SLIM

HEIGHT, LINE = 150, 22


def plain_table(columns: Sequence[str], widths: Sequence[int]) -> QTableWidget:
    """An empty table.

    Parameters
    ----------
    columns : sequence of str
        The headings.
    widths : sequence of int
        Pixels of all columns but the last, which takes what is left.
    """
    table = QTableWidget(0, len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setWordWrap(False)
    table.setFixedHeight(HEIGHT)
    table.setMinimumWidth(SLIM)
    across, down = table.horizontalHeader(), table.verticalHeader()
    assert across is not None and down is not None  # every table has them
    down.hide()
    down.setDefaultSectionSize(LINE)
    across.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
    across.setStretchLastSection(True)
    for column, width in enumerate(widths):
        table.setColumnWidth(column, width)
    return table
