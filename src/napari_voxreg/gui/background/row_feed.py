"""Rows that a worker finds, carried to the interface."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, Signal


class RowFeed(QObject):
    """Rows of one run at a time; those of an earlier run are dropped.

    Signals
    -------
    arrived(row)
        A row of the present run, in the interface's thread.
    """

    arrived = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._run = 0

    def begin(self) -> Callable[[object], None]:
        """Wait for the rows of a new run; returns what its worker calls with each."""
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
