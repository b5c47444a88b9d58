"""The Register panel."""

from __future__ import annotations

import threading
import time
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QVBoxLayout,
    QWidget,
)

from ...core import process
from ...core.process import MethodUnavailable
from ...core.progress import Cancelled
from ...methods import METHODS
from ...registration.compare import Row
from ...registration.result import Result
from ..background import child_process
from ..background.worker import Report, Runner
from ..layers.canvas_drops import CanvasDrops
from ..layers.layer_events import LayerWatch
from ..layers.result_layers import LayerData, pair_name
from ..widgets.dock_panel import Docked
from ..widgets.fold import Fold
from ..widgets.method_box import MethodBox
from .checks import chosen_in, common_ndim, reason_against, reason_against_pair
from .compare_table import CompareTable
from .file_opener import FileOpener
from .initial_box import StartBox
from .job import Chosen, CompareJob, Job, ShowJob, warm_up
from .outcome import OutcomeView
from .pair_box import PairBox
from .pixels_box import PixelsBox
from .run_bar import RunBar
from .session_state import memory_of
from .show_box import ShowBox


class RegisterWidget(Docked):
    """Choose two images, press Register, see what happened.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are offered and which gets the result layers.

    Attributes
    ----------
    pair, method, start, pixels, show_box : PairBox, MethodBox, StartBox, PixelsBox, ShowBox
        The choices, which a program sets with their ``choose`` (the pair with that of its boxes; the methods
        to compare with that of ``bar.compare``).
    result : Result or None
        Of the last run.

    Signals
    -------
    finished(result)
        A run has ended and its layers are there.
    compared(rows)
        A comparison has ended and its table is there.
    failed(sentence)
        A run has ended with an error, which the panel shows.
    """

    finished = Signal(object)
    compared = Signal(object)
    failed = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.result: Result | None = None
        self._viewer = viewer
        self._memory = memory_of(viewer)
        self._runner, self._saver = Runner(), Runner()
        self._began = 0.0
        self._compared: Chosen | None = None
        self._watch = LayerWatch(viewer, self._offer)
        self._pending: list[LayerData] = []
        self._adder = QTimer(self)
        self._adder.setSingleShot(True)
        self._adder.timeout.connect(self._add_next)
        self._build()
        self._restore()
        self._attach()
        self.method.method_box.currentIndexChanged.connect(self._load_ahead)
        self._load_ahead()
        # The worker may outlive the panel, and a panel may go without closing.
        self.destroyed.connect(lambda: self._gone())
        threading.Thread(target=warm_up, name="napari-voxreg-warm", daemon=True).start()

    # What a program calls -------------------------------------------------------------------------------

    def run(self) -> None:
        """Register what is chosen, as a click on the button does; `finished` or `failed` follows."""
        if not self.busy:

            def job(chosen: Chosen) -> Job:
                method, show = self.method, self.show_box.show_choice
                return Job(chosen, method.method, method.params(), method.device, show)

            self._begin(job, self.reason(), "Registering…", self._done)

    def compare(self) -> None:
        """Run the checked methods on what is chosen; `compared` or `failed` follows."""
        if not self.busy:
            methods = self.bar.compare.methods
            nothing = "" if methods else "Check the methods to compare: the arrow of the button lists them."

            def job(chosen: Chosen) -> CompareJob:
                self._compared = chosen
                title = pair_name(chosen.moving.name, chosen.fixed.name)
                return CompareJob(chosen, methods, self.method.device, self.table.begin(title))

            reason = reason_against_pair(self.pair, self.start) or nothing
            self._begin(job, reason, "Comparing…", self._compare_done)

    def cancel(self) -> None:
        """Stop the run; the panel is idle at once, and the abandoned worker's answer is dropped."""
        if self.busy:
            self._runner.cancel()
            self._pending = []
            self.table.end()
            self._fail(Cancelled())

    def use_weights(self, method: str, weights: Path) -> None:
        """Choose a method with weights, and show its parameters."""
        self.method.choose(method, weights=weights)
        self.method.fold.open = True

    def reason(self) -> str:
        """Why nothing can be registered now; empty if something can."""
        return reason_against(self.pair, self.method, self.start)

    @property
    def busy(self) -> bool:
        """Whether a run is on."""
        return self.bar.running

    # The parts ------------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Lay out the panel inside a scroll area."""
        self.pair = PairBox()
        self.pixels = PixelsBox()
        self.method = MethodBox()
        self.start = StartBox()
        self.show_box = ShowBox()
        self.bar = RunBar()
        self.table = CompareTable()
        self.outcome = OutcomeView()
        self.start_fold = Fold("Start from", self.start, "Where the moving image is at first, and landmarks")
        parts = (
            self.pair,
            self.pixels,
            self.method,
            self.start_fold,
            Fold("Show", self.show_box, "Which layers are made of the result"),
            self.bar,
            self.table,
            self.outcome,
        )
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        for part in parts:
            layout.addWidget(part)
        layout.addStretch()
        self._fill(content)
        self.pair.changed.connect(self._refresh)
        self._files = FileOpener(self._viewer, self._say, self._complain, self._log)
        self.pair.dropped.connect(self._files.open)
        CanvasDrops(self, lambda paths: self._files.open(None, paths))
        self.method.changed.connect(self._refresh)
        self.start.changed.connect(self._refresh)
        self.bar.pressed.connect(self.run)
        self.bar.compare_pressed.connect(self.compare)
        self.bar.cancelled.connect(self.cancel)
        self.table.arrived.connect(self._row_arrived)
        self.table.show_asked.connect(self._show_row)
        self.outcome.save_asked.connect(self._ask_where)

    # The viewer's layers --------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Follow the viewer's layers."""
        child_process.hold(id(self))
        self._watch.start()

    def _load_ahead(self) -> None:
        """Have the child process load what the chosen method needs, so that the first run need not wait."""
        process.warm(*METHODS[self.method.method].loads)

    def _detach(self) -> None:
        """Let go of the viewer, stop the run and remember the choices."""
        if self._watch.on:
            self.cancel()
            self._keep()
            self._watch.stop()

    def _offer(self, layers: list[Layer]) -> None:
        """Offer the viewer's layers in all boxes."""
        self.pair.offer(layers)
        self.start.offer(layers)
        self._refresh()

    def _refresh(self) -> None:
        """Bring what follows from the choices up to date."""
        against = reason_against_pair(self.pair, self.start)
        self.bar.set_reason(self.reason(), against)
        if not against:
            self.bar.compare.offer(common_ndim(self.pair))
        self.start_fold.setText(f"Start from: {self.start.title}")
        self.pixels.offer(self.pair.fixed.layer, self.pair.moving.layer)

    # A run ----------------------------------------------------------------------------------------------

    def _begin(
        self,
        make: Callable[[Chosen], Callable[..., Any]],
        reason: str,
        doing: str,
        done: Callable[[Any], None],
    ) -> None:
        """Start what is made of the present choices, or say what is against it."""
        self.result = None
        self.outcome.begin()
        self._began = time.monotonic()
        try:
            if reason:
                raise ValueError(reason)
            job = make(chosen_in(self._viewer, self.pair, self.pixels, self.start))
        except ValueError as error:
            self._fail(error)
            return
        self.pair.settle()
        self._work(job, doing, done)

    def _work(self, job: Callable[..., Any], doing: str, done: Callable[[Any], None]) -> None:
        """Do a job in the background, with its progress in the bar."""
        self.bar.set_running(True, doing)
        self.table.set_busy(True)
        self._start(self._runner, job, done, self._fail, self.bar.show_report, self._log)

    def _start(
        self,
        runner: Runner,
        job: Callable[..., Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        report: Callable[[Report], None] = lambda report: None,
        logged: Callable[[str], None] = lambda line: None,
    ) -> None:
        runner.start(job, report=report, done=done, failed=failed, warned=self._log, logged=logged)

    def _done(self, answer: tuple[Result, list[LayerData]]) -> None:
        """Add the layers, then show the verdict."""
        self.result, self._pending = answer
        self._memory.keep(self.result)
        self.start.offer_results(self._memory.results)
        self._add_next()

    def _add_next(self) -> None:
        """Add one layer, and the next when the screen has had its turn: each takes napari its time."""
        if not self.busy or self.result is None:
            return  # cancelled in between
        if self._pending:
            self._viewer.add_layer(Layer.create(*self._pending.pop(0)))
            self._adder.start()
            return
        self._idle()
        self.bar.show_trace(self.result.trace)
        self.outcome.show_result(self.result)
        self.finished.emit(self.result)

    def _row_arrived(self, row: Row) -> None:
        """A compared method is done: its result is a start, too."""
        if row.result is not None:
            self._memory.keep(row.result)
            self.start.offer_results(self._memory.results)

    def _compare_done(self, nothing: None) -> None:
        self._idle()
        self.table.show_best()
        self.compared.emit(tuple(self.table.rows))

    def _show_row(self, result: Result) -> None:
        """Make the layers of a compared method."""
        if self._compared is not None and not self.busy:
            self.outcome.begin()
            job = ShowJob(self._compared, result, self.show_box.show_choice)
            self._work(job, "Making layers…", self._done)

    def _fail(self, error: Exception) -> None:
        """Go idle and say why."""
        self._idle()
        if isinstance(error, Cancelled):
            self.outcome.show_message("Cancelled.", "quiet")
            return
        self._complain(error)
        self.failed.emit(self.outcome.sentence.text())

    def _complain(self, error: Exception) -> None:
        """One sentence for what was to be expected; all there is to know of anything else."""
        if isinstance(error, ValueError | MethodUnavailable):
            first, *rest = str(error).split("\n")
            self.outcome.show_message(first, "failed")
            for line in [*rest, *getattr(error, "__notes__", ())]:
                self._log(line)
            return
        self.outcome.show_message(f"{type(error).__name__}: {error}", "failed")
        self._log("".join(traceback.format_exception(error)))
        notification_manager.receive_error(type(error), error, error.__traceback__)

    def _idle(self) -> None:
        self.bar.set_running(False)
        self.table.set_busy(False)
        self._refresh()

    def _say(self, text: str) -> None:
        self.outcome.show_message(text, "quiet")

    def _log(self, line: str) -> None:
        self.outcome.write(f"{time.monotonic() - self._began:6.1f} s  {line}")

    def _ask_where(self) -> None:
        """Save the result into a folder that the user chooses."""
        folder = QFileDialog.getExistingDirectory(self, "Save the result into a folder")
        result = self.result
        if folder and result is not None:
            self._start(
                self._saver,
                lambda progress: result.save(folder),
                lambda path: self.outcome.say_saved(path),
                self._complain,
            )

    # Coming and going -----------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Remember the choices for the next panel of this viewer."""
        boxes = [*self.pair.boxes, *self.start.boxes]
        self._memory.choices = {
            "layers": [None if box.layer is None else weakref.ref(box.layer) for box in boxes],
            "method": self.method.kept(),
            "start": self.start.kept(),
            "channel": self.pixels.channel_box.currentText(),
            "show": self.show_box.show_choice,
            "compare": self.bar.compare.kept(),
        }

    def _restore(self) -> None:
        """Choose what was chosen in the panel before this one."""
        self.start.offer_results(self._memory.results)
        kept = self._memory.choices
        if not kept:
            return
        layers = list(self._viewer.layers)
        self._offer(layers)
        for box, reference in zip([*self.pair.boxes, *self.start.boxes], kept["layers"], strict=True):
            layer = reference() if reference is not None else None
            if layer is None or any(layer is there for there in layers):
                box.choose(layer)
        self.method.restore(kept["method"])
        self.start.restore(kept["start"])
        self.pixels.channel_box.setCurrentText(kept["channel"])
        self.show_box.choose(kept["show"])
        self.bar.compare.restore(kept["compare"])

    def enterEvent(self, event: Any) -> None:
        """Look again at what may have changed unannounced."""
        super().enterEvent(event)
        self._refresh()

    def _gone(self) -> None:
        """Leave no run and, after the last panel, no child process behind; touches nothing of Qt."""
        self._watch.stop()
        self._files.stop()
        for runner in (self._runner, self._saver):
            runner.cancel()
        child_process.release(id(self))
