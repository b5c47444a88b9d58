"""The table: sorting, copying, styles, and rows that arrive meanwhile."""

import math

import pytest
from qtpy.QtCore import QItemSelectionModel, QPoint, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QAbstractItemModelTester

from napari_voxreg.gui.widgets.tables.model import RowStyle, TableColumn
from napari_voxreg.gui.widgets.tables.view import Table, plain_table

ASCENDING, DESCENDING = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder
COLUMNS = (
    TableColumn("method", lambda row: row[0]),
    TableColumn(
        "SSIM\nafter",
        lambda row: "–" if row[1] is None else f"{row[1]:.1f}",
        lambda row: row[1],
        "similarity",
    ),
)
ROWS = [("ilk", 10.0), ("affine", None), ("flow", 9.25), ("elastix", math.nan), ("pose", -1.0)]


def style(row):
    return RowStyle(f"about {row[0]}", "#ff0000" if row[0] == "ilk" else "", bold=row[0] == "flow")


@pytest.fixture
def table(qtbot):
    made = Table(style)
    qtbot.addWidget(made)
    QAbstractItemModelTester(made.contents, QAbstractItemModelTester.FailureReportingMode.Fatal, made)
    made.contents.fill(COLUMNS, ROWS)
    made.show()
    return made


def names(table):
    return [row[0] for row in table.contents.rows]


def test_rows_stand_as_they_came_until_a_heading_is_clicked(table, qtbot):
    assert names(table) == [row[0] for row in ROWS]
    header = table.across
    place = header.sectionViewportPosition(1) + 4
    for expected in (["pose", "flow", "ilk"], ["ilk", "flow", "pose"]):
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place, 4))
        order = names(table)
        assert order[:3] in (expected, expected[::-1])
        assert order[3:] == ["affine", "elastix"]


@pytest.mark.parametrize("order", [ASCENDING, DESCENDING])
def test_numbers_are_sorted_as_numbers_and_missing_ones_stay_last(table, order):
    table.sortByColumn(1, order)
    known = ["pose", "flow", "ilk"]
    assert names(table) == [*(known if order == ASCENDING else known[::-1]), "affine", "elastix"]
    table.sortByColumn(0, order)
    assert names(table) == sorted(names(table), reverse=order == DESCENDING)


def test_rows_that_arrive_go_to_their_place_and_the_selection_stays(table):
    table.sortByColumn(1, ASCENDING)
    table.select(ROWS[2])
    new = [("later", 9.0), ("none", None), ("last", 99.0)]
    table.contents.append(new)
    assert names(table) == ["pose", "later", "flow", "ilk", "last", "affine", "elastix", "none"]
    assert table.selected is ROWS[2]


def test_the_keys_copy_the_selected_rows_with_the_headings_as_shown(table, qtbot):
    QGuiApplication.clipboard().setText("before")
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "before"  # nothing is selected
    table.sortByColumn(1, ASCENDING)
    for row in (ROWS[0], ROWS[1]):
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        table.selection.select(table.contents.index(table.contents.rows.index(row), 0), flags)
    assert table.selected is None  # as several are
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "method\tSSIM after\nilk\t10.0\naffine\t–"


def test_the_data_frame_has_all_digits(table):
    frame = table.contents.to_dataframe()
    assert list(frame.columns) == ["method", "SSIM after"] and list(frame["method"]) == names(table)
    assert frame["SSIM after"].dtype == float and frame["SSIM after"][2] == 9.25
    assert list(frame["SSIM after"].isna()) == [False, True, False, True, False]


def test_what_a_row_and_a_heading_show(table):
    role = Qt.ItemDataRole
    first, number = table.contents.index(0, 0), table.contents.index(2, 1)
    assert first.data(role.ToolTipRole) == "about ilk" and first.data(role.DecorationRole).name() == "#ff0000"
    assert number.data(role.DecorationRole) is None and number.data(role.FontRole).bold()
    assert not first.data(role.FontRole).bold()
    assert number.data(role.TextAlignmentRole) & Qt.AlignmentFlag.AlignRight
    assert table.contents.headerData(1, Qt.Orientation.Horizontal, role.ToolTipRole) == "similarity"


def test_a_plain_table_fills_its_width(qtbot):
    table = plain_table(COLUMNS, (60,), lambda row: row[0])
    qtbot.addWidget(table)
    table.contents.fill(COLUMNS, ROWS)
    table.resize(300, table.height())
    table.show()
    assert table.columnWidth(0) == 60
    assert table.columnWidth(0) + table.columnWidth(1) == table.viewport().width()


@pytest.mark.parametrize("before", ["all", "same", "another"])
def test_a_row_is_selected_alone_while_ctrl_is_held(table, qtbot, before):
    if before == "all":
        table.selectAll()
    else:
        table.select(ROWS[2 if before == "same" else 0])
    qtbot.keyPress(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.keyboardModifiers() == Qt.KeyboardModifier.ControlModifier
    table.select(ROWS[2])
    qtbot.keyRelease(table, Qt.Key.Key_C)
    assert table.selected is ROWS[2]
