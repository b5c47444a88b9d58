"""How running work reports, and how it learns that it was cancelled."""

from __future__ import annotations

import logging
import time
from typing import Protocol

BRIEF = 0.05  # seconds of a stage that is a detail in the log


class Cancelled(Exception):
    """The user stopped the work; nothing was changed."""


class Progress(Protocol):
    """How running work reports, and how it learns that it was cancelled."""

    def __call__(self, fraction: float | None, message: str, metric: float | None = None) -> None:
        """Report.

        Parameters
        ----------
        fraction : float or None
            Fraction of the whole work done, 0 to 1, never falling; None where it is unknown.
        message : str
            The present stage in a few words.
        metric : float, optional
            The present value of the similarity or cost, for the live curve.

        Raises
        ------
        Cancelled
            When the work shall stop now.
        """


def silent(fraction: float | None, message: str, metric: float | None = None) -> None:
    """Progress that nobody watches."""


def subprogress(progress: Progress, start: float, stop: float) -> Progress:
    """Progress of a stage that covers `start` to `stop` of the whole."""

    def report(fraction: float | None, message: str, metric: float | None = None) -> None:
        whole = fraction
        if fraction is not None:
            # Rounding must not lead beyond the end: the next stage begins there.
            whole = min(start + (stop - start) * min(max(fraction, 0.0), 1.0), stop)
        progress(whole, message, metric)

    return report


def logged(progress: Progress, log: logging.Logger) -> Progress:
    """Progress that also logs how long each stage took, once the next one begins.

    Parameters
    ----------
    progress : Progress
        Called with every report.
    log : Logger
        Gets one record a stage, its message and its seconds: of the level INFO, or DEBUG below `BRIEF`.
    """
    stage, began = "", 0.0

    def report(fraction: float | None, message: str, metric: float | None = None) -> None:
        nonlocal stage, began
        if message != stage:
            now = time.monotonic()
            if stage:
                level = logging.DEBUG if now - began < BRIEF else logging.INFO
                log.log(level, "%s: %.1f s", stage, now - began)
            stage, began = message, now
        progress(fraction, message, metric)

    return report
