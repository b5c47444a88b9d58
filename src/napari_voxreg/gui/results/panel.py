"""The Results panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import napari.viewer
from napari.layers import Layer
from qtpy.QtWidgets import QCheckBox, QGridLayout, QPushButton

from ..cursor.same_place import SamePlaceBox
from ..doors import repeat_in_register
from ..layers.layer_events import LayerWatch
from ..layers.result_layers import KINDS
from ..session.actions import RunActions
from ..session.reopen import find_runs
from ..session.run_layers import run_layers
from ..session.show_box import TEXTS, ShowBox
from ..session.state import Run, session_state
from ..widgets.dock_panel import Docked
from ..widgets.sentence import BUTTON, Sentence
from .colour_bars import ColourBars
from .histogram import HistogramBox
from .table import RunTable

NONE_YET = "No results yet. Register a pair, or open a folder of saved results."
NO_PAIR = "The images {} and {} are not open: open them to see the layers of this result."


class ResultsWidget(Docked):
    """All results of the session: look at them, keep them, take them back.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    table : RunTable
        A row for each run.
    show_box : ShowBox
        The layers of the selected run.
    histograms : HistogramBox
        Of its displacement and Jacobian.
    """

    title = "Results"

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._state = session_state(viewer)
        self._current: Run | None = None
        self._layers = run_layers(viewer)
        self._actions = RunActions(viewer, self._state, self._layers, self)
        self._watch = LayerWatch(viewer, self._offer)
        self._build()
        self._attach()
        self._refresh()
        self.destroyed.connect(lambda: self._gone())

    @property
    def run(self) -> Run | None:
        """The selected run."""
        run: Run | None = self.table.selected
        return run

    # Layout ---------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.table = RunTable()
        self.table.setAccessibleName("Results")
        self.table.setToolTip("A row for each run; a double click shows its result")
        self.sentence = Sentence()
        self.show_box = ShowBox(more=True)
        self.bars = ColourBars()
        self.histograms = HistogramBox()
        self.said = Sentence()
        self.said.hide()
        self.earlier = QCheckBox("keep earlier results in the viewer")
        self.earlier.setToolTip(
            "Else the layers of a new run replace those of earlier ones; rows stay anyway"
        )
        self.earlier.setChecked(self._state.keep_earlier)
        self.earlier.toggled.connect(self._keep_earlier)
        self.same_place = SamePlaceBox(self._viewer, self._state)
        above = (self.table, self.sentence, self.show_box, self.bars, self.histograms)
        self._fill(*above, self._buttons(), self.said, self.earlier, self.same_place)
        self.table.chosen.connect(self._refresh)
        self.table.doubleClicked.connect(lambda index: self._of_run(self._actions.show))
        self.show_box.toggled.connect(self._toggle)
        self.show_box.affine.clicked.connect(self._measure)
        self._state.changed.connect(self._refresh)
        self._layers.changed.connect(self._refresh)
        self._layers.failed.connect(self._fail)
        self._layers.making.connect(self._making)
        self._actions.failed.connect(self._fail)
        self._actions.said.connect(self._say)

    def _buttons(self) -> QGridLayout:
        """What can be done with the selected run, and without one."""
        actions = self._actions
        of_run: dict[str, tuple[Callable[[Run], None], str]] = {
            "Show": (
                actions.show,
                "Show this result in place of the current one; a double click does so, too",
            ),
            "Run again…": (self._repeat, "Choose the same pair, method and parameters in Register"),
            "Save…": (actions.save, "Save transform (ITK's .h5), record (JSON) and files in a folder"),
            "Export…": (
                actions.export,
                "Write the transform for ITK, ANTs, elastix and others, or as a field",
            ),
            "Copy as Python": (actions.copy_python, "A script that gives the same transform"),
            "Copy command": (actions.copy_command, "A command that registers the same pair"),
            "Report…": (actions.report, "A page with pictures, scores and parameters, and the same as JSON"),
            "Delete": (actions.delete, "Forget this result and remove its layers; saved files stay"),
        }
        always: dict[str, tuple[Callable[[], None], str]] = {
            "Undo": (actions.undo, "Take back the result that was shown last"),
            "Redo": (actions.redo, "Bring back what was undone last"),
            "Open folder…": (actions.open, "Read saved results from a folder and the folders in it"),
        }
        self.buttons: dict[str, QPushButton] = {}
        tips = {text: tip for text, (_, tip) in (*of_run.items(), *always.items())}
        for text, tip in tips.items():
            button = self.buttons[text] = QPushButton(text)
            button.setToolTip(tip)
            button.setStyleSheet(BUTTON.replace("6px", "3px") if text == "Show" else "padding: 3px 4px;")
        for text, (act, _) in of_run.items():
            self.buttons[text].clicked.connect(lambda on, act=act: self._of_run(act))
        for text, (do, _) in always.items():
            self.buttons[text].clicked.connect(lambda on, do=do: do())
        self._of_run_buttons = [self.buttons[text] for text in of_run]
        grid, last = QGridLayout(), QGridLayout()
        grid.setSpacing(4)
        last.setSpacing(4)
        for k, text in enumerate(of_run):
            grid.addWidget(self.buttons[text], k // 2, k % 2)
        for k, text in enumerate(always):
            last.addWidget(self.buttons[text], 0, k)
        grid.addLayout(last, len(of_run) // 2, 0, 1, 2)
        return grid

    # The runs --------------------------------------------------------------------------------------------

    def _offer(self, layers: list[Layer]) -> None:
        """Follow the viewer's layers: one may bring its result with it, or be an image of a pair."""
        find_runs(self._state, self._viewer)
        self._refresh()

    def _refresh(self, event: Any = None) -> None:
        """Show the runs, and what is there of the selected one."""
        runs = self._state.runs
        self.table.blockSignals(True)
        if self.table.runs != runs:
            self.table.show_runs(runs)
        current = self._state.current
        if current is not self._current or (self.run is None and runs):
            self._current = current
            if runs:
                self.table.select(current or runs[-1])
        self.table.blockSignals(False)
        run = self.run
        for button in self._of_run_buttons:
            button.setEnabled(run is not None)
        for text in ("Show", "Run again…", "Copy as Python", "Copy command"):
            self.buttons[text].setEnabled(run is not None and run.chosen is not None)
        self.buttons["Undo"].setEnabled(self._state.current is not None)
        self.buttons["Redo"].setEnabled(bool(self._state.undone))
        self._describe(run)

    def _describe(self, run: Run | None) -> None:
        """The verdict of a run, its layers and their colours."""
        if run is None:
            self.sentence.say(NONE_YET, "quiet")
        else:
            verdict = run.result.verdict
            more = "" if run.chosen is not None else " " + NO_PAIR.format(*map(repr, run.result.names))
            self.sentence.say(verdict.sentence + more, verdict.outcome)
        there = run is not None and run.chosen is not None
        self.show_box.setEnabled(there)
        if run is not None:
            shown = [kind for kind in KINDS if self._layers.shows(run, kind)]
            self.show_box.choose(self.show_box.show_choice.only(shown))
            self.show_box.offer([kind for kind in KINDS if kind != "extras" or run.result.extras])
            self.bars.show_layers(self._layers.there(run))
        else:
            self.bars.show_layers([])
        self._measure()

    def _measure(self) -> None:
        """Show the histograms of the selected run."""
        result = None if self.run is None else self.run.result
        self.histograms.show_result(result, self.show_box.affine.isChecked())

    def _toggle(self, kind: str, on: bool) -> None:
        self.said.hide()
        if self.run is not None:
            self._layers.show(self.run, kind, on, self.show_box.show_choice)

    def _making(self, kind: str, stage: str) -> None:
        """Tell that a layer takes a while, or no longer."""
        if not kind:
            self.said.hide()
            return
        self._say(f"Making the {TEXTS[kind][0]} ({stage}). Uncheck it to stop.")

    def _of_run(self, act: Any) -> None:
        """Do something with the selected run."""
        self.said.hide()
        if self.run is not None:
            act(self.run)

    def _repeat(self, run: Run) -> None:
        repeat_in_register(self._viewer, run)

    def _keep_earlier(self, on: bool) -> None:
        self._state.keep_earlier = on

    def _say(self, text: str) -> None:
        self.said.say(text, "quiet")

    def _fail(self, error: Exception) -> None:
        self.said.say(str(error).split("\n")[0], "failed")

    # Opening and closing -----------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Follow the viewer's layers."""
        self._layers.hold(id(self))
        self._watch.start()

    def _detach(self) -> None:
        """Stop following them."""
        self._watch.stop()
        self.same_place.setChecked(False)
        self._gone()

    def _gone(self) -> None:
        """Stop what is under way; uses nothing of Qt."""
        self._watch.stop()
        self._layers.release(id(self))
        self._actions.stop()
        self.histograms.stop()
