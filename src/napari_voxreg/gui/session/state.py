"""Runs and choices of a viewer's panels, kept after they are closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, ref

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from ...registration.result import Result
from ..layers.placement import LayerData, pair_name
from ..preferences import NO_LOOK, preferences
from ..widgets.canvas_context import own_viewer
from .chosen import Chosen
from .plain_files import watch_plain_files

_states: WeakKeyDictionary[ViewerModel, SessionState] = WeakKeyDictionary()


@dataclass(eq=False)
class Run:
    """A result of this session, with what it was made from.

    Parameters
    ----------
    number : int
        Counts the runs of the viewer; the names of the run's layers begin with it.
    result : Result
    chosen : Chosen or None
        What it was made from; None for a result that was read from a folder and whose images are not open.
    fixed, moving : weakref of Layer or None
        The layers of the pair.
    hid : bool
        Whether the moving layer was hidden when the run's layers were shown.
    made : dict
        Layers that were made ahead, by kind and the way in which they were made.
    folder : Path or None
        Where it is saved.
    """

    number: int
    result: Result
    chosen: Chosen | None = None
    fixed: ref[Layer] | None = None
    moving: ref[Layer] | None = None
    hid: bool = False
    made: dict[tuple[str, bool, str], list[LayerData]] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def fixed_layer(self) -> Layer | None:
        """The fixed layer, if it is still there."""
        return None if self.fixed is None else self.fixed()

    @property
    def moving_layer(self) -> Layer | None:
        """The moving layer, if it is still there."""
        return None if self.moving is None else self.moving()

    @property
    def pair(self) -> str:
        """The short name of the pair."""
        return pair_name(*reversed(self.result.names))


class SessionState(QObject):
    """The state of a viewer's panels, kept as long as the viewer.

    Attributes
    ----------
    runs : list of Run
        Oldest first.
    shown, undone : list of Run
        Those whose layers were shown, the current one last; and those that were undone, the last one last.
    choices : dict
        The choices of the Register panel when it was closed.
    cohort : dict
        Those of the Cohort panel.

    Signals
    -------
    changed()
        Other runs are there, or another one is current.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []
        self.shown: list[Run] = []
        self.undone: list[Run] = []
        self.choices: dict[str, Any] = {}
        self.cohort: dict[str, Any] = {}
        self._count = 0

    @property
    def current(self) -> Run | None:
        """The run whose layers were shown last."""
        return self.shown[-1] if self.shown else None

    @property
    def keep_earlier(self) -> bool:
        """Whether the layers of earlier runs stay in the viewer when a new one ends; a preference."""
        return preferences().keep_earlier

    @keep_earlier.setter
    def keep_earlier(self, value: bool) -> None:
        preferences().keep_earlier = value

    @property
    def look(self) -> str:
        """How fixed and warped are compared by eye after a run, empty for not at all; a preference."""
        return preferences().look.replace(NO_LOOK, "")

    @look.setter
    def look(self, mode: str) -> None:
        preferences().look = mode or NO_LOOK

    @property
    def results(self) -> dict[str, Result]:
        """The results by unique titles, oldest first."""
        titled: dict[str, Result] = {}
        for run in self.runs:
            plain = title = f"{run.result.names[1]} > {run.result.names[0]}, {run.result.method}"
            count = 1
            while title in titled:
                count += 1
                title = f"{plain} ({count})"
            titled[title] = run.result
        return titled

    def next_number(self) -> int:
        """A number for a run that is about to begin."""
        self._count += 1
        return self._count

    def release(self, number: int) -> None:
        """Give back the number of a run that came to nothing."""
        if 0 < number == self._count:
            self._count -= 1

    def keep(self, run: Run) -> None:
        """Keep a run; what was undone before is gone."""
        self.runs.append(run)
        self.undone = []
        self.changed.emit()

    def show(self, run: Run) -> None:
        """Make a run the current one."""
        self.shown = [one for one in self.shown if one is not run] + [run]
        self.changed.emit()

    def delete(self, run: Run) -> None:
        """Forget a run."""
        self.runs = [one for one in self.runs if one is not run]
        self.shown = [one for one in self.shown if one is not run]
        self.changed.emit()

    def undo(self) -> Run | None:
        """Take back the current run, which is returned."""
        run = self.current
        if run is not None:
            self.undone.append(run)
            self.delete(run)
        return run

    def redo(self) -> Run | None:
        """Bring back what was undone last, which is returned."""
        if not self.undone:
            return None
        run = self.undone.pop()
        self.runs = sorted([*self.runs, run], key=lambda one: one.number)
        self.show(run)
        return run


def session_state(viewer: ViewerModel) -> SessionState:
    """The state of a viewer, the same for each of its panels."""
    own = own_viewer(viewer)
    if own not in _states:
        _states[own] = SessionState()
        watch_plain_files(own)
    return _states[own]
