"""What is done with a result, the same in every panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari.viewer
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QWidget

from ...io.files import replace_file
from ...registration.report import write_report
from ...registration.result import Result
from ..background.worker import Runner
from ..widgets.folder_dialog import new_folder
from .chosen import Chosen
from .files import EXPORTS, export, results_in
from .reopen import find_pair
from .run_layers import RunLayers
from .script import command_line, files_needed, python_script
from .state import Run, SessionState

Writer = Callable[[Result, Chosen, Path | None], str]


class RunActions(QObject):
    """Saves, copies and takes back results.

    Parameters
    ----------
    viewer : napari.Viewer
    state : SessionState
    layers : RunLayers
    parent : QWidget
        Of the dialogs; the actions end with it.

    Signals
    -------
    said(text)
        Something was done.
    failed(error)
        Something could not be done.
    """

    said = Signal(str)
    failed = Signal(object)

    def __init__(
        self, viewer: napari.viewer.Viewer, state: SessionState, layers: RunLayers, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._viewer, self._state, self._layers, self._panel = viewer, state, layers, parent
        self._runner = Runner()
        layers.noted.connect(self.said)

    def settle(self, run: Run) -> None:
        """Make a run current whose layers were added: what it replaces goes, the moving layer hides."""
        pair = [layer for layer in (run.fixed_layer, run.moving_layer) if layer is not None]
        if not self._state.keep_earlier:
            for other in self._state.runs:
                if other is not run:
                    self._layers.remove(other, but=pair)
        self._set_moving(run, shown=False)
        self._state.show(run)
        self._layers.make_ahead(run)

    def show(self, run: Run) -> None:
        """Make a run current: its warped image is made if need be."""
        self._layers.show(run, "warped", True)
        self.settle(run)

    def undo(self) -> None:
        """Take the current result and its layers back, and show the one before."""
        run = self._state.undo()
        if run is not None:
            self._layers.remove(run)
            self._set_moving(run, shown=True)
            if self._state.current is not None:
                self._layers.show(self._state.current, "warped", True)

    def redo(self) -> None:
        """Bring back what was undone last."""
        run = self._state.redo()
        if run is not None:
            self.show(run)

    def delete(self, run: Run) -> None:
        """Forget a run and remove its layers."""
        self._layers.remove(run)
        self._set_moving(run, shown=True)
        self._state.delete(run)

    def save(self, run: Run | None) -> None:
        """Save a result into a folder that the user chooses."""
        if run is None:
            return
        folder = new_folder(self._panel, "Save the result into a folder", f"{run.result.method} result")
        if folder is not None:
            self._start(lambda: run.result.save(folder), lambda path: self._saved(run, path))

    def export(self, run: Run | None) -> None:
        """Write the transform in the format and into the file that the user chooses."""
        if run is None:
            return
        name, chosen = QFileDialog.getSaveFileName(
            self._panel, "Export the transform", "transform.h5", ";;".join(EXPORTS)
        )
        if name:
            self._start(
                lambda: export(run.result, Path(name), chosen),
                lambda found: self.said.emit(" ".join([f"Exported: {found[0]}.", *found[1]])),
            )

    def report(self, run: Run | None) -> None:
        """Write a report on the pair into a file that the user chooses."""
        if run is None:
            return
        name, _ = QFileDialog.getSaveFileName(self._panel, "Report", "report.html", "HTML (*.html)")
        if name:
            chosen = run.chosen
            self._start(
                lambda: write_report(
                    run.result,
                    None if chosen is None else chosen.fixed.image(chosen.levels[0]),
                    None if chosen is None else chosen.moving.image(chosen.levels[1]),
                    Path(name),
                ),
                lambda path: self.said.emit(f"Report: {path}, and the same as .json"),
            )

    def open(self) -> None:
        """Read the results in a folder that the user chooses, and in the folders in it."""
        folder = QFileDialog.getExistingDirectory(self._panel, "Open results")
        if folder:
            self._start(lambda: results_in(Path(folder)), self._opened)

    def _opened(self, found: list[tuple[Path, Result]]) -> None:
        for folder, result in found:
            run = Run(self._state.next_number(), result, folder=folder)
            find_pair(run, self._viewer)
            self._state.keep(run)
        self.said.emit(f"Opened {len(found)} result{'s' * (len(found) != 1)}.")

    def copy_python(self, run: Run | None) -> None:
        """Copy a script that makes the same result; layers without a file are written beside it."""
        self._copy(run, python_script, "register.py", "Python (*.py)")

    def copy_command(self, run: Run | None) -> None:
        """Copy a command that makes the same result; layers without a file are written beside it."""
        self._copy(run, command_line, "register.sh", "Shell (*.sh)")

    def _copy(self, run: Run | None, write: Writer, name: str, kind: str) -> None:
        if run is None or run.chosen is None:
            return
        result, chosen = run.result, run.chosen

        def there(needed: bool) -> None:
            path = None
            if needed:
                title = "Some layers are in no file: where to write the script and them"
                given, _ = QFileDialog.getSaveFileName(self._panel, title, name, kind)
                if not given:
                    return
                path = Path(given)
            self._start(lambda: _written(write, result, chosen, path), copied)

        def copied(found: tuple[str, Path | None]) -> None:
            text, path = found
            copy(text)
            self.said.emit("Copied." if path is None else f"Copied, and written to {path}.")

        self._start(lambda: files_needed(chosen, write is command_line), there)

    def stop(self) -> None:
        """Drop what is under way; uses nothing of Qt."""
        self._runner.cancel()

    def _saved(self, run: Run, path: Path) -> None:
        run.folder = path.parent
        self._state.changed.emit()
        self.said.emit(f"Saved: {path}")

    def _set_moving(self, run: Run, shown: bool) -> None:
        """Hide the moving layer, or show it again if it was this run that hid it."""
        layer = run.moving_layer
        if layer is None:
            return
        if not shown and layer.visible:
            layer.visible, run.hid = False, True
        elif shown and run.hid:
            layer.visible, run.hid = True, False

    def _start(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Do something with files in the background."""
        self._runner.start(
            lambda progress: job(),
            report=lambda report: None,
            done=done,
            failed=self.failed.emit,
            warned=lambda text: None,
        )


def _written(write: Writer, result: Result, chosen: Chosen, path: Path | None) -> tuple[str, Path | None]:
    """A script, written to a path if there is one."""
    text = write(result, chosen, path)
    if path is not None:
        ended = text + "\n" * (not text.endswith("\n"))
        replace_file(path, lambda target: target.write_text(ended, encoding="utf-8", newline=""))
    return text, path


def copy(text: str) -> None:
    """Put a text on the clipboard."""
    clipboard = QGuiApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)
