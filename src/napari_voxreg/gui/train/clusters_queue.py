"""One training after another, one for each cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from ...cohort import Cluster
    from ...io.pairs import PairSet
    from ...train.events import Ended
    from .panel import TrainWidget


class ClusterQueue(QObject):
    """Has the Train panel train on cluster after cluster, with its present options.

    A training that is stopped or fails, or another set of pairs, ends it.

    Parameters
    ----------
    panel : TrainWidget
        It lives with it.
    """

    def __init__(self, panel: TrainWidget) -> None:
        super().__init__(panel)
        self._panel = panel
        self._waiting: list[Cluster] = []
        self._count = 0
        self._set: PairSet | None = None
        panel.source.each_asked.connect(self.start)
        panel.finished.connect(self._finished)
        panel.failed.connect(self._failed)

    def start(self, clusters: Sequence[Cluster]) -> None:
        """Train on each, unless a training is on."""
        if self._panel.busy:
            said = "A training is on; wait until it has ended, or stop it."
            self._panel.source.clusters.sentence.say(said, "unclear")
            return
        self._waiting, self._count, self._set = list(clusters), len(clusters), self._panel.source.whole
        self._next()

    def _next(self) -> None:
        source = self._panel.source
        if source.whole is not self._set or self._panel.busy:
            self._waiting = []
        if self._waiting:
            cluster = self._waiting.pop(0)
            source.limit(cluster.pairs, f"cluster {cluster.number} of {self._count}")
            self._panel.run()

    def _finished(self, ended: Ended) -> None:
        if ended.reason in ("stopped", "not a number"):
            self._waiting = []
        if self._waiting:
            # The panel has its turn first.
            QTimer.singleShot(0, self._next)

    def _failed(self) -> None:
        if not self._panel.busy:
            self._waiting = []
