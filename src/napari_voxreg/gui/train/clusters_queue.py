"""Trainings one after another, one per cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from ...cohort import Cluster
from ...io.pairs import PairSet
from .source import TrainSource

if TYPE_CHECKING:
    from ...train.events import Ended


class ClusterQueue(QObject):
    """Trains on cluster after cluster, with the current options.

    A training that is stopped or fails, or another set of pairs, ends it.

    Parameters
    ----------
    source : TrainSource
        Limited to a cluster for each training; the queue ends with it.
    busy : callable
        Whether a training is running.
    train : callable
        Starts a training.
    """

    def __init__(self, source: TrainSource, busy: Callable[[], bool], train: Callable[[], None]) -> None:
        super().__init__(source)
        self._source, self._busy, self._train = source, busy, train
        self._waiting: list[Cluster] = []
        self._count = 0
        self._set: PairSet | None = None
        source.each_requested.connect(self.start)

    def start(self, clusters: Sequence[Cluster]) -> None:
        """Train on each, unless a training is running."""
        if self._busy():
            text = "A training is running; wait until it has ended, or stop it."
            self._source.clusters.sentence.say(text, "unclear")
            return
        self._waiting, self._count, self._set = list(clusters), len(clusters), self._source.whole
        self._next()

    def go_on(self, ended: Ended) -> None:
        """Start the next training after one has ended."""
        if ended.reason in ("stopped", "not a number"):
            self._waiting = []
        if self._waiting:
            # After the panel has handled the end.
            QTimer.singleShot(0, self._next)

    def give_up(self) -> None:
        """Drop the waiting clusters if the training has failed."""
        if not self._busy():
            self._waiting = []

    def _next(self) -> None:
        if self._source.whole is not self._set or self._busy():
            self._waiting = []
        if self._waiting:
            cluster = self._waiting.pop(0)
            self._source.limit(cluster.pairs, f"cluster {cluster.number} of {self._count}")
            self._train()
