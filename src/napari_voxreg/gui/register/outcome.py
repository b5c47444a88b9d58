"""The outcome of a run: one sentence, and details."""

from __future__ import annotations

import math
import time
import traceback
from html import escape

from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import QLabel, QPlainTextEdit, QSizePolicy, QVBoxLayout, QWidget

from ...core.geometry import short_unit
from ...core.process import MethodUnavailable
from ...metrics.pair import SIMILARITIES, Scores
from ...registration.result import Result
from ..layers.placement import pair_name
from ..widgets.fold import Fold
from ..widgets.sentence import Sentence


class OutcomeView(QWidget):
    """The verdict or the failure of the last run, with scores, notes and the log.

    Parameters
    ----------
    after : QWidget
        What can be done with the result, below the sentence.
    """

    def __init__(self, after: QWidget) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._began = 0.0
        self._verdict = "", "", ""  # sentence, outcome, pair
        self._current = True
        self.sentence = Sentence()
        self.table = QLabel()
        self.table.setTextFormat(Qt.TextFormat.RichText)
        self.table.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.notes = QLabel()
        self.notes.setWordWrap(True)
        self.notes.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.saved = QLabel()
        self.saved.setWordWrap(True)
        self.saved.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setAccessibleName("Log")
        self.log.setToolTip("What the last run said, with the seconds since it began")
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.log.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.log.setFixedHeight(180)
        body = QWidget()
        inside = QVBoxLayout(body)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.table)
        self.log_fold = Fold("Log", self.log, "Parameters, stages and messages of the run")
        self.log_fold.toggled.connect(self._flush)
        inside.addWidget(self.log_fold)
        self.details = Fold("Details", body, "All scores before and after, and the log")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.sentence)
        layout.addWidget(self.notes)  # notes say what was done and why, so they are always shown
        layout.addWidget(after)
        layout.addWidget(self.saved)
        layout.addWidget(self.details)
        self.begin()

    def begin(self) -> None:
        """Clear for a new run."""
        self._began = time.monotonic()
        self._verdict = "", "", ""
        self.sentence.say("", "quiet")
        self.log.clear()
        self._lines = []
        self._with_result(False)
        self.details.hide()

    def write(self, line: str) -> None:
        """Add a line to the log."""
        self._lines.append(line)
        self._flush()
        self.details.show()

    def note(self, line: str) -> None:
        """Add a line to the log, with the seconds since the run began."""
        self.write(f"{time.monotonic() - self._began:6.1f} s  {line}")

    def show_message(self, text: str, tone: str = "quiet") -> None:
        """Show a sentence that is not a verdict."""
        self._verdict = "", "", ""
        self.sentence.say(text, tone)

    def show_error(self, error: Exception) -> None:
        """Show an expected error as one sentence, any other with its traceback."""
        if isinstance(error, ValueError | MethodUnavailable):
            first, *rest = str(error).split("\n")
            self.show_message(first, "failed")
            for line in [*rest, *getattr(error, "__notes__", ())]:
                self.note(line)
            return
        self.show_message(f"{type(error).__name__}: {error}", "failed")
        self.note("".join(traceback.format_exception(error)))
        notification_manager.receive_error(type(error), error, error.__traceback__)

    def show_result(self, result: Result) -> None:
        """Show a verdict and its details."""
        verdict = result.verdict
        self._verdict = verdict.sentence, verdict.outcome, pair_name(*reversed(result.names))
        self._say_verdict()
        self.table.setText(score_table(result))
        self.notes.setText("\n".join(result.notes).replace("->", "→"))
        for name, content in result.files.items():
            if name.endswith(".log"):
                self.write(f"\n{name}:\n{content.decode(errors='replace')}")
        self._with_result(True)
        self.notes.setVisible(bool(result.notes))

    def set_current(self, current: bool) -> None:
        """Set whether the verdict is that of the chosen pair; else it is grey and names its pair."""
        if current != self._current:
            self._current = current
            self._say_verdict()

    def _say_verdict(self) -> None:
        sentence, outcome, pair = self._verdict
        if sentence and self._current:
            self.sentence.say(sentence, outcome)
        elif sentence:
            self.sentence.say(f"{pair}: {sentence}", "quiet")

    def say_done(self, text: str) -> None:
        """Show what was done with the result, below its buttons."""
        self.saved.setText(text)
        self.saved.show()

    def _flush(self) -> None:
        """Append new lines to the log if it is visible: elastix's is long."""
        if self.log_fold.open and self._lines:
            self.log.appendPlainText("\n".join(self._lines))
            self._lines = []

    def _with_result(self, there: bool) -> None:
        for widget in (self.table, self.notes):
            widget.setVisible(there)
        self.saved.hide()
        self.details.show()


def score_table(result: Result) -> str:
    """Scores before and after, as HTML."""
    head = "".join(f'<td colspan="2" align="center">{text}</td>' for text in ("whole grid", "overlap"))
    rows = [f"<tr><td></td>{head}</tr>"]
    times = '<td align="right">before</td><td align="right">after</td>'
    rows.append(f"<tr><td></td>{times}{times}</tr>")
    verdict = result.verdict
    ends = " → ".join(map(_number, (verdict.before, verdict.after)))
    rows.append(f'<tr><td><b>{verdict.measure}</b></td><td colspan="4">{ends}, decides the verdict</td></tr>')
    for name in SIMILARITIES:
        cells = [
            scores[name]
            for scores in (
                result.before.whole,
                result.after.whole,
                result.before.overlap,
                result.after.overlap,
            )
        ]
        numbers = "".join(f'<td align="right">{_number(value)}</td>' for value in cells)
        rows.append(f"<tr><td>{name.upper()}</td>{numbers}</tr>")
    table = f'<table cellspacing="0" cellpadding="3">{"".join(rows)}</table>'
    return f"{table}<p>{escape(_other_scores(result, result.before, result.after))}</p>".replace("->", "→")


def _other_scores(result: Result, before: Scores, after: Scores) -> str:
    """Scores without a column of their own."""
    parts = [
        f"overlap {100 * before.overlap_fraction:.0f} → {100 * after.overlap_fraction:.0f} %",
        f"folding {after.folded:.2g} %",
    ]
    if before.landmark_error is not None and after.landmark_error is not None:
        unit = short_unit(result.fixed.units[0])
        parts.append(f"landmark error {before.landmark_error:.3g} → {after.landmark_error:.3g} {unit}")
    parts.append(f"{result.seconds:.1f} s")
    return " · ".join(parts)


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
