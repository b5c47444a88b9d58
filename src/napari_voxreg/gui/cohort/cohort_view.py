"""What a cohort gave: its table, how the images resemble each other, and its report."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...cohort.group.drawings import errors_between
from ..look.look import Look
from ..look.row import LookRow
from ..widgets.fold import Fold
from .job import CohortDone
from .plots import ErrorsPlot, MatrixPlot
from .table import CohortTable


class CohortView(QWidget):
    """The table with a filter; after a run the comparison of an opened image, plots and files.

    Parameters
    ----------
    look : Look
        Compares template and aligned image.

    Attributes
    ----------
    table, filter_line, look_row : CohortTable, QLineEdit, LookRow
    done : CohortDone or None
        The last run, if it ended well.

    Signals
    -------
    csv_asked(), report_asked()
        The table is to be saved, or the report opened.
    """

    csv_asked = Signal()
    report_asked = Signal()

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.done: CohortDone | None = None
        self.table = CohortTable()
        self.filter_line = QLineEdit()
        self.filter_line.setPlaceholderText("Filter: worse, unusable, p03 …")
        self.filter_line.setAccessibleName("Filter the rows")
        self.filter_line.setToolTip("Shows the rows in which all these words are found")
        self.filter_line.setClearButtonEnabled(True)
        self.filter_line.textChanged.connect(self.table.filter)
        self.table.filled.connect(self.filter_line.setVisible)
        self.look_row = LookRow(look)
        self.matrix, self.errors = MatrixPlot(), ErrorsPlot()
        plots = QWidget()
        inside = QVBoxLayout(plots)
        inside.setContentsMargins(0, 0, 0, 0)
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        inside.addWidget(self.about)
        inside.addWidget(self.matrix)
        inside.addWidget(self.errors)
        self.resemblance = Fold("Errors between the images", plots, "How well every two images agree")
        self.csv_button = QPushButton("Save CSV…")
        self.csv_button.setToolTip("Save the table with all columns")
        self.csv_button.clicked.connect(self.csv_asked)
        self.report_button = QPushButton("Open report")
        self.report_button.setToolTip(
            "Open the report on all images in the browser: one file with its pictures inside"
        )
        self.report_button.clicked.connect(self.report_asked)
        self._buttons = QWidget()
        row = QHBoxLayout(self._buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.csv_button)
        row.addWidget(self.report_button)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.filter_line, self.table, self.look_row, self.resemblance, self._buttons):
            layout.addWidget(widget)
        self.clear()

    def clear(self) -> None:
        """Show nothing, before a new run."""
        self.done = None
        for widget in (self, self.look_row, self.resemblance, self._buttons):
            widget.hide()

    def show_done(self, done: CohortDone) -> None:
        """Show what a run gave."""
        self.done = done
        self.table.end(done.result.members)
        self._buttons.show()
        found = errors_between(done.result)
        self.resemblance.setVisible(found is not None)
        if found is not None:
            matrix, row, words = found
            self.about.setText(
                f"{words[0].upper()}{words[1:]}: {np.nanmin(matrix):.2g} (dark) to {np.nanmax(matrix):.2g} "
                f"(bright). {done.result.members[row].name}, number {row}, agrees best with the others."
            )
            self.matrix.show_result(done.result)
            self.errors.show_result(done.result)
