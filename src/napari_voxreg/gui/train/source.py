"""The pairs of a training: their source, how images are paired, and which are for validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Image as ImageLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...cohort import Cluster
from ...core.geometry import Image
from ...io.pairs import Pair, PairSet, open_pairs
from ...io.pairs.values import name_of_source
from ..layers.snapshots import LayerSnapshot, snapshot
from ..widgets.combo_box import SLIM, Choice, heading
from ..widgets.fold import Fold
from ..widgets.source_box import SourceBox
from ..widgets.tables.model import TableColumn
from ..widgets.tables.view import plain_table
from .clusters_window import ClustersWindow

PAIRINGS = {
    "": "As given by the source",
    "consecutive": "Each visit with the next",
    "all": "All with all",
    "template": "All with the template",
}
LISTED = 200  # pairs in the preview; more would block the interface
COLUMNS = (
    TableColumn("for", lambda listed: listed.purpose),
    TableColumn("fixed", lambda listed: name_of_source(listed.pair.fixed)),
    TableColumn("moving", lambda listed: name_of_source(listed.pair.moving)),
    TableColumn("patient", lambda listed: listed.pair.fixed_patient or ""),
)


@dataclass(frozen=True, eq=False)
class ListedPair:
    """A pair, and whether it is for training or validation."""

    pair: Pair
    purpose: str


class TrainSource(SourceBox):
    """A set of pairs for training: from disk, or from open layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Its images can be used.

    Attributes
    ----------
    layers : QCheckBox
        Whether open layers are used.
    pairing, template, pattern, validation : Choice, QLineEdit, QLineEdit, QLineEdit
        As `open_pairs` takes them.
    whole : PairSet or None
        All pairs found; `pairs` may be a cluster of them.
    clusters : ClustersWindow
        The window of its clusters.

    Signals
    -------
    each_requested(clusters)
        Train one model per cluster.
    """

    each_requested = Signal(object)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        for widget in (self.form.labelForField(self.side), self.side):
            if widget is not None:
                widget.hide()  # training uses both sides
        self.layers = QCheckBox("Use open layers")
        self.layers.setToolTip("Pair the images that are open in the viewer instead of files")
        self.form.insertRow(0, self.layers)
        self.pairing = Choice()
        for name, title in PAIRINGS.items():
            self.pairing.addItem(title, name)
        self.template = _line("a name or a file")
        self.pattern = _line("finds id, laterality, date in names")
        self.validation = _line("as given by the source, else 20 %")
        self.table = plain_table(COLUMNS, (64, 84, 84), lambda listed: listed.pair.name)
        self.table.setAccessibleName("Pairs")
        self.table.setToolTip("A row for each pair, with the set that it belongs to")
        body = QWidget()
        inside = QVBoxLayout(body)
        inside.setContentsMargins(0, 0, 0, 0)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, box, tip in (
            ("Pairing", self.pairing, "How the images of one folder, or the open layers, are paired"),
            ("Template", self.template, "The fixed image of all pairs"),
            (
                "Pattern",
                self.pattern,
                "A regular expression with the groups id, laterality and date",
            ),
            (
                "Validation",
                self.validation,
                "A fraction, such as 25 %, or a text file with names of pairs, images or patients",
            ),
        ):
            box.setToolTip(tip)
            form.addRow(heading(text, box, tip), box)
        inside.addLayout(form)
        inside.addWidget(self.table)
        self.table.hide()
        self.fold = Fold(
            "Pairing and validation", body, "How images are paired, and which pairs are for validation"
        )
        self.layout().addWidget(self.fold)  # type: ignore[union-attr]
        self.whole: PairSet | None = None
        self._subset = ""
        self.clusters = ClustersWindow(self)
        self.clusters_button = QPushButton("Clusters…")
        self.clusters_button.setToolTip("Find groups of similar images, and train on one of them")
        self.clusters_button.setEnabled(False)
        self.layout().addWidget(self.clusters_button)  # type: ignore[union-attr]
        self.clusters_button.clicked.connect(self._show_clusters)
        self.clusters.taken.connect(self._take)
        self.clusters.each_requested.connect(self.each_requested)
        self.layers.toggled.connect(self._switched)
        self.pairing.currentIndexChanged.connect(self.search)
        for line in (self.template, self.pattern, self.validation):
            line.editingFinished.connect(self._altered)
        self.changed.connect(self._list)
        self._seen = self._chosen()

    def missing(self) -> str:
        """What must be chosen before pairs can be found; empty if nothing."""
        if self.layers.isChecked():
            return "" if len(self._open()) > 1 else "Open at least two images, or choose a folder or a file."
        return super().missing()

    def opener(self) -> Callable[[], PairSet]:
        """The function that finds the pairs; it reads the layers' pixels when called."""
        snapshots = None
        if self.layers.isChecked():
            snapshots = [snapshot(layer, self._viewer) for layer in self._open()]
        return partial(_found, snapshots, self.source.path, self.moving.path, *self._chosen())

    def name(self) -> str:
        """A name for the pairs."""
        path = self.source.path
        name = "layers" if self.layers.isChecked() or path is None else path.stem
        return f"{name}-{self._subset}" if self._subset else name

    def limit(self, pairs: PairSet, subset: str = "") -> None:
        """Use only some of the pairs found, until the next search.

        Parameters
        ----------
        pairs : PairSet
        subset : str
            Their name; empty for all pairs.
        """
        self._subset = subset
        super()._found(pairs)
        if subset:
            self.sentence.say(f"{subset.capitalize()}: {self.sentence.text()}", "quiet")

    def stop(self) -> None:
        """Stop searching; uses nothing of Qt."""
        super().stop()
        self.clusters.stop()

    def hideEvent(self, event: Any) -> None:
        """Close the window of clusters with the viewer, not with the panel's tab."""
        super().hideEvent(event)
        window = self.window()
        if window is None or not window.isVisible():
            self.clusters.close()

    def _found(self, pairs: PairSet) -> None:
        self.whole = pairs
        self.limit(pairs)

    def _show_clusters(self) -> None:
        """Open the window, and search the pairs unless it already shows them."""
        if self.whole is not None and self.clusters.pairs is not self.whole:
            self.clusters.search(self.whole)
        self.clusters.show()
        self.clusters.raise_()

    def _take(self, cluster: Cluster | None) -> None:
        if self.whole is not None:
            whole, count = self.whole, len(self.clusters.clusters)
            subset = "" if cluster is None else f"cluster {cluster.number} of {count}"
            self.limit(whole if cluster is None else cluster.pairs, subset)

    def _open(self) -> list[ImageLayer]:
        """The images in the viewer, without result layers."""
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, ImageLayer) and "voxreg" not in layer.metadata
        ]

    def _chosen(self) -> tuple[str, ...]:
        lines = [line.text().strip() for line in (self.template, self.pattern, self.validation)]
        return (str(self.pairing.currentData()), *lines)

    def _switched(self, on: bool) -> None:
        for box in (self.source, self.moving):
            box.setEnabled(not on)
        self.search()

    def _altered(self) -> None:
        """Search again if a line was changed; leaving one unchanged ends its editing, too."""
        if self._chosen() != self._seen:
            self.search()

    def search(self) -> None:
        """Find the pairs off the main thread."""
        self._seen = self._chosen()
        self.whole, self._subset = None, ""
        try:
            super().search()
        except ValueError as error:  # a layer that cannot be used
            self._failed(error)

    def _list(self) -> None:
        """List the pairs."""
        found, table = self.pairs, self.table
        self.clusters_button.setEnabled(self.whole is not None)
        if self.whole is None or self.clusters.pairs is not self.whole:
            self.clusters.close()
        table.setVisible(found is not None)
        if found is None:
            table.contents.fill(COLUMNS, ())
            return
        training = {id(pair) for pair in found.training}
        table.contents.fill(
            COLUMNS,
            [
                ListedPair(pair, "training" if id(pair) in training else "validation")
                for pair in found.all[:LISTED]
            ],
        )
        more = f", the first {LISTED} shown" if len(found.all) > LISTED else ""
        self.fold.setText(f"Pairing and validation ({len(found.all)} pairs{more})")


def _found(
    snapshots: Sequence[LayerSnapshot] | None,
    source: Path | None,
    moving: Path | None,
    pairing: str,
    template: str,
    pattern: str,
    validation: str,
) -> PairSet:
    """The pairs; see `open_pairs`."""
    images: list[Image] | Path = Path() if source is None else source
    if snapshots is not None:
        images, moving = [shot.image() for shot in snapshots], None
    kind: Any = pairing or None
    return open_pairs(
        images,
        moving,
        pairing=kind,
        template=template or None,
        pattern=pattern or None,
        validation=_validation(validation),
    )


def _validation(text: str) -> float | Path | None:
    """A fraction ("25 %", "0.25"), or the path of a list."""
    if not text:
        return None
    number = text.removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        return Path(text)
    return value / 100 if text.endswith("%") else value


def _line(hint: str) -> QLineEdit:
    line = QLineEdit()
    line.setMinimumWidth(SLIM)
    line.setPlaceholderText(hint)
    line.setClearButtonEnabled(True)
    return line
