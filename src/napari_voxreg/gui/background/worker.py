"""Jobs off the interface thread, with progress and cancelling."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari.qt.threading import WorkerBase, WorkerBaseSignals
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar

from ...core import last_log
from ...core.progress import Cancelled, Progress
from ..preferences import use_threads
from .log import listening

PERIOD = 0.05  # seconds between two reports that reach the interface, at least


@dataclass(frozen=True)
class Report:
    """Progress since the last report.

    Parameters
    ----------
    fraction : float or None
        Fraction of the whole work done.
    message : str
        The current stage.
    metrics : tuple of float
        All values of the metric since the last report.
    """

    fraction: float | None
    message: str
    metrics: tuple[float, ...] = ()

    def show_in(self, bar: QProgressBar) -> None:
        """Show the fraction in a bar, which never falls; nothing if none is known."""
        if self.fraction is not None:
            bar.setRange(0, 1000)
            bar.setValue(max(bar.value(), round(1000 * self.fraction)))


class Signals(WorkerBaseSignals):
    """The signals of napari's workers, reports, and log lines."""

    reported = Signal(object)
    logged = Signal(str)


class Worker(WorkerBase):
    """A job in a thread of the pool.

    A function worker of napari cannot be cancelled; here the next report of the job raises `Cancelled`.

    Parameters
    ----------
    job : callable
        Called as ``job(progress)``. It touches no widget, layer or viewer.
    """

    def __init__(self, job: Callable[[Progress], Any]) -> None:
        super().__init__(SignalsClass=Signals)
        self._job = job
        self._last = 0.0
        self._waiting: list[float] = []

    def work(self) -> Any:
        """Do the job."""
        with listening(self.signals.logged.emit), last_log.kept("in napari", all_threads=False):
            result = self._job(self._report)
        if self._waiting:
            self._last = 0.0
            self._report(1.0, "done")
        return result

    def _report(self, fraction: float | None, message: str, metric: float | None = None) -> None:
        """Report about 20 times a second, without losing a value of the metric."""
        if self.abort_requested:
            raise Cancelled
        if metric is not None:
            self._waiting.append(float(metric))
        now = time.monotonic()
        if now - self._last >= PERIOD:
            self._last = now
            metrics, self._waiting = tuple(self._waiting), []
            self.signals.reported.emit(Report(fraction, message, metrics))


class Runner:
    """One job at a time: a cancelled job is stopped, and its later reports are dropped.

    Lives in the interface thread, and its callbacks are called there.
    """

    def __init__(self) -> None:
        self._worker: Worker | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is running whose result is awaited."""
        return self._worker is not None

    def start(
        self,
        job: Callable[[Progress], Any],
        *,
        report: Callable[[Report], None],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        warned: Callable[[str], None],
        logged: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Start a job, abandoning the current one.

        Parameters
        ----------
        job : callable
            Called in a thread as ``job(progress)``.
        report, done, failed, warned, logged : callable
            Called with a `Report`, the job's value, its exception (`Cancelled` too), the text of a warning,
            and a log line.
        """
        self.cancel()
        use_threads()
        worker = self._worker = Worker(job)

        def when_current(callback: Callable[[Any], None], last: bool = False) -> Callable[[Any], None]:
            def receive(value: Any) -> None:
                if self._worker is worker:
                    self._worker = None if last else worker
                    callback(value)

            return receive

        worker.reported.connect(when_current(report))
        worker.logged.connect(when_current(logged))
        worker.warned.connect(when_current(lambda value: warned(f"{value[1].__name__}: {value[0]}")))
        worker.returned.connect(when_current(done, last=True))
        worker.errored.connect(when_current(failed, last=True))
        worker.start()

    def cancel(self) -> None:
        """Abandon the current job, which stops at its next report."""
        if self._worker is not None:
            self._worker.quit()
            self._worker = None
