"""The Register panel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Layer
from qtpy.QtCore import QTimer, Signal

from ...core import process
from ...core.params import Params
from ...core.progress import Cancelled, Progress
from ...methods import METHODS, landmarks
from ...methods.by_hand import ByHand
from ...registration.compare import Row
from ...registration.result import Result
from ..background import child_process
from ..background.activity import Activity
from ..background.worker import Runner
from ..by_hand.pose import HandPose
from ..cursor.follower import follow_cursor
from ..layers.canvas_drops import CanvasDrops
from ..layers.guess import common_ndim
from ..layers.layer_events import LayerWatch
from ..layers.placement import LayerData, pair_name
from ..session.actions import RunActions
from ..session.chosen import Chosen, Fitted
from ..session.run_layers import add_made, run_layers
from ..session.show_box import ShowBox
from ..session.state import Run, session_state
from ..shortcuts import bind_shortcuts
from ..widgets.dock_panel import Docked
from ..widgets.fold import Fold
from ..widgets.method_box import MethodBox
from .after_run import AfterRun
from .checks import chosen_in, reason_against, reason_against_pair
from .choices import Choices
from .compare_table import CompareTable
from .file_opener import FileOpener
from .initial_box import BY_HAND, InitialBox
from .job import CompareJob, Job, What, warm_up
from .outcome import OutcomeView
from .pair_box import NOTHING, PairBox
from .pixels_box import PixelsBox
from .run_bar import RunBar


class RegisterWidget(Docked):
    """Choose two images, press Register, see the outcome.

    Parameters
    ----------
    viewer : napari.Viewer
        Its layers are offered, and it gets the result layers.

    Attributes
    ----------
    pair, method, initial, pixels, show_box : PairBox, MethodBox, InitialBox, PixelsBox, ShowBox
        The choices, which a program sets with their ``choose`` (the pair with that of its boxes; the methods
        to compare with that of ``bar.compare``).
    result : Result or None
        Of the last run.

    Signals
    -------
    finished(result)
        A run has ended and its layers are added.
    compared(rows)
        A comparison has ended and its table is complete.
    failed(sentence)
        A run has ended with an error, which the panel shows.
    """

    title = "Register"
    finished = Signal(object)
    compared = Signal(object)
    failed = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.result: Result | None = None
        self._state = session_state(viewer)
        self._runner = Runner()
        self._layers = run_layers(viewer)
        self._actions = RunActions(viewer, self._state, self._layers, self)
        self._number = 0
        self._chosen: Chosen | None = None
        self._run: Run | None = None  # whose layers are being added
        self._reported: Run | None = None  # whose verdict is shown
        self._table_of = self._judged = NOTHING
        self._watch = LayerWatch(viewer, self._offer)
        self._pending: list[LayerData] = []
        self._adder = QTimer(self)
        self._adder.setSingleShot(True)
        self._adder.timeout.connect(self._add_next)
        bind_shortcuts()
        self._build()
        self._restore()
        self._attach()
        follow_cursor(viewer)
        self.method.method_box.currentIndexChanged.connect(self._load_ahead)
        self._load_ahead()
        # The worker may outlive the panel, and a panel may go without closing.
        self.destroyed.connect(lambda: self._gone())
        threading.Thread(target=warm_up, name="napari-voxreg-warm", daemon=True).start()

    # What a program calls -------------------------------------------------------------------------------

    def run(self) -> None:
        """Register the chosen pair, as a click on the button does; `finished` or `failed` follows."""
        if not self.busy:
            box = self.method
            self._start(lambda: (box.method, box.params(), box.device), self.reason(), "Registering…")

    def compare(self) -> None:
        """Run the checked methods on the chosen pair; `compared` or `failed` follows."""
        if not self.busy:
            methods = self.bar.compare.methods
            nothing = "" if methods else "Check the methods to compare: the arrow of the button lists them."

            def job(chosen: Chosen) -> CompareJob:
                self._table_of = self.pair.references
                title = pair_name(chosen.moving.name, chosen.fixed.name)
                return CompareJob(chosen, methods, self.method.device, self.table.begin(title))

            reason = reason_against_pair(self.pair, self.initial) or nothing
            self._begin(job, reason, "Comparing…", self._compare_done)

    def keep_pose(self) -> None:
        """Make the pose by hand a result, as a click on its button does; `finished` or `failed` follows."""
        if not self.busy:
            self._keep(BY_HAND, ByHand())

    def keep_fit(self, fitted: Fitted, params: landmarks.LandmarkFit, pair: tuple[Layer, Layer]) -> bool:
        """Make a transform fitted to landmarks of a pair a result, as `keep_pose`; False while busy."""
        if self.busy:
            return False
        self._choices.take_pair(pair)
        self._keep(landmarks.METHOD.name, params, fitted)
        return True

    def _keep(self, method: str, params: Params, fitted: Fitted | None = None) -> None:
        """Make the initial transform, or a fitted one, a result of a method that takes it as it is."""
        reason = reason_against_pair(self.pair, self.initial)
        self._start(lambda: (method, params, "auto"), reason, "Measuring…", fitted)

    def _start(self, what: What, reason: str, doing: str, fitted: Fitted | None = None) -> None:
        """Run a method with its parameters on a device; `finished` or `failed` follows."""
        self._table_of = NOTHING

        def job(chosen: Chosen) -> Job:
            self._number = self._state.next_number()
            return Job(chosen, *what(), self.show_box.show_choice, self._number)

        self._begin(job, reason, doing, self._done, fitted)

    def cancel(self) -> None:
        """Stop the run; the panel is idle at once, and a late result of the worker is dropped."""
        if self.busy:
            self._runner.cancel()
            self._pending = []
            self.table.end()
            self._fail(Cancelled())

    def use_weights(self, method: str, weights: Path) -> None:
        """Choose a method with weights, and show its parameters."""
        self.method.choose(method, weights=weights)
        self.method.fold.open = True

    def use_initial(self, fitted: Fitted, pair: tuple[Layer, Layer]) -> None:
        """Choose a pair, and a transform that was fitted to it as its initial one."""
        self._choices.take_pair(pair)
        self.initial.choose_fit(fitted)
        self.initial_fold.open = True

    def use_landmarks(self, points: tuple[Layer, Layer], pair: tuple[Layer, Layer]) -> None:
        """Choose a pair and its landmarks."""
        self._choices.take_pair(pair)
        self.initial.choose_points(points)
        self.initial_fold.open = True

    def repeat(self, run: Run) -> None:
        """Choose what an earlier run was made from; nothing is run."""
        missing = self._choices.repeat(run, self._viewer, self._state.results)
        if missing:
            self.outcome.show_message(missing)

    def reason(self) -> str:
        """Why nothing can be registered now; empty if it can."""
        return reason_against(self.pair, self.method, self.initial)

    @property
    def busy(self) -> bool:
        """Whether a run is in progress."""
        return self.bar.running

    # Layout ---------------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Lay out the panel inside a scroll area."""
        self.pair = PairBox()
        self.pixels = PixelsBox()
        self.method = MethodBox()
        self.pose = HandPose(self._viewer, self)
        self.initial = InitialBox(self.pose, self._viewer)
        self.show_box = ShowBox()
        self.bar = RunBar()
        self._activity = Activity(self, self.bar.bar, self.cancel)
        self.table = CompareTable()
        self.after = AfterRun(self._viewer, self._state, self._layers, self._actions)
        self.outcome = OutcomeView(self.after)
        self.initial_fold = Fold("Initial transform", self.initial, "Where a run starts, and landmarks")
        show = Fold("Show", self.show_box, "Which layers of the result are there")
        above = (self.pair, self.pixels, self.method, self.initial_fold, show)
        self._fill(*above, self.bar, self.table, self.outcome)
        self._choices = Choices(
            self.pair, self.pixels, self.method, self.initial, self.show_box, self.bar.compare
        )
        self.pair.changed.connect(self._refresh)
        self._files = FileOpener(
            self._viewer, self.outcome.show_message, self.outcome.show_error, self.outcome.note
        )
        self.pair.dropped.connect(self._files.open)
        CanvasDrops(self, lambda paths: self._files.open(None, paths))
        self.method.changed.connect(self._refresh)
        self.initial.changed.connect(self._refresh)
        self.initial.by_hand.kept.connect(self.keep_pose)
        self.pose.seen_changed.connect(self._look_at_pose)
        self.bar.pressed.connect(self.run)
        self.bar.compare_pressed.connect(self.compare)
        self.bar.cancelled.connect(self.cancel)
        self.table.arrived.connect(self._row_arrived)
        self.table.show_requested.connect(self._show_row)
        self.show_box.toggled.connect(self._toggle)
        self._state.changed.connect(self._follow)
        self._layers.failed.connect(self.outcome.show_error)
        self._layers.toggled.connect(self._shown)
        self._actions.said.connect(self.outcome.say_done)
        self._actions.failed.connect(self.outcome.show_error)

    # The viewer's layers --------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Follow the viewer's layers."""
        child_process.hold(id(self))
        self._layers.hold(id(self))
        self._watch.start()

    def _load_ahead(self) -> None:
        """Have the child process load what the chosen method needs, so that the first run starts quickly."""
        process.warm(*METHODS[self.method.method].loads)

    def _detach(self) -> None:
        """Disconnect from the viewer, stop the run and keep the choices."""
        if self._watch.on:
            self.cancel()
            self.pose.end()
            self._state.choices = self._choices.kept()
            self._watch.stop()
            self._layers.release(id(self))
            self.after.look.clear()

    def _offer(self, layers: list[Layer]) -> None:
        """Offer the viewer's layers in all boxes."""
        self.pair.offer(layers)
        self.initial.offer(layers)
        self._refresh()

    def _refresh(self) -> None:
        """Update what depends on the choices."""
        self.initial.set_pair(self.pair.fixed.layer, self.pair.moving.layer)
        against = reason_against_pair(self.pair, self.initial)
        self.bar.set_reason(self.reason(), against)
        if not against:
            self.bar.compare.offer(common_ndim(self.pair.fixed.layer, self.pair.moving.layer))
        self.initial_fold.setText(f"Initial transform: {self.initial.title}")
        self.pixels.offer(self.pair.fixed.layer, self.pair.moving.layer)
        # A verdict and a table belong to their pair.
        pair = self.pair.references
        self.outcome.set_current(self._judged == pair)
        self.table.set_current(self._table_of == pair != NOTHING)

    # A run ----------------------------------------------------------------------------------------------

    def _begin(
        self,
        make: Callable[[Chosen], Callable[..., Any]],
        reason: str,
        doing: str,
        done: Callable[[Any], None],
        fitted: Fitted | None = None,
    ) -> None:
        """Start the job made from the current choices, or show why it cannot start."""
        self.result = self._reported = None
        self.outcome.begin()
        self._judged = self.pair.references
        try:
            if reason:
                raise ValueError(reason)
            self._chosen = chosen_in(self._viewer, self.pair, self.pixels, self.initial, fitted)
            job = make(self._chosen)
        except ValueError as error:
            self._fail(error)
            return
        self._work(job, doing, done)

    def _work(self, job: Callable[..., Any], doing: str, done: Callable[[Any], None]) -> None:
        """Run a job in the background, with its progress in the bar."""
        self.bar.set_running(True, doing)
        self._activity.begin(doing)
        self.table.set_busy(True)
        show, log = self.bar.show_report, self.outcome.note
        self._runner.start(job, report=show, done=done, failed=self._fail, warned=log, logged=log)

    def _done(self, found: tuple[Result, list[LayerData]]) -> None:
        """Add the layers, then show the verdict."""
        self.pose.end()  # the result counts from the layer's own place
        result, self._pending = found
        known = [run for run in self._state.runs if run.result is result]
        run = known[0] if known else Run(self._number, result, self._chosen, *self._judged)
        if known:
            self._layers.remove(run)
        else:
            self._state.keep(run)
            self._number = 0
        self.result, self._run = result, run
        self._add_next()

    def _add_next(self) -> None:
        """Add one layer at a time, since each blocks napari for a moment."""
        if not self.busy or self.result is None or self._run is None:
            return  # cancelled in between
        if self._pending:
            add_made(self._viewer.layers, self._pending.pop(0))
            self._adder.start()
            return
        self._idle()
        self._activity.end(self.result.verdict.sentence)
        self.bar.show_trace(self.result.trace)
        self._actions.settle(self._run)
        self.finished.emit(self.result)

    def _follow(self) -> None:
        """Show the current result, which may be another one after an undo."""
        self.initial.offer_results(self._state.results)
        run = self._state.current
        if run is not self._reported and not self.busy:
            self.pose.end()
            self._reported = run
            self.result = None if run is None else run.result
            self._judged = NOTHING if run is None else (run.fixed, run.moving)
            if run is None:
                self.outcome.begin()
            else:
                self.outcome.show_result(run.result)
            self.bar.show_trace(() if run is None else run.result.trace)
            self._refresh()
        self.after.follow()

    def _look_at_pose(self) -> None:
        """Either the pose by hand or the result is looked at."""
        self.after.paused = self.pose.seen
        self.after.follow()

    def _toggle(self, kind: str, on: bool) -> None:
        """Show or hide a layer of the last result."""
        if self._state.current is not None and not self.busy:
            self._layers.show(self._state.current, kind, on, self.show_box.show_choice)

    def _shown(self, number: int, kind: str, on: bool) -> None:
        """Follow which maps of the last result are seen."""
        run = self._state.current
        if run is not None and run.number == number:
            self.show_box.follow_map(kind, on)

    def _row_arrived(self, row: Row) -> None:
        """A compared method has finished: its result is one of the session."""
        if row.result is not None:
            number = self._state.next_number()
            self._state.keep(Run(number, row.result, self._chosen, *self._table_of))

    def _compare_done(self, nothing: None) -> None:
        self._idle()
        self._activity.end("The methods are compared.")
        self.table.show_best()
        self.compared.emit(tuple(self.table.rows))

    def _show_row(self, result: Result) -> None:
        """Make the layers of a compared method."""
        run = next((run for run in self._state.runs if run.result is result), None)
        if run is not None and run.chosen is not None and not self.busy:
            layers, number, show = run.chosen.layers, run.number, self.show_box.show_choice
            self._judged, self._reported = self._table_of, None
            self.outcome.begin()

            def job(progress: Progress) -> tuple[Result, list[LayerData]]:
                return result, layers(result, show, number, progress)

            self._work(job, "Making layers…", self._done)

    def _fail(self, error: Exception) -> None:
        """Stop and show why."""
        self._idle()
        self._activity.fail(error)
        self._state.release(self._number)
        self._number = 0
        if isinstance(error, Cancelled):
            return self.outcome.show_message("Cancelled.")
        self.outcome.show_error(error)
        self.failed.emit(self.outcome.sentence.text())

    def _idle(self) -> None:
        self.bar.set_running(False)
        self.table.set_busy(False)
        self._refresh()

    # Opening and closing -----------------------------------------------------------------------------------

    def _restore(self) -> None:
        """Restore the choices of the previous panel."""
        self.after.follow()
        self.initial.offer_results(self._state.results)
        if self._state.choices:
            layers = list(self._viewer.layers)
            self._offer(layers)
            self._choices.restore(self._state.choices, layers)

    def enterEvent(self, event: Any) -> None:
        """Update what may have changed without an event."""
        super().enterEvent(event)
        self._refresh()

    def _gone(self) -> None:
        """Stop all runs and, after the last panel, the child process; uses nothing of Qt."""
        self._watch.stop()
        self._files.stop()
        self._runner.cancel()
        self._layers.release(id(self))
        self._actions.stop()
        child_process.release(id(self))
