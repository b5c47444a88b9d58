"""Rows from a worker, delivered in the interface's thread."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, Signal


class RowFeed(QObject):
    """Rows of one run at a time; late rows of earlier runs are dropped.

    Signals
    -------
    arrived(row)
        A row of the current run, in the interface's thread.
    """

    arrived = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._run = 0

    def begin(self) -> Callable[[object], None]:
        """Start a new run; returns the function that its worker calls with each row."""
        self.end()
        run, carrier = self._run, _Carrier()
        carrier.row.connect(self._receive, Qt.ConnectionType.QueuedConnection)
        return lambda row: carrier.row.emit(run, row)

    def end(self) -> None:
        """Drop the rows that still arrive."""
        self._run += 1

    def _receive(self, run: int, row: object) -> None:
        if run == self._run:
            self.arrived.emit(row)


class _Carrier(QObject):
    """Lives with the worker, which may outlive the panel."""

    row = Signal(int, object)
