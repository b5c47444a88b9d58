"""The Register panel."""

from __future__ import annotations

import threading
import time
import traceback
import weakref
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Layer
from napari.viewer import Viewer
from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QGridLayout,
    QMainWindow,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from .. import isolate
from ..geometry import Array, Grid
from ..method import Cancelled, MethodUnavailable
from ..methods import METHODS
from ..registration import Result
from .drop import LayerBox
from .fold import Fold
from .form import no_wheel
from .job import Job, warm_up
from .layers import mask_snapshot, points_from_layer, snapshot
from .memory import memory_of
from .method_box import MethodBox
from .outcome import OutcomeView
from .pair import PairBox
from .results import LayerData, Show
from .run_bar import RunBar
from .start import StartBox
from .worker import Report, Runner

CHANNELS: dict[str, int | str] = {"luminance": "luminance", "0 (red)": 0, "1 (green)": 1, "2 (blue)": 2}
SHOW = {
    "warped": ("warped image", "The moving image on the fixed grid, all channels"),
    "arrows": ("arrows", "Where each pixel is taken from, coloured by distance"),
    "grid": ("deformation grid", "A regular grid, deformed"),
    "magnitude": ("flow magnitude", "How far each pixel is displaced"),
    "jacobian": ("Jacobian", "How volume changes: red grows, blue shrinks, yellow folds"),
    "ssim": ("SSIM map", "Local structural similarity, with its values before and after"),
}
# napari's layers announce more than this; these decide what can be registered.
WATCHED = ("name", "scale", "translate", "units", "axis_labels", "data")


class RegisterWidget(QWidget):
    """Choose two images, press Register, see what happened.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are offered and which gets the result layers.

    Attributes
    ----------
    pair, method, start : PairBox, MethodBox, StartBox
        The choices, which a program sets with their ``choose``.
    result : Result or None
        Of the last run.

    Signals
    -------
    finished(result)
        A run has ended and its layers are there.
    failed(sentence)
        A run has ended with an error, which the panel shows.
    """

    finished = Signal(object)
    failed = Signal(str)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.result: Result | None = None
        self._viewer = viewer
        self._memory = memory_of(viewer)
        self._runner, self._saver = Runner(), Runner()
        self._readers: dict[LayerBox, Runner] = {}
        self._began = 0.0
        self._stage = ""
        self._watched: list[Layer] = []
        self._attached = False
        self._build()
        self._restore()
        self._attach()
        # The worker may outlive the panel, and a panel may go without closing.
        self.destroyed.connect(partial(_cancel, self._runner))
        application = QCoreApplication.instance()
        assert application is not None  # there is a widget
        application.aboutToQuit.connect(isolate.shutdown)
        threading.Thread(target=warm_up, name="napari-voxreg-warm", daemon=True).start()

    # What a program calls -------------------------------------------------------------------------------

    def run(self) -> None:
        """Register what is chosen, as a click on the button does; `finished` or `failed` follows."""
        if self._runner.busy:
            return
        self.result = None
        self.outcome.begin()
        self._began, self._stage = time.monotonic(), ""
        try:
            job = self._job()
        except ValueError as error:
            self._fail(error)
            return
        self.pair.settle()
        self.bar.set_running(True)
        self._start(self._runner, job, self._done, self._fail, self._report)

    def cancel(self) -> None:
        """Stop the run; the panel is idle at once, and the abandoned worker's answer is dropped."""
        if self._runner.busy:
            self._runner.cancel()
            self._fail(Cancelled())

    def reason(self) -> str:
        """Why nothing can be registered now, in words; empty if something can."""
        fixed, moving = self.pair.fixed.layer, self.pair.moving.layer
        if fixed is None:
            return "Choose a fixed image."
        if moving is None:
            return "Choose a moving image."
        if fixed is moving:
            return "Fixed and moving are the same layer; choose two."
        try:
            grids = [snapshot(layer).grid() for layer in (fixed, moving)]
            first, second = (grid.without(grid.thin_axes()) for grid in grids)
            if first.ndim != second.ndim:
                return (
                    f"Fixed is {first.ndim}D and moving {second.ndim}D; choose two images with as many axes."
                )
            second.in_units(first.units)
            self.method.params()
        except ValueError as error:
            return str(error)
        if first.ndim not in METHODS[self.method.method].ndims:
            return (
                f"{METHODS[self.method.method].title} does not work in {first.ndim}D; choose another method."
            )
        points = [box.layer for box in self.start.boxes]
        if (points[0] is None) != (points[1] is None):
            which = "fixed" if points[0] is None else "moving"
            return f"Choose {which} landmarks too, or none for both."
        if self.start.start == "points" and points[0] is None:
            return "Starting from landmarks needs a Points layer for each image; choose them."
        return ""

    @property
    def show_choice(self) -> Show:
        """Which result layers are wanted."""
        return Show(**{name: box.isChecked() for name, box in self.show_boxes.items()})

    @property
    def busy(self) -> bool:
        """Whether a run is on."""
        return self._runner.busy

    # The parts ------------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Lay out the panel inside a scroll area."""
        self.pair = PairBox()
        self.method = MethodBox()
        self.start = StartBox()
        self.bar = RunBar()
        self.outcome = OutcomeView()
        self.channel = QComboBox()
        self.channel.addItems(list(CHANNELS))
        no_wheel(self.channel)
        self.channel_row = QWidget()
        row = QFormLayout(self.channel_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addRow("Colour that drives", self.channel)
        self.start_fold = Fold("Start from", self.start)
        parts = (
            self.pair,
            self.channel_row,
            self.method,
            self.start_fold,
            Fold("Show", self._show_box()),
            self.bar,
            self.outcome,
        )
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(8)
        for part in parts:
            layout.addWidget(part)
        layout.addStretch()
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setMinimumWidth(300)
        self.pair.changed.connect(self._refresh)
        self.pair.dropped.connect(self._open)
        self.method.changed.connect(self._refresh)
        self.start.changed.connect(self._refresh)
        self.bar.pressed.connect(self.run)
        self.bar.cancelled.connect(self.cancel)
        self.outcome.save_asked.connect(self._ask_where)

    def _show_box(self) -> QWidget:
        """The check boxes for result layers, in two columns."""
        box = QWidget()
        layout = QGridLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        self.show_boxes: dict[str, QCheckBox] = {}
        for k, field in enumerate(fields(Show)):
            title, tip = SHOW[field.name]
            check = self.show_boxes[field.name] = QCheckBox(title)
            check.setToolTip(tip)
            check.setChecked(bool(field.default))
            layout.addWidget(check, k // 2, k % 2)
        return box

    # The viewer's layers --------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Follow the viewer's layers."""
        if self._attached:
            return
        self._attached = True
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._layers_changed)
        self._layers_changed()

    def _detach(self) -> None:
        """Let go of the viewer, stop the run and remember the choices."""
        if not self._attached:
            return
        self._attached = False
        self.cancel()
        self._keep()
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._layers_changed)
        self._watch([])

    def _layers_changed(self, event: Any = None) -> None:
        layers = list(self._viewer.layers)
        self._watch(layers)
        self._offer(layers)

    def _offer(self, layers: list[Layer]) -> None:
        self.pair.offer(layers)
        self.start.offer(layers)
        self._refresh()

    def _watch(self, layers: list[Layer]) -> None:
        """Hear of changed names and transforms of these layers only."""
        for layer in self._watched:
            for name in WATCHED:
                getattr(layer.events, name).disconnect(self._layer_changed)
        self._watched = layers
        for layer in layers:
            for name in WATCHED:
                getattr(layer.events, name).connect(self._layer_changed)

    def _layer_changed(self, event: Any) -> None:
        if event.type == "name":
            self._offer(self._watched)
        else:
            self._refresh()

    def _refresh(self) -> None:
        """Bring what follows from the choices up to date."""
        self.bar.set_reason(self.reason())
        self.start_fold.set_title(f"Start from: {self.start.title}")
        chosen = (self.pair.fixed.layer, self.pair.moving.layer)
        self.channel_row.setVisible(any(isinstance(layer, Image) and layer.rgb for layer in chosen))

    def _open(self, box: LayerBox, paths: list[Path]) -> None:
        """Open dropped files off the main thread and choose the first image among them."""
        from .readers import read_layers

        self.outcome.show_message(f"Opening {', '.join(path.name for path in paths)}…", "quiet")

        def opened(data: list[LayerData]) -> None:
            layers = [self._viewer.add_layer(Layer.create(*one)) for one in data]
            images = [layer for layer in layers if isinstance(layer, Image)]
            if images:
                box.choose(images[0])
            self.outcome.show_message("", "quiet")

        reader = self._readers.setdefault(box, Runner())
        self._start(reader, lambda progress: read_layers(paths), opened, self._complain)

    # A run ----------------------------------------------------------------------------------------------

    def _job(self) -> Job:
        """What is chosen, as the worker gets it."""
        reason = self.reason()
        if reason:
            raise ValueError(reason)
        fixed, moving, *masks = (box.layer for box in self.pair.boxes)
        images = [snapshot(layer, self._viewer) for layer in (fixed, moving)]
        coloured = not self.channel_row.isHidden()
        return Job(
            fixed=images[0],
            moving=images[1],
            fixed_mask=None if masks[0] is None else mask_snapshot(masks[0], self._viewer),
            moving_mask=None if masks[1] is None else mask_snapshot(masks[1], self._viewer),
            points=self._points(images[0].grid(), images[1].grid()),
            method=self.method.method,
            params=self.method.params(),
            start=self.start.start,
            channel=CHANNELS[self.channel.currentText()] if coloured else None,
            show=self.show_choice,
        )

    def _points(self, fixed: Grid, moving: Grid) -> tuple[Array, Array] | None:
        """The landmarks in the world."""
        layers = [box.layer for box in self.start.boxes]
        if layers[0] is None or layers[1] is None:
            return None
        return points_from_layer(layers[0], fixed), points_from_layer(layers[1], moving)

    def _start(
        self,
        runner: Runner,
        job: Callable[..., Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        report: Callable[[Report], None] = lambda report: None,
    ) -> None:
        runner.start(job, report=report, done=done, failed=failed, warned=self._log)

    def _report(self, report: Report) -> None:
        self.bar.show_report(report)
        if report.message != self._stage:
            self._stage = report.message
            self._log(report.message)

    def _done(self, answer: tuple[Result, list[LayerData]]) -> None:
        """Add the layers and show the verdict."""
        self.result, layers = answer
        self._memory.keep(self.result)
        self.start.offer_results(self._memory.results)
        for data in layers:
            self._viewer.add_layer(Layer.create(*data))
        self._idle()
        self.outcome.show_result(self.result)
        self.finished.emit(self.result)

    def _fail(self, error: Exception) -> None:
        """Go idle and say why."""
        self._idle()
        if isinstance(error, Cancelled):
            self.outcome.show_message("Cancelled; nothing was changed.", "quiet")
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
        from napari.utils.notifications import notification_manager

        notification_manager.receive_error(type(error), error, error.__traceback__)

    def _idle(self) -> None:
        self.bar.set_running(False)
        self._refresh()

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
            "channel": self.channel.currentText(),
            "show": {name: box.isChecked() for name, box in self.show_boxes.items()},
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
        self.channel.setCurrentText(kept["channel"])
        for name, checked in kept["show"].items():
            self.show_boxes[name].setChecked(checked)

    def event(self, event: Any) -> bool:
        """A dock closed by its cross lets its widget go without closing it."""
        handled = bool(super().event(event))
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._detach()
                # Only now can nobody have put it into another dock at once.
                QTimer.singleShot(0, self._delete_if_left)
            else:
                self._attach()
        return handled

    def hideEvent(self, event: Any) -> None:
        """Stop the run if the viewer was closed; a hidden or tabbed panel goes on."""
        super().hideEvent(event)
        window: QObject | None = self.parent()
        while window is not None and not isinstance(window, QMainWindow):
            window = window.parent()
        if isinstance(window, QMainWindow) and not event.spontaneous() and not window.isVisible():
            self._detach()
            isolate.shutdown()

    def enterEvent(self, event: Any) -> None:
        """Look again at what may have changed unannounced."""
        super().enterEvent(event)
        self._refresh()

    def _delete_if_left(self) -> None:
        if self.parent() is None and not self.isVisible():
            self.deleteLater()


def _cancel(runner: Runner) -> None:
    """Stop a run whose panel is gone."""
    runner.cancel()
