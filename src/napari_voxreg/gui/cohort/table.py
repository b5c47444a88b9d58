"""The table of a cohort's images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QModelIndex, Qt, QTimer, Signal
from qtpy.QtGui import QGuiApplication

from ...cohort.group import Member
from ..background.row_feed import RowFeed
from ..widgets.sentence import COLOURS
from ..widgets.tables.model import RowStyle, TableColumn
from ..widgets.tables.view import ARROW, Table

LINES = 10  # shown at once at most
NAME = 150  # pixels for the name of an image at most
PERIOD = 150  # milliseconds between two updates
LNCC = "Local match with the template, 0 to 1, on which the verdict rests"
WHOLE = "SSIM with the template over its whole grid, black outside included"
PART = "SSIM with the template where both have data, black outside left out"
# As in `Member.numbers`: heading, format, tooltip.
NUMBERS = (
    ("LNCC\nbefore", ".3f", LNCC),
    ("LNCC\nafter", ".3f", LNCC),
    ("SSIM\nbefore", ".3f", WHOLE),
    ("SSIM\nafter", ".3f", WHOLE),
    ("no black\nbefore", ".3f", PART),
    ("no black\nafter", ".3f", PART),
    ("overlap\n%", ".0f", "Share of the template that the image covers"),
    ("folding\n%", ".2g", "Share of the template where the transform folds"),
    ("seconds", ".1f", "Of all its registrations"),
)
SAID: dict[str, Callable[[Any], str]] = {
    "patient": lambda line: line.member.patient,
    "side": lambda line: line.member.side,
    "date": lambda line: line.member.date,
}


@dataclass(frozen=True, eq=False)
class Line:
    """An image of the cohort, as far as it is known.

    Parameters
    ----------
    number : int
        From 0.
    member : Member
    running : bool
        Whether more is awaited.
    """

    number: int
    member: Member
    running: bool

    @property
    def state(self) -> str:
        """The verdict, or what is known before there is one."""
        if self.member.problem:
            return "unusable"
        if self.member.verdict is not None:
            return self.member.verdict.outcome
        if self.member.transform is not None:
            return "aligned"
        return "waiting" if self.running else "–"


class CohortTable(Table):
    """One row per image, which fills as the run goes on; a click on a heading sorts.

    Attributes
    ----------
    members : dict of int to Member
        By their numbers.

    Signals
    -------
    picked(number)
        An image was clicked.
    filled(whether)
        There are rows, though a filter may hide them; or there are none.
    """

    picked = Signal(int)
    filled = Signal(bool)

    def __init__(self) -> None:
        super().__init__(_style)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names of visits differ at their ends
        self.setAccessibleName("Images and their scores")
        self.setToolTip("A row for each image; a click opens it; Ctrl+C copies the chosen ones")
        self.members: dict[int, Member] = {}
        self._running = False
        self._words = ""
        self._feed = RowFeed(self)
        self._feed.arrived.connect(self._receive)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PERIOD)
        self._timer.timeout.connect(self.flush)
        self.clicked.connect(self._clicked)
        self.hide()

    def begin(self) -> Callable[[object], None]:
        """Clear for a new run; returns the function that its worker calls with number and row."""
        self.members, self._running = {}, True
        self.contents.fill((), ())
        self.hide()
        self.filled.emit(False)
        return self._feed.begin()

    def end(self, members: Sequence[Member] = ()) -> None:
        """Show these rows, or those that are there; later ones are dropped."""
        self._feed.end()
        self._running = False
        self.members.update(enumerate(members))
        self.flush()

    def filter(self, words: str) -> None:
        """Show only images in whose cells all these words are found."""
        self._words = words.casefold()
        self.flush()

    def choose(self, number: int) -> None:
        """Select an image's row, if it is shown."""
        for line in self.contents.rows:
            if line.number == number:
                self.select(line)

    def flush(self) -> None:
        """Show all that has arrived."""
        self._timer.stop()
        chosen = self.selected
        lines = [Line(k, member, self._running) for k, member in sorted(self.members.items())]
        columns = _columns(lines)
        anew = [c.title for c in columns] != [c.title for c in self.contents.columns]
        self.contents.fill(columns, [line for line in lines if self._fits(line, columns)])
        if anew:
            self._set_widths()
        if chosen is not None:
            self.choose(chosen.number)
        self.fit(LINES)
        self.setVisible(bool(lines))
        self.filled.emit(bool(lines))

    def _fits(self, line: Line, columns: Sequence[TableColumn]) -> bool:
        text = " ".join(column.text(line) for column in columns).casefold()
        return all(word in text for word in self._words.split())

    def _receive(self, row: tuple[int, Member]) -> None:
        number, member = row
        self.members[number] = member
        if not self._timer.isActive():
            self._timer.start()

    def _set_widths(self) -> None:
        width = self.fontMetrics().horizontalAdvance
        for k, column in enumerate(self.contents.columns):
            # Qt itself measures a heading of two lines as one.
            words = [*column.title.split("\n"), "0.000" if column.number else "unchanged"]
            self.setColumnWidth(k, max(map(width, words)) + ARROW + 8)
        self.resizeColumnToContents(0)
        self.setColumnWidth(0, min(self.columnWidth(0), NAME))

    def _clicked(self, index: QModelIndex) -> None:
        line: Line = self.contents.rows[index.row()]
        # With a modifier, the click selects rows to copy.
        if QGuiApplication.keyboardModifiers() == Qt.KeyboardModifier.NoModifier:
            self.picked.emit(line.number)


def _style(line: Line) -> RowStyle:
    member = line.member
    sentence = member.problem or ("" if member.verdict is None else member.verdict.sentence)
    tone = "failed" if member.problem else line.state
    return RowStyle(f"{member.name}\n{sentence}".strip(), COLOURS.get(tone, COLOURS["quiet"]))


def _columns(lines: Sequence[Line]) -> list[TableColumn]:
    """Those that the rows have."""
    found = [
        TableColumn("image", lambda line: line.member.name),
        *(_number(place, *about) for place, about in enumerate(NUMBERS)),
    ]
    verdict = TableColumn("verdict", lambda line: line.state, help="Whether it matches the template better")
    found.insert(3, verdict)  # behind the scores on which it rests
    found += [TableColumn(title, said) for title, said in SAID.items() if any(said(line) for line in lines)]
    if any(line.member.problem for line in lines):
        found.append(TableColumn("problem", lambda line: line.member.problem))
    return found


def _number(place: int, title: str, form: str, tip: str) -> TableColumn:
    """A column of `Member.numbers`."""

    def value(line: Line) -> float:
        return line.member.numbers[place] or math.nan if title == "seconds" else line.member.numbers[place]

    def text(line: Line) -> str:
        return "" if math.isnan(value(line)) else format(value(line), form)

    return TableColumn(title, text, value, tip)
