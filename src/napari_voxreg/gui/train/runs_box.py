"""Earlier training runs: show their curves, resume one, use its weights."""

from __future__ import annotations

import math
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ..background.worker import Runner
from ..widgets.combo_box import tame
from ..widgets.tables.model import TableColumn
from ..widgets.tables.view import plain_table
from .job import KnownRun, known_runs


class RunsBox(QWidget):
    """The runs in a folder, the newest first.

    Attributes
    ----------
    runs : list of KnownRun
        Those listed.

    Signals
    -------
    listed()
        The list is up to date.
    picked(run)
        A run was selected, to show its curves.
    resume_pressed(run, epochs)
        Resume it up to this epoch.
    use_pressed(run)
        Use its weights.
    """

    listed = Signal()
    picked = Signal(object)
    resume_pressed = Signal(object, int)
    use_pressed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[KnownRun] = []
        self._runner = Runner()
        self._running: Path | None = None
        self.nothing = QLabel("No runs in this folder yet.")
        self.nothing.setWordWrap(True)
        self.nothing.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.table = plain_table(COLUMNS, (98, 60, 58), lambda run: str(run.info.folder))
        self.table.setAccessibleName("Runs in the folder")
        self.table.setToolTip("A row for each training, the newest first")
        self.resume, self.use = QPushButton("Resume"), QPushButton("Use in Register")
        self.resume.setToolTip("Continue from the last save, exactly as if the run had not been stopped")
        self.use.setToolTip("Choose the best weights of this run in the Register panel")
        self.epochs = QSpinBox()
        self.epochs.setRange(1, 1_000_000)
        self.epochs.setAccessibleName("Last epoch")
        self.epochs.setPrefix("to epoch ")
        self.epochs.setToolTip("Epoch at which the resumed run ends")
        tame(self.epochs)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.nothing)
        layout.addWidget(self.table)
        row = QHBoxLayout()
        row.addWidget(self.resume)
        row.addWidget(self.epochs, 1)
        layout.addLayout(row)
        layout.addWidget(self.use)
        self.table.chosen.connect(self._selected)
        self.resume.clicked.connect(lambda: self.resume_pressed.emit(self.chosen, self.epochs.value()))
        self.use.clicked.connect(lambda: self.use_pressed.emit(self.chosen))
        self._settle()

    @property
    def chosen(self) -> KnownRun | None:
        """The run that is selected."""
        run: KnownRun | None = self.table.selected
        return run

    def choose(self, folder: Path) -> None:
        """Select a run of the list."""
        self.table.select(next(run for run in self.runs if run.info.folder == folder))

    def refresh(self, root: Path) -> None:
        """List the runs in a folder, off the main thread; `listed` follows."""
        self._runner.start(
            lambda progress: known_runs(root),
            report=lambda report: None,
            done=self._list,
            failed=lambda error: self._list([]),
            warned=lambda text: None,
        )

    def set_running(self, folder: Path | None) -> None:
        """Set the running run; nothing can be resumed meanwhile."""
        self._running = folder
        self._settle()

    def stop(self) -> None:
        """Abandon listing; uses nothing of Qt."""
        self._runner.cancel()

    def _list(self, runs: list[KnownRun]) -> None:
        """Fill the table, keeping the selection."""
        before = self.chosen
        self.table.blockSignals(True)
        self.runs = runs
        self.table.contents.fill(COLUMNS, runs)
        for run in runs:
            if before is not None and run.info.folder == before.info.folder:
                self.table.select(run)
        self.table.blockSignals(False)
        self._settle()
        self.listed.emit()

    def _selected(self) -> None:
        run = self.chosen
        if run is not None:
            self.epochs.setValue(run.info.options.epochs)
            self.picked.emit(run)
        self._settle()

    def _settle(self) -> None:
        """Enable the actions that the selected run allows."""
        self.nothing.setVisible(not self.runs)
        self.table.setVisible(bool(self.runs))
        run = self.chosen
        self.resume.setEnabled(run is not None and run.info.resumable and self._running is None)
        self.epochs.setEnabled(self.resume.isEnabled())
        self.use.setEnabled(run is not None and run.method is not None)
        for widget in (self.resume, self.epochs, self.use):
            widget.setVisible(bool(self.runs))


def _epochs_done(run: KnownRun) -> int:
    return run.info.history[-1].epoch if run.info.history else 0


def _best_loss(run: KnownRun) -> float:
    """Of the validation, if there is one; nan before the first epoch."""
    losses = [row.validation or row.training for row in run.info.history]
    return min((each.total for each in losses if each is not None), default=math.nan)


def _loss_text(run: KnownRun) -> str:
    best = _best_loss(run)
    return "–" if math.isnan(best) else f"{best:.4g}"


COLUMNS = (
    TableColumn("run", lambda run: run.info.folder.name),
    TableColumn("network", lambda run: run.info.options.architecture),
    TableColumn("epochs", lambda run: f"{_epochs_done(run)} of {run.info.options.epochs}", _epochs_done),
    TableColumn("best loss", _loss_text, _best_loss),
)
