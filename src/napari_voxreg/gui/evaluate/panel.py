"""The Evaluate panel."""

from __future__ import annotations

import atexit
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import napari.viewer
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from ...core import process
from ...core.disk import scratch_folder
from ...core.process import MethodUnavailable
from ...core.progress import Cancelled
from ...evaluation import Evaluation, Row
from ...methods import METHODS
from ...registration.result import Result
from ..background import child_process
from ..background.activity import Activity
from ..background.worker import Report, Runner
from ..doors import register_files
from ..layers.placement import LayerData
from ..layers.result_layers import result_layers
from ..layers.snapshots import snapshot
from ..widgets.combo_box import heading
from ..widgets.dock_panel import Docked
from ..widgets.folder_dialog import new_folder
from ..widgets.method_box import MethodBox
from ..widgets.sentence import BUTTON, Sentence
from ..widgets.source_box import PathLine, SourceBox
from .before_after import BeforeAfter
from .job import EvaluateJob, files_of, in_short, opened, save, save_fields
from .table import EvaluateTable


class EvaluateWidget(Docked):
    """Choose pairs and a method, press Evaluate, see each pair before and after.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layers of the opened pair.

    Attributes
    ----------
    source, method, folder : SourceBox, MethodBox, PathLine
        The choices, which a program sets with their ``choose``.
    table, plot, summary : EvaluateTable, BeforeAfter, Sentence
        What is shown.

    Signals
    -------
    finished(rows)
        A run has ended.
    opened(row)
        A pair's layers are there.
    failed(sentence)
        Something has ended with an error, which the panel shows.
    """

    title = "Evaluate"
    finished = Signal(object)
    opened = Signal(object)
    failed = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._runner, self._opener, self._saver = Runner(), Runner(), Runner()
        self._scratch: Path | None = None
        self._layers: list[tuple[Layer, str]] = []
        self._build()
        self._refresh()
        child_process.hold(id(self))
        # The worker may outlive the panel, and a panel may go without closing.
        self.destroyed.connect(lambda: self._gone())

    # What a program calls -------------------------------------------------------------------------------

    def run(self) -> None:
        """Evaluate what is chosen, as a click on the button does; `finished` or `failed` follows."""
        if self.busy:
            return
        self.summary.say("", "quiet")
        self.notes.hide()
        try:
            if reason := self.reason():
                raise ValueError(reason)
            params = self.method.params()
        except ValueError as error:
            self._fail(error)
            return
        arrived = self.table.begin()
        self._show_rows()
        job = EvaluateJob(
            self.source.chosen, self.method.method, params, self.method.device, self._folder(), arrived
        )
        self._set_running(True)
        self._activity.begin("Evaluating…")
        self._start(self._runner, job, self._done, self._report)

    def cancel(self) -> None:
        """Stop the run; finished pairs are kept, on the screen and in the folder."""
        if self.busy:
            self._runner.cancel()
            self.table.end()
            self._fail(Cancelled())

    def open(self, row: Row) -> None:
        """Show the layers of a pair in place of those of the previous one; `opened` follows."""
        self.table.select(row)
        self.stage.setText(f"Opening {row.name}…")
        self.stage.show()
        self._start(self._opener, lambda progress: opened(row), partial(self._show_pair, row))

    def register_all(self) -> None:
        """Show the Cohort panel with the images of the chosen pairs; one that all share is its template."""
        files, shared = files_of(self.source.chosen)
        if len(files) < 2:
            self._fail(ValueError("The images of these pairs are no files; write them as files for Cohort."))
            return
        register_files(self._viewer, files, 0 if shared else None)

    def use_weights(self, method: str, weights: Path, pairs: Path) -> None:
        """Choose weights, as they predict without refinement, and the validation pairs of a source."""
        self.method.choose(method, "fast", weights=weights)
        self.source.choose(pairs, side="validation")

    def reason(self) -> str:
        """Why nothing can be evaluated now; empty if it can."""
        return self.source.reason()

    @property
    def busy(self) -> bool:
        """Whether a run is in progress."""
        return not self._running.isHidden()

    # Layout ---------------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Lay out the panel inside a scroll area."""
        self.source = SourceBox()
        self.method = MethodBox()
        self.folder = PathLine("Folder of the table", "not kept after this session")
        self.button = QPushButton("Evaluate")
        self.button.setStyleSheet(BUTTON)
        self.button.setToolTip("Run the method on all chosen pairs")
        self.why = _wrapped()
        self.bar = QProgressBar()
        self.bar.setFormat("%p %")
        self._activity = Activity(self, self.bar, self.cancel)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop at once; finished pairs are kept")
        self.stage = _wrapped()
        self.summary = Sentence()
        self.plot = BeforeAfter()
        self.table = EvaluateTable()
        self.notes = _wrapped()
        self.save_button = QPushButton("Save figures…")
        self.save_button.setToolTip(
            "Save the summary and figures: before and after of every pair, the best and the worst"
        )
        self.fields_button = QPushButton("Save fields…")
        self.fields_button.setToolTip(
            "Save each pair's displacement (.npy, .flo), a flow picture and a list of matches"
        )
        self.cohort_button = QPushButton("Register all in Cohort…")
        self.cohort_button.setToolTip(
            "Bring the images of these pairs onto one template and write them, in the Cohort panel: Evaluate "
            "only measures"
        )
        self._running = QWidget()
        running = QHBoxLayout(self._running)
        running.setContentsMargins(0, 0, 0, 0)
        running.addWidget(self.bar, 1)
        running.addWidget(self.cancel_button)
        keep = QFormLayout()
        keep.setContentsMargins(0, 0, 0, 0)
        keep.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        tip = "Folder for the table and the transforms; pairs already in its table are not run again"
        keep.addRow(heading("Save in", self.folder, tip), self.folder)
        below = QGridLayout()
        below.addWidget(self.save_button, 0, 0)
        below.addWidget(self.fields_button, 0, 1)
        below.addWidget(self.cohort_button, 1, 0, 1, 2)
        shown = (self.button, self.why, self._running, self.stage, self.summary, self.plot, self.table)
        self._fill(self.source, self.method, keep, *shown, below, self.notes)
        for widget in (self._running, self.stage, self.summary, self.plot, self.notes):
            widget.hide()
        for button in (self.save_button, self.fields_button, self.cohort_button):
            button.hide()
        self.source.changed.connect(self._refresh)
        self.method.method_box.currentIndexChanged.connect(self._load_ahead)
        self.button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.cancel)
        self.table.grown.connect(self._show_rows)
        self.table.picked.connect(self.open)
        self.plot.picked.connect(self.open)
        self.save_button.clicked.connect(lambda: self._choose_folder("figures", self.save))
        self.cohort_button.clicked.connect(self.register_all)
        self.fields_button.clicked.connect(lambda: self._choose_folder("fields", self.save_fields))

    def _load_ahead(self) -> None:
        """Have the child process load what the chosen method needs."""
        process.warm(*METHODS[self.method.method].loads)

    def _refresh(self) -> None:
        """Update what depends on the choices."""
        reason = self.reason()
        self.button.setEnabled(not reason and not self.busy)
        self.why.setText(reason)
        self.why.setVisible(bool(reason) and not self.busy)
        self.cohort_button.setVisible(not reason)

    # A run ----------------------------------------------------------------------------------------------

    def _folder(self) -> Path:
        """Where the table goes: the user's folder, or a temporary one of the panel."""
        if self.folder.path is not None:
            return self.folder.path
        if self._scratch is None:
            keeper = ExitStack()
            self._scratch = keeper.enter_context(scratch_folder())
            atexit.register(keeper.close)
        return self._scratch

    def _start(
        self,
        runner: Runner,
        job: Callable[..., object],
        done: Callable[..., None],
        report: Callable[[Report], None] = lambda report: None,
    ) -> None:
        runner.start(job, report=report, done=done, failed=self._fail, warned=lambda text: None)

    def _report(self, report: Report) -> None:
        report.show_in(self.bar)
        self.stage.setText(report.message)

    def _set_running(self, running: bool) -> None:
        self._running.setVisible(running)
        self.stage.setVisible(running)
        self.button.setText("Evaluating…" if running else "Evaluate")
        self.bar.setRange(0, 0)  # indeterminate until a fraction is known
        if running:
            self.stage.clear()
        self._refresh()

    def _show_rows(self) -> None:
        """Update plot and summary."""
        rows = self.table.rows
        self.plot.set_rows(rows)
        for button in (self.save_button, self.fields_button):
            button.setVisible(any(not row.failed for row in rows))
        if rows:
            self.summary.say(*in_short(rows))

    def _done(self, found: Evaluation) -> None:
        self._set_running(False)
        self._activity.end("All pairs are evaluated.")
        self.table.flush()
        self.notes.setText("\n".join(found.notes))
        self.notes.setVisible(bool(found.notes))
        self.finished.emit(found.rows)

    def _fail(self, error: Exception) -> None:
        """Stop and show why."""
        if not self._runner.busy:
            self._set_running(False)
            self._activity.fail(error)
            self.table.flush()
        self.stage.hide()
        self.notes.show()
        if isinstance(error, Cancelled):
            self.notes.setText("Cancelled; the pairs above are finished.")
            return
        plain = isinstance(error, ValueError | MethodUnavailable | OSError)
        sentence = str(error).split("\n")[0] if plain else f"{type(error).__name__}: {error}"
        self.notes.setText(sentence)
        if not plain:
            self.notes.setToolTip("".join(traceback.format_exception(error)))
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.failed.emit(sentence)

    # A pair ---------------------------------------------------------------------------------------------

    def _show_pair(self, row: Row, found: tuple[Result, list[LayerData]]) -> None:
        """Add the images, then make the layers of the result from them."""
        result, data = found
        for layer, name in self._layers:
            if layer in self._viewer.layers and layer.name == name:  # a renamed layer is the user's
                self._viewer.layers.remove(layer)
        self._layers = []
        layers = self._add(data)
        fixed, moving = (
            snapshot(next(layer for layer in layers if layer.metadata.get("voxreg role") == role))
            for role in ("fixed", "moving")
        )
        self._start(
            self._opener,
            lambda progress: result_layers(result, fixed, moving, progress=progress),
            partial(self._show_result, row),
        )

    def _show_result(self, row: Row, data: list[LayerData]) -> None:
        self._add(data)
        self.stage.setVisible(self.busy)
        self.opened.emit(row)

    def _add(self, data: list[LayerData]) -> list[Layer]:
        """Add layers, and remember them until the next pair is opened."""
        layers = [self._viewer.add_layer(Layer.create(*one)) for one in data]
        self._layers += [(layer, layer.name) for layer in layers]
        return layers

    def _choose_folder(self, what: str, save: Callable[[Path], None]) -> None:
        """Save figures or fields into a folder that the user chooses."""
        folder = new_folder(self, f"Save the {what} into a folder", self._folder() / what)
        if folder is not None:
            save(folder)

    def save(self, folder: Path) -> None:
        """Save summary and figures into a folder, in the background."""
        rows = list(self.table.rows)
        self._start(self._saver, lambda progress: save(rows, folder), self._saved)

    def save_fields(self, folder: Path) -> None:
        """Save displacements, flow pictures and matches into a folder, in the background."""
        rows = list(self.table.rows)
        self._start(self._saver, lambda progress: save_fields(rows, folder, progress), self._saved_fields)

    def _saved(self, folder: Path) -> None:
        self.notes.setText(f"Saved summary.md, before-after.png and gallery.png in {folder}.")
        self.notes.show()

    def _saved_fields(self, folder: Path) -> None:
        self.notes.setText(f"Saved the fields of each pair in {folder}.")
        self.notes.show()

    # Opening and closing -----------------------------------------------------------------------------------

    def _detach(self) -> None:
        """Stop the run; finished pairs are in its folder."""
        self.cancel()

    def _gone(self) -> None:
        """Stop all runs and, after the last panel, the child process; uses nothing of Qt."""
        for runner in (self._runner, self._opener, self._saver):
            runner.cancel()
        self.source.stop()
        child_process.release(id(self))


def _wrapped() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
