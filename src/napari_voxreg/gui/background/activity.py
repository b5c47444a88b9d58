"""Long work where napari shows it: in the activity dock, and as a notification at its end."""

from __future__ import annotations

import time
from collections.abc import Callable

from napari.utils import cancelable_progress
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QProgressBar, QWidget

from ...core.progress import Cancelled

LONG = 10.0  # seconds from which an end that nobody sees is told


class _Row(cancelable_progress):
    """A row of the activity dock; napari's calls back only when an iteration follows."""

    def cancel(self) -> None:
        super().cancel()
        self.cancel_callback()


class Activity:
    """The work of one panel.

    Parameters
    ----------
    panel : QWidget
        Whose work it is; who looks at it needs no notification.
    bar : QProgressBar
        The panel's own, which the activity dock repeats.
    cancel : callable
        What Cancel in the dock does.
    """

    def __init__(self, panel: QWidget, bar: QProgressBar, cancel: Callable[[], None]) -> None:
        self._panel, self._bar, self._cancel = panel, bar, cancel
        self._shown: _Row | None = None
        self._began = 0.0
        bar.valueChanged.connect(self._to)

    def begin(self, what: str) -> None:
        """Show new work, of which no fraction is known yet."""
        self.end()
        self._began = time.monotonic()
        self._shown = _Row(total=0, desc=f"VoxReg: {what}", cancel_callback=self._cancel)

    def end(self, sentence: str = "") -> None:
        """Take it away; a sentence is told if the work was long and nobody looks at the panel."""
        shown, self._shown = self._shown, None
        if shown is None:
            return
        shown.close()
        if sentence and time.monotonic() - self._began > LONG and not self._seen():
            show_info(sentence)

    def fail(self, error: Exception) -> None:
        """Take it away; why it failed is told as in `end`, unless the user has cancelled it."""
        self.end("" if isinstance(error, Cancelled) else str(error).split("\n")[0])

    def _seen(self) -> bool:
        """Whether the panel is before the user's eyes."""
        return self._panel.isActiveWindow() and not self._panel.visibleRegion().isEmpty()

    def _to(self, value: int) -> None:
        """Follow the panel's bar."""
        if self._shown is not None and self._bar.maximum() > 0 and value >= 0:
            if self._shown.total != self._bar.maximum():
                self._shown.total = self._bar.maximum()
            self._shown.update(value - self._shown.n)
