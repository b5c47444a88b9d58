"""Drops on the viewer while a panel is open: files with geometry open with it, without a prompt."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QMainWindow, QWidget

from ...io.dicom import is_dicom
from ...io.images import MEDICAL, PLAIN, TIFF, ending_of
from ...io.tiff import is_map_or_complex
from ...io.two_files import PIXELS
from .point_files import opens_as_points


class CanvasDrops(QObject):
    """Takes the drops on a panel's viewer that napari would prompt for or open without their geometry.

    napari prompts for a reader at every drop of a medical file, and reads a map in TIFF as a plain image.
    Everything else goes to napari as usual. Ends with the panel.

    Parameters
    ----------
    panel : QWidget
        A panel in the viewer's window (docked or floating).
    open_paths : callable
        Called with the list of paths of a drop, if all of them are such files.
    takes : callable
        Whether it takes a file; by default those that carry geometry.
    """

    def __init__(
        self,
        panel: QWidget,
        open_paths: Callable[[list[Path]], None],
        takes: Callable[[Path], bool] | None = None,
    ) -> None:
        super().__init__(panel)
        self._takes = carries_geometry if takes is None else takes
        self._open_paths = open_paths
        self._target: QWidget | None = None
        panel.installEventFilter(self)  # the panel has a window when it is shown, not before

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Find the canvas when the panel is shown, and handle drops on it."""
        if event is None:
            return False
        if watched is self.parent():
            if event.type() == QEvent.Type.Show:
                self._attach()
            elif event.type() == QEvent.Type.Hide:
                self._detach()
            return False
        if event.type() != QEvent.Type.Drop or not isinstance(event, QDropEvent) or event.modifiers():
            return False  # with Shift or Alt the user requests napari's stacking or its prompt
        mime = event.mimeData()
        urls = [] if mime is None else mime.urls()
        paths = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
        if not paths or len(paths) < len(urls) or not all(map(self._takes, paths)):
            return False
        event.acceptProposedAction()
        self._open_paths(paths)
        return True

    def _attach(self) -> None:
        window = self.parent()
        while window is not None and not isinstance(window, QMainWindow):
            window = window.parent()
        # napari has no public access to its drop area; if it is not found, napari handles the drop.
        found = [] if window is None else window.findChildren(QWidget)
        self._detach()
        self._target = next((widget for widget in found if type(widget).__name__ == "QtViewer"), None)
        if self._target is not None:
            self._target.installEventFilter(self)

    def _detach(self) -> None:
        if self._target is not None:
            self._target.removeEventFilter(self)
            self._target = None


def carries_geometry(path: Path) -> bool:
    """Whether our reader should open it: medical, points, or a TIFF with a map or complex pixels."""
    if path.is_dir():
        files = (entry for entry in sorted(path.iterdir()) if entry.is_file())
        return any(is_dicom(entry) for entry in islice(files, 5))
    ending = ending_of(path)
    if ending in TIFF + PLAIN:
        return ending in TIFF and is_map_or_complex(path)
    return ending in MEDICAL + PIXELS or opens_as_points(path) or is_dicom(path)
