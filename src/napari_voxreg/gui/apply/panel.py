"""The Apply panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Layer
from qtpy.QtCore import QTimer, Signal

from ...core.progress import Cancelled
from ...io.transforms import check_transform
from ...io.transforms.formats.ants import in_order
from ..background.activity import Activity
from ..background.worker import Runner
from ..layers.applied import LayerOptions, take
from ..layers.canvas_drops import CanvasDrops
from ..layers.layer_events import LayerWatch
from ..layers.placement import LayerData
from ..session.state import Run, session_state
from ..widgets.dock_panel import Docked
from ..widgets.fold import Fold
from ..widgets.sentence import Sentence
from ..widgets.work_bar import WorkBar
from .foreign_box import ForeignBox
from .job import ApplyJob, Done
from .options_box import OptionsBox
from .targets_box import TargetsBox
from .transforms_box import TransformsBox

OBLIQUE = "The result lies in an oblique slice: save it, and apply it to files."
NO_TRANSFORM = "Register a pair, or choose a saved transform."
TIP = "Make new layers, or new files, of what is chosen; nothing that is there is changed"


class ApplyWidget(Docked):
    """Applies results and saved transforms to layers of every kind, and to folders.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    transforms : TransformsBox
    foreign : ForeignBox
    targets : TargetsBox
    options : OptionsBox
    bar : WorkBar

    Signals
    -------
    finished(done)
        All new layers are in the viewer, or all files are written.
    failed(text)
        Nothing came of it, and why.
    """

    title = "Apply"
    finished = Signal(object)
    failed = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._state = session_state(viewer)
        self._runner = Runner()
        self._pending: list[LayerData] = []
        self._done: Done | None = None
        self._adder = QTimer(self)
        self._adder.setSingleShot(True)
        self._adder.timeout.connect(self._add_next)
        self._watch = LayerWatch(viewer, self._offer)
        self._build()
        self.targets.check(list(viewer.layers.selection))
        self._attach()
        self._follow()
        self.destroyed.connect(lambda: self._gone())

    # What it does -----------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether it works."""
        return self.bar.running

    def run(self) -> None:
        """Apply what is chosen; `finished` or `failed` follows."""
        if self.busy or self.reason():
            return
        self.said.say("", "quiet")
        self.bar.set_running(True)
        self._activity.begin("Applying…")
        self._runner.start(
            self._job(),
            report=self.bar.show_report,
            done=self._finish,
            failed=self._fail,
            warned=lambda text: None,
        )

    def apply_last(self) -> None:
        """Apply the last result to the selected layers, as the panel's options say."""
        current = self._current()
        if current is None:
            self.said.say(NO_TRANSFORM, "failed")
            return
        self.transforms.choose(_title(current))
        self.targets.check(list(self._viewer.layers.selection))
        self.run()

    def cancel(self) -> None:
        """Stop; the panel is idle at once."""
        if self.busy:
            self._runner.cancel()
            self._pending = []
            self._fail(Cancelled())

    def reason(self) -> str:
        """Why nothing can be applied now; empty if it can."""
        nothing = "" if self.transforms.chosen else NO_TRANSFORM
        oblique = OBLIQUE if self._oblique() and not self.targets.folder else ""
        return nothing or oblique or self.targets.reason() or self.options.reason()

    def _job(self) -> ApplyJob:
        """The choices, taken from the layers as they are now."""
        targets, grid, foreign = self.targets, self.options.grid_layer, self.foreign
        inverse = "" if self.options.way == "moving -> fixed" else " inverse"
        folders: tuple[Path, Path] | None = None
        if targets.folder and targets.source.path is not None and targets.output.path is not None:
            folders = targets.source.path, targets.output.path
        return ApplyJob(
            self.transforms.chosen,
            self._short_title() + inverse,
            LayerOptions(**self.options.values()),
            None if grid is None else take(grid),
            [] if folders else [take(layer) for layer in reversed(targets.layers)],
            folders,
            *((foreign.fixed.path, foreign.moving.path, foreign.format) if self.transforms.files else ()),
        )

    def _short_title(self) -> str:
        """The chosen transforms in the names of layers: runs by their number and method."""
        names = {id(run.result): f"{run.number} {run.result.method}" for run in self._state.runs}
        chosen = self.transforms.chosen
        return " + ".join(one.stem if isinstance(one, Path) else names[id(one)] for one in chosen)

    def _oblique(self) -> bool:
        """Whether a chosen result lies in a single slice that is oblique to the world's axes."""
        chosen = [
            run.chosen.fixed.grid()
            for run in self._state.runs
            if run.chosen is not None and any(run.result is one for one in self.transforms.chosen)
        ]
        return any(grid.thin_axes() and grid.oblique(grid.thin_axes()) for grid in chosen)

    # Layout -----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.transforms, self.targets, self.options = TransformsBox(), TargetsBox(), OptionsBox()
        self.foreign = ForeignBox()
        self.foreign_fold = Fold(
            "Of another program", self.foreign, "What a transform file does not state itself"
        )
        self.bar = WorkBar("Apply", "Applying…", TIP, "Stop at once; files that are complete stay")
        self.said = Sentence()
        self._activity = Activity(self, self.bar.bar, self.cancel)
        self.said.hide()
        boxes = (self.transforms, self.foreign_fold, self.targets, self.options)
        self._fill(*boxes, self.bar, self.said)
        self.setAcceptDrops(True)
        CanvasDrops(self, self.take_files, is_transform)
        self.transforms.changed.connect(self._ask)
        for box in (self.transforms, self.foreign, self.targets, self.options):
            box.changed.connect(self._refresh)
        self.bar.pressed.connect(self.run)
        self.bar.cancelled.connect(self.cancel)
        self._state.changed.connect(self._follow)

    def _ask(self) -> None:
        """Show the choices for files of other programs where there are any, open where they are needed."""
        self.foreign_fold.setVisible(bool(self.transforms.files))
        if self.foreign.is_needed(self.transforms.files):
            self.foreign_fold.open = True

    # Drops ------------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: Any) -> None:
        """Accept files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Choose the transform files of a drop, those of ANTs in their order."""
        event.acceptProposedAction()
        self.take_files([Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()])

    def take_files(self, paths: Sequence[Path]) -> None:
        """Choose transform files; says why one is none."""
        try:
            for path in paths:
                check_transform(path)
        except ValueError as error:
            self.said.say(str(error), "failed")
            return
        if paths:
            self.transforms.choose_files(in_order(paths))
            self.said.say("", "quiet")

    # The viewer -------------------------------------------------------------------------------------------

    def _offer(self, layers: list[Layer]) -> None:
        """Offer the viewer's layers."""
        self.targets.offer(layers)
        self.options.offer(layers)
        self._refresh()

    def _follow(self) -> None:
        """Offer the results of the session."""
        current = self._current()
        results = {_title(run): run.result for run in self._state.runs}
        self.transforms.offer(results, "" if current is None else _title(current))

    def _current(self) -> Run | None:
        """The run whose layers were shown last, or else the last one."""
        return self._state.current or (self._state.runs[-1] if self._state.runs else None)

    def _refresh(self) -> None:
        """Update what depends on the choices."""
        self.options.allow(self.targets.folder, self.transforms.linear)
        self.bar.set_reason(self.reason())

    # The end of the work ----------------------------------------------------------------------------------

    def _finish(self, done: Done) -> None:
        self._done, self._pending = done, list(done.layers)
        self._add_next()

    def _add_next(self) -> None:
        """Add one layer at a time, since each blocks napari for a moment."""
        done = self._done
        if done is None:
            return
        if self._pending:
            self._viewer.add_layer(Layer.create(*self._pending.pop(0)))
            self._adder.start()
            return
        self._done = None
        self.bar.set_running(False)
        self._activity.end("All is applied.")
        self._refresh()
        count = len(done.layers)
        made = [f"{count} new layer{'s' if count > 1 else ''}."] if count else []
        self.said.say(" ".join([*made, *done.notes]), "better" if not done.notes else "quiet")
        self.finished.emit(done)

    def _fail(self, error: Exception) -> None:
        self._done = None
        self.bar.set_running(False)
        self._refresh()
        stopped = isinstance(error, Cancelled)
        self._activity.fail(error)
        text = "Cancelled; files that are complete stay." if stopped else str(error).split("\n")[0]
        self.said.say(text, "quiet" if stopped else "failed")
        self.failed.emit(text)

    # Opening and closing ----------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Follow the viewer's layers."""
        self._watch.start()

    def _detach(self) -> None:
        """Stop following them, and the work."""
        self.cancel()
        self._gone()

    def _gone(self) -> None:
        """Stop what is under way; uses nothing of Qt."""
        self._watch.stop()
        self._runner.cancel()


def is_transform(path: Path) -> bool:
    """Whether a file is a transform, by its first bytes."""
    try:
        check_transform(path)
    except (OSError, ValueError):
        return False
    return True


def _title(run: Run) -> str:
    """A run in the list of transforms."""
    return f"{run.number} {run.result.method}: {run.pair}"
