"""One training after another, one for each cluster."""

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
    """Trains on cluster after cluster, with the present options.

    A training that is stopped or fails, or another set of pairs, ends it.

    Parameters
    ----------
    source : TrainSource
        Limited to a cluster for each training; the queue ends with it.
    busy : callable
        Whether a training is on.
    train : callable
        Starts a training.
    """

    def __init__(self, source: TrainSource, busy: Callable[[], bool], train: Callable[[], None]) -> None:
        super().__init__(source)
        self._source, self._busy, self._train = source, busy, train
        self._waiting: list[Cluster] = []
        self._count = 0
        self._set: PairSet | None = None
        source.each_asked.connect(self.start)

    def start(self, clusters: Sequence[Cluster]) -> None:
        """Train on each, unless a training is on."""
        if self._busy():
            said = "A training is on; wait until it has ended, or stop it."
            self._source.clusters.sentence.say(said, "unclear")
            return
        self._waiting, self._count, self._set = list(clusters), len(clusters), self._source.whole
        self._next()

    def go_on(self, ended: Ended) -> None:
        """A training has ended: the next has its turn."""
        if ended.reason in ("stopped", "not a number"):
            self._waiting = []
        if self._waiting:
            # The panel has its turn first.
            QTimer.singleShot(0, self._next)

    def give_up(self) -> None:
        """Something has failed: if it was the training, the others are not begun."""
        if not self._busy():
            self._waiting = []

    def _next(self) -> None:
        if self._source.whole is not self._set or self._busy():
            self._waiting = []
        if self._waiting:
            cluster = self._waiting.pop(0)
            self._source.limit(cluster.pairs, f"cluster {cluster.number} of {self._count}")
            self._train()
