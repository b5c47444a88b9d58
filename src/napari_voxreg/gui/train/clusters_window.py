"""The window of a set's clusters."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ...cohort import Cluster, Survey, survey
from ...core.progress import Cancelled
from ...io.pairs import PairSet
from ..background.worker import Report, Runner
from ..widgets.combo_box import Choice
from ..widgets.sentence import Sentence
from .clusters_plot import ElbowPlot, strip

IMAGES = {"fixed": "Fixed images", "both": "Both images of each pair"}
SHOWN = 7  # images of a cluster
SIDE = 72  # pixels of an image


class ClustersWindow(QDialog):
    """Clusters a set in the background; shows the elbow and each cluster's nearest members.

    Parameters
    ----------
    parent : QWidget
        The window goes with it.

    Attributes
    ----------
    pairs : PairSet or None
        The set shown.
    found : Survey or None
        Its clustering; None while it is computed.
    clusters : tuple of Cluster
        Those shown.
    images, count, plot : Choice, QSpinBox, ElbowPlot
        Which images are compared, and how many clusters there are.
    uses : list of QPushButton
        One per cluster, to train on it alone.

    Signals
    -------
    shown()
        Clusters were found.
    taken(cluster)
        Train on this cluster only; None for all pairs.
    each_requested(clusters)
        Train one model per cluster.
    """

    shown = Signal()
    taken = Signal(object)
    each_requested = Signal(object)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Clusters")
        self.pairs: PairSet | None = None
        self.found: Survey | None = None
        self.clusters: tuple[Cluster, ...] = ()
        self.uses: list[QPushButton] = []
        self._runner = Runner()
        self.destroyed.connect(self._runner.cancel)  # the worker may outlive the window
        self._build()

    def search(self, pairs: PairSet) -> None:
        """Find the clusters of a set off the main thread; `shown` follows if there are any."""
        self.pairs, self.found, self.clusters = pairs, None, ()
        self._show()
        self._set_running(True)
        images: Any = self.images.currentData()
        self._runner.start(
            lambda progress: survey(pairs, images=images, progress=progress),
            report=self._report,
            done=self._done,
            failed=self._failed,
            warned=lambda text: None,
        )

    def cancel(self) -> None:
        """Stop the search and say so."""
        self._runner.cancel()
        self._failed(Cancelled())

    def stop(self) -> None:
        """Stop the search; uses nothing of Qt."""
        self._runner.cancel()

    def hideEvent(self, event: Any) -> None:
        """Stop the search as the window is closed."""
        super().hideEvent(event)
        if not event.spontaneous() and self._runner.busy:
            self.cancel()

    def _build(self) -> None:
        self.images = Choice()
        for name, title in IMAGES.items():
            self.images.addItem(title, name)
        self.count = QSpinBox()
        self.count.setAccessibleName("Number of clusters")
        self.images.setAccessibleName("Compared images")
        self.plot = ElbowPlot()
        self.sentence = Sentence()
        self.bar = QProgressBar()
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop at once")
        self.again = QPushButton("Recompute")
        self.again.setToolTip("Search the pairs for clusters again")
        self.images.setToolTip("Which images are compared to find the clusters")
        self.count.setToolTip("Number of clusters; the elbow of the curve is suggested")
        self.each = QPushButton("Train one model per cluster")
        self.each.setToolTip(
            "Train a model on each cluster, one after another, with the options of the panel"
        )
        self.everything = QPushButton("All pairs")
        self.everything.setToolTip("Use all pairs for training again")
        self.gallery = QScrollArea()
        self.gallery.setWidgetResizable(True)
        self._running = QWidget()
        running = QHBoxLayout(self._running)
        running.setContentsMargins(0, 0, 0, 0)
        running.addWidget(self.bar, 1)
        running.addWidget(self.cancel_button)
        top = QHBoxLayout()
        for widget, stretch in (
            (QLabel("Compare"), 0),
            (self.images, 1),
            (QLabel("Clusters"), 0),
            (self.count, 0),
        ):
            top.addWidget(widget, stretch)
        below = QHBoxLayout()
        below.addWidget(self.again)
        below.addStretch()
        for button in (self.everything, self.each):
            below.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addWidget(self._running)
        layout.addWidget(self.sentence)
        layout.addWidget(self.plot)
        layout.addWidget(self.gallery, 1)
        layout.addLayout(below)
        self.resize(SHOWN * (SIDE + 8) + 60, 640)
        self.images.currentIndexChanged.connect(self._again)
        self.again.clicked.connect(self._again)
        self.count.valueChanged.connect(self._regroup)
        self.plot.picked.connect(self.count.setValue)
        self.cancel_button.clicked.connect(self.cancel)
        self.everything.clicked.connect(lambda: self.taken.emit(None))
        self.each.clicked.connect(lambda: self.each_requested.emit(self.clusters))

    def _again(self) -> None:
        if self.pairs is not None:
            self.search(self.pairs)

    def _report(self, report: Report) -> None:
        if report.fraction is not None:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * report.fraction))
        self.bar.setToolTip(report.message)

    def _set_running(self, running: bool) -> None:
        self._running.setVisible(running)
        self.again.setVisible(not running and self.found is None)
        self.bar.setRange(0, 0)  # indeterminate until a fraction is known
        if running:
            self.sentence.say("", "quiet")

    def _done(self, found: Survey) -> None:
        self.found = found
        self._set_running(False)
        self.count.blockSignals(True)
        self.count.setRange(1, len(found.centres))
        self.count.setValue(found.suggested)
        self.count.blockSignals(False)
        self._regroup()

    def _failed(self, error: Exception) -> None:
        self._set_running(False)
        text = "Cancelled." if isinstance(error, Cancelled) else str(error).split("\n")[0]
        self.sentence.say(text, "quiet" if isinstance(error, Cancelled) else "failed")

    def _regroup(self) -> None:
        """Form another number of clusters of the same set."""
        if self.found is None:
            return
        self.clusters = self.found.clusters(self.count.value())
        notes = self.found.pairs.notes
        more = f" {notes[-1]}" if notes else ""
        self.sentence.say(f"The elbow is at {self.found.suggested}.{more}", "quiet")
        self.sentence.setToolTip("\n".join(notes))
        self._show()
        self.shown.emit()

    def _show(self) -> None:
        """Show the plot and a line for each cluster."""
        found = self.found
        self.plot.set_curve(
            found.inertias if found else (), found.suggested if found else 0, len(self.clusters)
        )
        self.uses = []
        body = QWidget()
        layout = QVBoxLayout(body)
        for cluster in self.clusters:
            layout.addWidget(self._line(cluster))
        layout.addStretch()
        self.gallery.setWidget(body)
        self.count.setEnabled(found is not None)
        self.each.setEnabled(len(self.clusters) > 1)
        self.everything.setEnabled(found is not None)

    def _line(self, cluster: Cluster) -> QWidget:
        """A cluster's counts, its button and its nearest members."""
        training, validation = len(cluster.pairs.training), len(cluster.pairs.validation)
        title = QLabel(f"Cluster {cluster.number}: {training} for training, {validation} for validation")
        use = QPushButton("Train on this")
        use.setToolTip("Use only the pairs of this cluster for training")
        use.clicked.connect(lambda: self.taken.emit(cluster))
        self.uses.append(use)
        head = QHBoxLayout()
        head.addWidget(title, 1)
        head.addWidget(use)
        nearest = cluster.members[:SHOWN]
        images = QLabel()
        images.setPixmap(strip([member.thumbnail for member in nearest], SIDE))
        names = "\n".join(member.pair.name for member in nearest)
        images.setToolTip(f"Nearest to the centre:\n{names}")
        line = QWidget()
        layout = QVBoxLayout(line)
        layout.setContentsMargins(0, 0, 0, 4)
        layout.addLayout(head)
        layout.addWidget(images)
        return line
