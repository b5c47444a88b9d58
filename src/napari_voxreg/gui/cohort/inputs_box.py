"""What is registered: the frames of a series, or the images of a cohort; of layers or of files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import napari.viewer
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLineEdit, QVBoxLayout, QWidget

from ...cohort.series import Frames
from ...core.progress import Progress
from ...io.pairs.values import plural
from ..background.worker import Runner
from ..layers.snapshots import CHANNELS
from ..widgets.combo_box import SLIM, Choice, heading
from ..widgets.layers.layer_box import LayerBox
from ..widgets.layers.layer_list import LayerList
from ..widgets.sentence import Sentence
from ..widgets.source_box import PathLine
from .sources import Files, Source, axes_of, first_axis, one_layer, several_layers

SERIES, COHORT = "Series (movie, stack)", "Cohort (many images)"
ONE, SEVERAL, FILES = "the frames of one layer", "several layers", "files"
GIVEN = "images of Evaluate"
LISTS = "Lists (*.txt *.csv);;All files (*)"


class InputsBox(QWidget):
    """Series or cohort, and where its images are.

    Attributes
    ----------
    kind, place : Choice
        Which of the two, and layers or files.
    layer, axis, list : LayerBox, Choice, LayerList
        The choices among layers.
    path, pattern : PathLine, QLineEdit
        Those of files.

    Signals
    -------
    changed()
        Something else was chosen, or its images were found.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._runner = Runner()
        self._count, self._failure = 0, ""
        self._given: tuple[Path, ...] = ()
        self._build()
        self.kind.activated.connect(self._turn)
        self.place.activated.connect(self._alter)
        self.layer.chosen.connect(self._offer_axes)
        self.axis.activated.connect(self.changed)
        self.list.altered.connect(self.changed)
        self.path.changed.connect(self.search)
        self.pattern.editingFinished.connect(self.search)
        self._turn()

    def _build(self) -> None:
        self.kind, self.place, self.axis = Choice(), Choice(), Choice()
        self.kind.addItems([SERIES, COHORT])
        self.layer = LayerBox((ImageLayer,), "choose a layer", "Movie or stack")
        self.list = LayerList("Layers that are registered", "Each checked image is registered")
        self.path = PathLine("Images", "a folder, a list, or names with *", LISTS)
        self.pattern = QLineEdit()
        self.pattern.setPlaceholderText("(?P<id>p\\d+)_(?P<laterality>[LR])_(?P<date>\\d+)")
        self.pattern.setMinimumWidth(SLIM)
        self.sentence = Sentence()
        self.sentence.hide()
        form = self.form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows = (
            ("What", self.kind, "Align the frames of a movie or a stack, or bring images onto one template"),
            ("From", self.place, "Layers of this viewer, or files"),
            ("Layer", self.layer, "The layer whose frames follow each other"),
            ("Axis", self.axis, "The axis along which the frames follow each other"),
            ("Layers", self.list, "Each checked image is registered; they are taken from bottom to top"),
            ("Images", self.path, "A folder, a list of paths (.txt, .csv), or file names with *"),
            (
                "Pattern",
                self.pattern,
                "Regular expression for file names: the groups id, laterality and date are read; images in "
                "whose names it is not found are left out. Without it, usual names are read",
            ),
        )
        for name, box, tip in rows:
            form.addRow(heading(name, box, tip), box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.sentence)

    # What is chosen -------------------------------------------------------------------------------------

    @property
    def cohort(self) -> bool:
        """Whether a cohort is chosen, and not a series."""
        return self.kind.currentText() == COHORT

    def source(self) -> Source:
        """What is chosen, taken from the layers as they are now.

        Raises
        ------
        ValueError
            In one sentence, if a layer cannot be registered.
        """
        place = self.place.currentText()
        if place == ONE:
            assert isinstance(self.layer.layer, ImageLayer)  # else there is a reason
            return one_layer(self.layer.layer, int(self.axis.currentData()), self._viewer)
        if place == SEVERAL:
            images = [layer for layer in self.list.layers if isinstance(layer, ImageLayer)]
            return several_layers(images, self._viewer)
        return self._files()

    def reason(self) -> str:
        """Why there is nothing to register; empty if there is."""
        place = self.place.currentText()
        if place == ONE:
            if self.layer.layer is None:
                return "Choose the layer of the movie or stack."
            return "" if self.axis.count() else "The layer has no frames; choose one with a time or z axis."
        if place == SEVERAL:
            return "" if len(self.list.layers) > 1 else "Check two layers or more."
        if place == FILES and self.path.path is None:
            return "Choose the images: a folder, a list, or names with *."
        if not self._count:
            return "Looking for images…" if self._runner.busy else self._failure
        return ""

    def choose(
        self, kind: str, place: str, path: Path | str | None = None, pattern: str | None = None
    ) -> None:
        """Choose as if the user had; `changed` follows."""
        self.kind.setCurrentText(kind)
        self._turn()
        self.place.setCurrentText(place)
        if path is not None:
            self.pattern.setText(pattern or "")
            self.path.choose(path)
        self._alter()

    def give(self, files: Sequence[Path]) -> None:
        """Choose a cohort of these files."""
        self._given = tuple(files)
        self.kind.setCurrentText(COHORT)
        self._turn()
        self.place.setCurrentIndex(self.place.count() - 1)
        self._alter()

    def kept(self) -> dict[str, Any]:
        """The choices, for `restore`."""
        return {
            "given": self._given,
            "kind": self.kind.currentText(),
            "place": self.place.currentIndex(),
            "path": self.path.line.text(),
            "pattern": self.pattern.text(),
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Restore earlier choices."""
        self._given = kept["given"]
        self.choose(kept["kind"], "", kept["path"], kept["pattern"])
        self.place.setCurrentIndex(kept["place"])
        self._alter()

    def stop(self) -> None:
        """Stop searching; uses nothing of Qt."""
        self._runner.cancel()

    def _files(self) -> Files:
        if self.place.currentText() not in (ONE, SEVERAL, FILES):
            return Files(self._given, True)
        path = self.path.path
        assert path is not None  # else there is a reason
        return Files(path, self.cohort, self.pattern.text().strip() or None if self.cohort else None)

    # The viewer's layers --------------------------------------------------------------------------------

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's images."""
        images = [layer for layer in layers if isinstance(layer, ImageLayer)]
        self.layer.offer(images)
        self.list.offer(images)
        movies = [layer for layer in images if layer.ndim > 2 and first_axis(layer) is not None]
        if self.layer.layer is None and len(movies) == 1:
            self.layer.choose(movies[0])
        self.changed.emit()

    def _offer_axes(self) -> None:
        layer = self.layer.layer
        chosen = self.axis.currentData()
        self.axis.clear()
        if isinstance(layer, ImageLayer) and first_axis(layer) is not None:
            for axis, title in axes_of(layer).items():
                self.axis.addItem(title, axis)
            again = self.axis.findData(chosen)
            self.axis.setCurrentIndex(again if again >= 0 else self.axis.findData(first_axis(layer)))
        self.search()

    # Rows -----------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Offer the places of a series or of a cohort."""
        before = self.place.currentText()
        places = [SEVERAL, FILES] if self.cohort else [ONE, SEVERAL, FILES]
        if self.cohort and self._given:
            places.append(f"{len(self._given)} {GIVEN}")
        self.place.clear()
        self.place.addItems(places)
        self.place.setCurrentText(before if before in places else places[-1 if self.cohort else 0])
        self._alter()

    def _alter(self) -> None:
        place = self.place.currentText()
        rows = {
            self.layer: place == ONE,
            self.axis: place == ONE,
            self.list: place == SEVERAL,
            self.path: place == FILES,
            self.pattern: place == FILES and self.cohort,
        }
        for box, shown in rows.items():
            label = self.form.labelForField(box)
            for widget in (box, label):
                if widget is not None:
                    widget.setVisible(shown)
        self.search()

    def search(self) -> None:
        """Find the files off the main thread: a folder may be remote."""
        self._count, self._failure = 0, ""
        self._runner.cancel()
        self.sentence.say("", "quiet")
        self._say_channel()
        layers = self.place.currentText() in (ONE, SEVERAL)
        if not layers and (self.place.currentText() != FILES or self.path.path is not None):
            files = self._files()

            def find(progress: Progress) -> Frames:
                return files.frames()

            self._runner.start(
                find,
                report=lambda report: None,
                done=self._found,
                failed=self._failed,
                warned=lambda text: None,
            )
        self.changed.emit()

    def _say_channel(self) -> None:
        """Say which channel of a layer drives, where it has several along an axis."""
        layer = self.layer.layer
        if self.place.currentText() != ONE or layer is None:
            return
        if any(str(label).strip().lower() in CHANNELS for label in layer.axis_labels):
            text = "The channel of the slider drives; all are aligned."
            self.sentence.say(text, "quiet")
            self.sentence.setToolTip("")

    def _found(self, frames: Frames) -> None:
        self._count = frames.count
        said = [parts for parts in frames.parts if parts.read]
        eyes = {(parts.patient, parts.laterality) for parts in said}
        text = f"{frames.count} {'images' if self.cohort else 'frames'}, {frames.grid.ndim}D."
        if len(eyes) > 1:
            patients = plural(len({patient for patient, _ in eyes}), "patient")
            text += f" By their names {patients}, {len(eyes)} sides in all; a pattern keeps one."
        self.sentence.say(text, "quiet")
        self.sentence.setToolTip("\n".join(frames.name(k) for k in range(min(frames.count, 40))))
        self.changed.emit()

    def _failed(self, error: Exception) -> None:
        self._failure = str(error).split("\n")[0]
        self.changed.emit()
