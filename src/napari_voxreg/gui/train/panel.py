"""The Train panel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari.viewer
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
)

from ...core import process
from ..background import child_process
from ..background.activity import Activity
from ..background.preload import load_ahead
from ..background.worker import Runner
from ..doors import evaluate_weights, use_in_register
from ..widgets.close_guard import CloseGuard
from ..widgets.combo_box import heading
from ..widgets.dock_panel import Docked
from ..widgets.fold import Fold
from ..widgets.sentence import Sentence
from ..widgets.source_box import PathLine
from ..widgets.weights import remember
from .bar import TrainBar
from .clusters_queue import ClusterQueue
from .example_layers import ExampleLayers, ExampleView, preview_layers
from .history import HistoryBox
from .job import KnownRun, Weights, in_short, new_folder, pairs_of, previewed
from .options_form import OptionsForm
from .runner import TrainRunner
from .runs_box import RunsBox
from .source import TrainSource

if TYPE_CHECKING:
    from ...train.events import Ended, EpochDone, Stepped

NOTES = 20  # sentences kept on the screen
FIRST = 8  # pairs, of which the preview shows the first readable one
QUESTION = "A training is running. Close the viewer, save and stop it? It can be resumed later."


class TrainWidget(Docked):
    """Choose pairs and options, press Start, watch the losses and the example pair, use the weights.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layers of the example pair.

    Attributes
    ----------
    source, options, folder, runs : TrainSource, OptionsForm, PathLine, RunsBox
        The choices, which a program sets with their ``choose``.
    bar, history, outcome : TrainBar, HistoryBox, Sentence
        What is shown.
    runner : TrainRunner
        The training; pauses, resumes and stops.

    Signals
    -------
    finished(ended)
        A training has ended, by itself or by Stop; with a `train.events.Ended`.
    previewed()
        The preview is ready.
    failed(sentence)
        Something has ended with an error, which the panel shows.
    """

    title = "Train"
    finished = Signal(object)
    previewed = Signal()
    failed = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._previewer, self._loader = Runner(), Runner()
        load_ahead(self._loader)
        self._seed = 0
        self._example, self._preview = ExampleView(viewer), ExampleView(viewer)
        self._adder = QTimer(self)
        self._adder.timeout.connect(self._add)
        self.runner = TrainRunner(self)
        self._guard = CloseGuard(self, lambda: self.runner.busy, QUESTION)
        self._build()
        self.queue = ClusterQueue(self.source, lambda: self.busy, self.run)
        self._connect()
        self._refresh()
        self.runs.refresh(self._root())
        child_process.hold(id(self))
        # A panel may go without closing.
        self.destroyed.connect(lambda: self._gone())

    # What a program calls -------------------------------------------------------------------------------

    def run(self) -> None:
        """Start training, as a click on the button does; `finished` or `failed` follows."""
        if self.busy:
            return
        try:
            pairs, options = self._chosen()
        except ValueError as error:
            self._complain(str(error))
            return
        remember(self._root())
        folder = new_folder(self._root(), self.source.name(), options)
        self.runner.start(pairs, options, folder)
        self._begun(folder)

    def resume(self, folder: Path, **changes: Any) -> None:
        """Resume an earlier run; `changes` as `train.run.resume` takes them."""
        if not self.busy:
            self.runner.resume(folder, **changes)
            self._begun(folder)

    def preview(self) -> None:
        """Show a pair plain and augmented, each time with another seed; `previewed` or `failed` follows."""
        try:
            found, options = self._chosen()
        except ValueError as error:
            self._complain(str(error))
            return
        pairs, seed = found.training[:FIRST], self._seed
        self._seed += 1
        self._previewer.start(
            lambda progress: preview_layers(
                *process.call(previewed, options, pairs, seed, progress=progress)
            ),
            report=lambda report: None,
            done=self._show_preview,
            failed=self._preview_failed,
            warned=lambda text: None,
        )
        self._refresh()

    def use(self, weights: Weights) -> None:
        """Choose weights in the Register panel, which is opened if needed."""
        use_in_register(self._viewer, weights.method, weights.file)

    def evaluate(self, weights: Weights) -> None:
        """Choose weights and the validation pairs of their run in the Evaluate panel."""
        evaluate_weights(self._viewer, weights.method, weights.file, pairs_of(weights.file.parent))

    def reason(self) -> str:
        """Why nothing can be trained now; empty if it can."""
        return self.source.reason()

    @property
    def busy(self) -> bool:
        """Whether a training is running."""
        return self.runner.busy

    # Layout ---------------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Lay out the panel inside a scroll area."""
        self.source = TrainSource(self._viewer)
        self.options = OptionsForm()
        self.options_fold = Fold("Options", self.options, "Network, loss and training settings")
        self.options_fold.open = True
        self.folder = PathLine("Folder of the runs", "~/napari-voxreg/runs")
        self.bar = TrainBar()
        self._activity = Activity(self, self.bar.bar, self._stop)
        self.outcome = Sentence()
        self.use_button = QPushButton("Use in Register")
        self.use_button.setToolTip("Choose the new weights in the Register panel")
        self.evaluate_button = QPushButton("Evaluate these weights")
        self.evaluate_button.setToolTip(
            "Choose the new weights and the validation pairs in the Evaluate panel"
        )
        self.history = HistoryBox()
        self.notes = QLabel()
        self.notes.setWordWrap(True)
        self.notes.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.runs = RunsBox()
        self.runs_fold = Fold("Earlier runs", self.runs, "Show their curves, resume one, or use its weights")
        keep = QFormLayout()
        keep.setContentsMargins(0, 0, 0, 0)
        keep.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        tip = "Each run gets its own folder in this one"
        keep.addRow(heading("Save in", self.folder, tip), self.folder)
        uses = (self.use_button, self.evaluate_button)
        shown = (self.bar, self.outcome, *uses, self.history, self.notes, self.runs_fold)
        self._fill(self.source, self.options_fold, keep, *shown)
        for widget in (self.outcome, *uses, self.notes):
            widget.hide()

    def _connect(self) -> None:
        self.source.changed.connect(self._refresh)
        self.folder.changed.connect(self._other_root)
        self.bar.start_pressed.connect(self.run)
        self.bar.preview_pressed.connect(self.preview)
        self.bar.pause_pressed.connect(self.runner.pause)
        self.bar.resume_pressed.connect(self.runner.unpause)
        self.bar.stop_pressed.connect(self._stop)
        self.use_button.clicked.connect(self._use_new)
        self.evaluate_button.clicked.connect(self._evaluate_new)
        self.history.saved.connect(self._note)
        self.history.failed.connect(self._complain)
        self.runs.picked.connect(self._show_run)
        self.runs.resume_pressed.connect(self._resume)
        self.runs.use_pressed.connect(self._use_earlier)
        self.runner.preparing.connect(self._preparing)
        self.runner.history.connect(self._show_rows)
        self.runner.stepped.connect(self._stepped)
        self.runner.epoch_done.connect(self._epoch_done)
        self.runner.example_ready.connect(self._show_example)
        self.runner.paused.connect(self.bar.show_paused)
        self.runner.said.connect(self._note)
        self.runner.ended.connect(self._ended)
        self.runner.failed.connect(self._broken)
        self.finished.connect(self.queue.go_on)
        self.failed.connect(self.queue.give_up)

    def _root(self) -> Path:
        """Where the runs are kept."""
        from ...train.runs import default_root

        return self.folder.path or default_root()

    def _other_root(self) -> None:
        remember(self._root())
        self.runs.refresh(self._root())

    def _chosen(self) -> tuple[Any, Any]:
        """The pairs and the options; a `ValueError` says why they cannot be used."""
        if (reason := self.reason()) or self.source.pairs is None:
            raise ValueError(reason)
        return self.source.pairs, self.options.options()

    def _refresh(self) -> None:
        """Update what depends on the choices."""
        self.bar.set_reason(self.reason(), self.busy, self._previewer.busy)

    # A training -----------------------------------------------------------------------------------------

    def _begun(self, folder: Path) -> None:
        """Prepare the panel for a training."""
        self._preview.hide()
        self._example.begin()
        self.notes.clear()
        self.notes.hide()
        self.outcome.say("", "quiet")
        self.use_button.hide()
        self.evaluate_button.hide()
        self.options_fold.open = False
        self.runs.set_running(folder)
        self.history.show_run(folder, ())
        self.bar.set_running(True, "Starting…")
        self._activity.begin("Training…")
        self._refresh()

    def _stop(self) -> None:
        self.runner.stop()
        self.bar.show_stopping()

    @property
    def _live(self) -> bool:
        """Whether the curves shown are those of the running training."""
        return self.history.folder == self.runner.folder

    def _show_rows(self, rows: Any) -> None:
        if self._live:
            self.history.curves.set_rows(rows)

    def _preparing(self, text: str) -> None:
        if not self.runner.stopping:
            self.bar.say(f"{text[:1].upper()}{text[1:]}…")

    def _stepped(self, event: Stepped) -> None:
        if not self.runner.stopping:
            self.bar.show_step(event)
        if self._live:
            self.history.curves.add_step(event.step, event.losses)

    def _epoch_done(self, event: EpochDone) -> None:
        if self._live:
            self.history.curves.add_row(event.row)

    def _show_example(self, layers: ExampleLayers) -> None:
        self._example.show(layers)
        self._adder.start()

    def _add(self) -> None:
        """Update one layer at each tick of the timer."""
        if not (self._example.step() or self._preview.step()):
            self._adder.stop()

    def _ended(self, event: Ended) -> None:
        sentence, tone = in_short(event, self.runner.rows)
        self._idle(sentence)
        assert self.runner.folder is not None  # there was a run
        self.history.show_run(self.runner.folder, self.runner.rows)
        self.outcome.say(sentence, tone)
        for button in (self.use_button, self.evaluate_button):
            button.setVisible(self.runner.weights is not None)
        self.finished.emit(event)

    def _broken(self, text: str, details: str) -> None:
        if self.runner.stopping:
            text = "Stopped at once; Resume continues from the last save."
        self._idle(text)
        self._complain(text, details)

    def _idle(self, sentence: str) -> None:
        """End a training; the sentence is for a user who looks elsewhere."""
        self.bar.set_running(False)
        self._activity.end(sentence)
        self.runs.set_running(None)
        self.runs.refresh(self._root())
        self._refresh()

    def _complain(self, sentence: str, details: str = "") -> None:
        self.outcome.say(sentence.split("\n")[0], "failed")
        self.outcome.setToolTip(details)
        self.failed.emit(self.outcome.text())

    def _note(self, text: str) -> None:
        lines = [*filter(None, self.notes.text().split("\n")), text]
        self.notes.setText("\n".join(lines[-NOTES:]))
        self.notes.show()

    # Preview, earlier runs, weights -----------------------------------------------------------------------

    def _show_preview(self, layers: ExampleLayers) -> None:
        self._refresh()
        self._example.hide()
        self._preview.begin()
        self._preview.show(layers)
        self._adder.start()
        self.previewed.emit()

    def _preview_failed(self, error: Exception) -> None:
        self._refresh()
        self._complain(str(error))

    def _show_run(self, run: KnownRun) -> None:
        self.history.show_run(run.info.folder, run.info.history)

    def _resume(self, run: KnownRun, epochs: int) -> None:
        done = run.info.history[-1].epoch if run.info.history else 0
        if done >= epochs:
            self._complain(f"{run.info.folder.name} has done {done} epochs; choose more to resume it.")
        else:
            self.resume(run.info.folder, epochs=epochs)

    def _use_new(self) -> None:
        if self.runner.weights is not None:
            self.use(self.runner.weights)

    def _evaluate_new(self) -> None:
        if self.runner.weights is not None:
            self.evaluate(self.runner.weights)

    def _use_earlier(self, run: KnownRun) -> None:
        if run.info.best is not None and run.method is not None:
            self.use(Weights(run.info.best, run.method))

    # Opening and closing -----------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Keep the child process, and guard the closing of the window."""
        child_process.hold(id(self))
        self._guard.attach()

    def _detach(self) -> None:
        """Save and stop the training."""
        self.runner.leave()
        self._activity.end()

    def _gone(self) -> None:
        """Stop all work and, after the last panel, the child process; uses nothing of Qt."""
        self.runner.leave()
        self._previewer.cancel()
        self._loader.cancel()
        self.source.stop()
        self.history.stop()
        self.runs.stop()
        child_process.release(id(self))
