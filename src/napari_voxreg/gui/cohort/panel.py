"""The Cohort panel."""

from __future__ import annotations

import atexit
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import napari.viewer
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QFormLayout, QLabel, QSizePolicy

from ...cohort.files import write_csv
from ...cohort.group.report import REPORT
from ...core.disk import scratch_folder
from ...core.process import MethodUnavailable
from ...core.progress import Cancelled, Progress
from ..background import child_process
from ..background.activity import Activity
from ..background.worker import Runner
from ..layers.layer_events import LayerWatch
from ..layers.placement import LayerData
from ..look.look import Look
from ..preferences import preferences
from ..session.state import session_state
from ..widgets.close_guard import CloseGuard
from ..widgets.combo_box import heading
from ..widgets.dock_panel import Docked
from ..widgets.sentence import Sentence
from ..widgets.source_box import PathLine
from ..widgets.work_bar import WorkBar
from .cohort_view import CohortView
from .inputs_box import InputsBox
from .job import (
    ROLE,
    CohortDone,
    CohortJob,
    SeriesDone,
    SeriesJob,
    aligned_layer,
    save_series,
)
from .opened import Opened
from .options_box import OptionsBox
from .series_view import SeriesView
from .sources import OneLayer, Source

QUESTION = "A series or a cohort is being registered. Close napari and stop it?"


class CohortWidget(Docked):
    """Aligns the frames of a movie or a stack, or brings many images onto one template.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    inputs, options, folder : InputsBox, OptionsBox, PathLine
        The choices.
    bar, said, notes : WorkBar, Sentence, QLabel
    series, cohort : SeriesView, CohortView
        What a run gave.

    Signals
    -------
    finished(done)
        A run has ended: a `SeriesDone` or a `CohortDone`.
    opened(number)
        An image's layers are there.
    failed(sentence)
        Something has ended with an error, which the panel shows.
    """

    title = "Cohort"
    finished = Signal(object)
    opened = Signal(int)
    failed = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._state = session_state(viewer)
        self._runner, self._opener, self._saver = Runner(), Runner(), Runner()
        self._scratch: Path | None = None
        self._source: Source | None = None
        self._moving: Layer | None = None
        self._watch = LayerWatch(viewer, self._offer)
        self._guard = CloseGuard(self, lambda: self.busy, QUESTION)
        self._build()
        if self._state.cohort:
            self.inputs.restore(self._state.cohort["inputs"])
            self.options.restore(self._state.cohort["options"])
            self.folder.choose(self._state.cohort["folder"])
        self._attach()
        # The worker may outlive the panel, and a panel may go without closing.
        self.destroyed.connect(lambda: self._gone())

    # What a program calls -------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a run is in progress."""
        return self.bar.running

    def reason(self) -> str:
        """Why nothing can be registered now; empty if it can."""
        return self.inputs.reason()

    def run(self) -> None:
        """Register what is chosen, as a click on the button does; `finished` or `failed` follows."""
        if self.busy:
            return
        if reason := self.reason():
            self.failed.emit(reason)  # the bar shows it for as long as it holds
            return
        self._clear()
        try:
            job = self._cohort_job() if self.inputs.cohort else self._series_job()
        except ValueError as error:
            self._fail(error)
            return
        self.bar.set_running(True)
        self._activity.begin("Registering a cohort…" if self.inputs.cohort else "Aligning a series…")
        self._runner.start(
            job,
            report=self.bar.show_report,
            done=self._done,
            failed=self._fail,
            warned=lambda text: None,
        )

    def cancel(self) -> None:
        """Stop the run; the panel is idle at once, and what a folder has is kept."""
        if self.busy:
            self._runner.cancel()
            self._fail(Cancelled())

    def open(self, number: int) -> None:
        """Show an image of the cohort on the template, and `opened` follows; before the end, say so."""
        done = self.cohort.done
        self.cohort.table.choose(number)
        if done is None:
            self._not_yet(number)
            return
        if problem := done.result.members[number].problem:
            self.notes.setText(f"{done.result.members[number].name}: {problem}")
            self.notes.show()
        self._opener.start(
            lambda progress: aligned_layer(done, number),
            report=lambda report: None,
            done=partial(self._show_image, number),
            failed=self._fail,
            warned=lambda text: None,
        )

    def _not_yet(self, number: int) -> None:
        """Say why an image cannot be opened yet."""
        member = self.cohort.table.members.get(number)
        if member is None:
            return
        when = "when the run has ended" if self.busy else "after a run that has ended; run it again"
        self._note([f"{member.name}: {member.problem or f'It can be opened {when}.'}"])

    def use_files(self, files: Sequence[Path], template: int | None = None) -> None:
        """Choose a cohort of these files; one of them may be the template of all."""
        self.inputs.give(files)
        if template is not None:
            self.options.choose_template("image", template)

    # Layout ---------------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Lay out the panel inside a scroll area."""
        self.inputs, self.options = InputsBox(self._viewer), OptionsBox()
        self.folder = PathLine("Folder of the results", "not kept after this session")
        self.bar = WorkBar(
            "Run",
            "Running…",
            "Register all that is chosen",
            "Stop at once; what is registered in the folder is kept, and the next run goes on there",
        )
        self._activity = Activity(self, self.bar.bar, self.cancel)
        self.look = Look(self._viewer, self)
        self.layers = Opened(self._viewer, self.look, self._state)
        self.said, self.notes = Sentence(), _wrapped()
        self.series, self.cohort = SeriesView(), CohortView(self.look)
        keep = QFormLayout()
        keep.setContentsMargins(0, 0, 0, 0)
        keep.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        tip = "Folder for transforms, aligned images, table and report; a run that was stopped goes on there"
        keep.addRow(heading("Save in", self.folder, tip), self.folder)
        shown = (self.bar, self.said, self.series, self.cohort, self.notes)
        self._fill(self.inputs, self.options, keep, *shown)
        for widget in (self.said, self.notes):
            widget.hide()
        self.inputs.changed.connect(self._refresh)
        self.bar.pressed.connect(self.run)
        self.bar.cancelled.connect(self.cancel)
        self.series.frame_picked.connect(self._show_frame)
        self.series.save_asked.connect(self._choose_folder)
        self.cohort.table.picked.connect(self.open)
        self.cohort.look_row.chosen.connect(self._compare)
        self.cohort.csv_asked.connect(self._choose_csv)
        self.cohort.report_asked.connect(self._open_report)
        self._refresh()

    def _refresh(self) -> None:
        """Update what depends on the choices."""
        self.options.set_cohort(self.inputs.cohort)
        self.bar.set_reason(self.reason())

    def _clear(self) -> None:
        """Show nothing of the run before."""
        self.layers.clear()
        self.said.say("", "quiet")
        self.notes.hide()
        self.series.show_done(None)
        self.cohort.clear()

    # A run ----------------------------------------------------------------------------------------------

    def _series_job(self) -> SeriesJob:
        options = self.options
        method = None
        if options.run_method.isChecked():
            method = (options.method.method, options.method.params(), options.method.device)
        self._source = self.inputs.source()
        self._moving = self.inputs.layer.layer if isinstance(self._source, OneLayer) else None
        return SeriesJob(self._source, options.series_options(), method, options.driving, self.folder.path)

    def _cohort_job(self) -> CohortJob:
        options, kept = self.options, self.folder.path
        arrived = self.cohort.table.begin()
        self.cohort.show()
        self._source = self.inputs.source()
        return CohortJob(
            self._source,
            options.cohort_options(),
            options.onto.path,
            options.driving,
            options.where.currentText().strip(),
            preferences().device,
            self._temporary() if kept is None else kept,
            kept is not None,
            options.merge.isChecked(),
            arrived,
        )

    def _temporary(self) -> Path:
        """A folder that goes with this process."""
        if self._scratch is None:
            keeper = ExitStack()
            self._scratch = keeper.enter_context(scratch_folder())
            atexit.register(keeper.close)
        return self._scratch

    def _done(self, done: SeriesDone | CohortDone) -> None:
        self.bar.set_running(False)
        self._activity.end(done.result.sentence)
        self._refresh()
        if isinstance(done, CohortDone):
            self.cohort.show_done(done)
            outcomes = {row.verdict.outcome for row in done.result.members if row.verdict is not None}
            self.said.say(done.result.sentence, "better" if outcomes == {"better"} else "quiet")
            self.layers.add_template(done.layers)
        else:
            self.series.show_done(done)
            self.said.say(done.result.sentence, "quiet")
            for one in done.layers:
                self._viewer.add_layer(Layer.create(*one))
            if self._moving is not None and self._moving in self._viewer.layers:
                self._moving.visible = False  # the aligned one is shown in its place
        self._note(done.result.notes)
        self.finished.emit(done)

    def _note(self, notes: Sequence[str]) -> None:
        self.notes.setText("\n".join(notes))
        self.notes.setToolTip("")
        self.notes.setVisible(bool(notes))

    def _fail(self, error: Exception) -> None:
        """Stop and show why."""
        if not self._runner.busy:
            if self.busy:
                self._note([])
            self.bar.set_running(False)
            self._activity.fail(error)
            self.cohort.table.end()
            self._refresh()
        if isinstance(error, Cancelled):
            kept = "; the folder keeps what is registered" if self.folder.path is not None else ""
            self.said.say(f"Cancelled{kept}.", "quiet")
            return
        plain = isinstance(error, ValueError | MethodUnavailable | OSError)
        sentence = str(error).split("\n")[0] if plain else f"{type(error).__name__}: {error}"
        self.said.say(sentence, "failed")
        if not plain:
            self.said.setToolTip("".join(traceback.format_exception(error)))
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.failed.emit(sentence)

    # Layers ---------------------------------------------------------------------------------------------

    def _show_image(self, number: int, data: list[LayerData]) -> None:
        """Show an image in place of the one before."""
        done = self.cohort.done
        if done is None:
            return
        aligned = done.result.members[number].transform is not None
        self.layers.show(done, data, aligned)
        self.cohort.look_row.setVisible(aligned)
        self.cohort.look_row.choose(self.look.mode)
        self.opened.emit(number)

    def _compare(self, mode: str) -> None:
        """Compare the template and the opened image by eye."""
        self.layers.compare(mode)
        self.cohort.look_row.choose(self.look.mode)

    def _show_frame(self, number: int) -> None:
        """Move the slider to a frame of the aligned layer."""
        done = self.series.done
        if done is None:
            return
        axis = self._source.axis if isinstance(self._source, OneLayer) else 0
        ndim = len(done.layers[0][1]["axis_labels"])
        self._viewer.dims.set_current_step(self._viewer.dims.ndim - ndim + axis, number)

    # Files ----------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Save the motion of the series and its aligned images, in the background."""
        done = self.series.done
        if done is None:
            return

        def write(progress: Progress) -> Path:
            return save_series(done.result, done.frames, folder, progress)

        self._saver.start(
            write,
            report=lambda report: None,
            done=lambda where: self._note([f"Saved the motion and the aligned images in {where}."]),
            failed=self._fail,
            warned=lambda text: None,
        )

    def save_csv(self, path: Path) -> None:
        """Save the table of the cohort."""
        if self.cohort.done is None:
            return
        try:
            write_csv(path, self.cohort.done.result.table())
        except OSError as error:
            self._fail(error)
            return
        self._note([f"Saved the table as {path}."])

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Save the motion into a folder")
        if folder:
            self.save(Path(folder))

    def _choose_csv(self) -> None:
        suggested = str(Path.home() / "cohort.csv")
        name, _ = QFileDialog.getSaveFileName(self, "Save the table", suggested, "CSV (*.csv)")
        if name:
            self.save_csv(Path(name))

    def _open_report(self) -> None:
        if self.cohort.done is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.cohort.done.folder / REPORT)))

    # Opening and closing --------------------------------------------------------------------------------

    def _offer(self, layers: list[Layer]) -> None:
        """Offer the viewer's images, but for those that a cohort made."""
        self.inputs.offer([layer for layer in layers if ROLE not in layer.metadata])

    def _attach(self) -> None:
        """Follow the viewer's layers."""
        child_process.hold(id(self))
        self._guard.attach()
        self._watch.start()

    def _detach(self) -> None:
        """Stop the run and keep the choices."""
        if self._watch.on:
            self.cancel()
            self._state.cohort = {
                "inputs": self.inputs.kept(),
                "options": self.options.kept(),
                "folder": self.folder.line.text(),
            }
            self._watch.stop()
            self.look.clear()

    def _gone(self) -> None:
        """Stop all that is under way; uses nothing of Qt."""
        for runner in (self._runner, self._opener, self._saver):
            runner.cancel()
        self._watch.stop()
        self.inputs.stop()
        child_process.release(id(self))


def _wrapped() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
