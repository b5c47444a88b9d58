"""The panels, each in a state that shows what it is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pairs
from stage import Stage

from napari_voxreg.core.geometry import Array
from napari_voxreg.io.points import PairFile, write_point_pairs
from napari_voxreg.samples import Sample, make_sample

PATIENCE = 1800.0  # seconds
PANELS = ("Register", "Results", "Landmarks", "Apply", "Cohort", "Train", "Evaluate")  # as in napari's menu
CROSSINGS = np.array(
    [(159, 263), (210, 404), (193, 543), (258, 383), (495, 455), (607, 397), (525, 147)], dtype=float
)  # where vessels of the fundus sample meet, (row, column)
LESION, MACULA = (430.0, 245.0), (350.0, 355.0)
CLICKED = 1.5  # pixels by which a click misses its place
COMPARED = ("translation", "affine", "diffeo", "flow", "elastix")
TRAINING = {
    "architecture": "pyramid",
    "start": "scratch",
    "loss": "end-point error",
    "learning_rate": 1e-3,
    "batch_size": 4,
    "size": 128,
    "flips": True,
    "epochs": 24,
    "show_every": 8,
    "workers": 0,
}
SEEN = 8  # epochs after which a training is photographed
OPENED = 2  # the image or pair of a table that is shown


def register(on: Stage, files: Path) -> Any:
    """Two images, ready to be registered."""
    _add_sample(on, "fundus")
    return on.panel("Register")


def registered(on: Stage, files: Path) -> Any:
    """The verdict, and the ways of comparing fixed and warped."""
    _add_sample(on, "fundus")
    return on.register()


def by_hand(on: Stage, files: Path) -> Any:
    """The moving image moved and rotated by hand."""
    _add_sample(on, "fundus")
    panel = on.panel("Register")
    panel.initial_fold.open = panel.initial.hand_fold.open = True
    hand = panel.initial.by_hand
    hand.step.setValue(10)
    hand.angle.setValue(4)
    hand.nudge("down", 1)
    hand.nudge("right", -1)
    hand.rotate(-1)
    on.viewer.reset_view(margin=0.02)
    return panel


def compared(on: Stage, files: Path) -> Any:
    """A table of methods on one pair."""
    _add_sample(on, "brain2d")
    panel = on.panel("Register")
    panel.bar.compare.choose(COMPARED)
    _until(on, panel.compared, panel.compare)
    on.settle()
    bar = panel.area.verticalScrollBar()
    bar.setValue(bar.maximum())
    return panel


def results(on: Stage, files: Path) -> Any:
    """Two runs, and how far the second one deforms."""
    _add_sample(on, "fundus")
    on.register("affine")
    panel = on.register()
    _show(on, panel, "magnitude", "displacement")
    return on.panel("Results")


def strain(on: Stage, files: Path) -> Any:
    """Strain of a deformation, with its histograms."""
    _add_sample(on, "brain2d")
    on.register("bspline")
    panel = on.panel("Results")
    _show(on, panel, "strain", "strain")
    panel.histograms.open = True
    on.settle(2)
    return panel


def _show(on: Stage, panel: Any, kind: str, word: str) -> None:
    """Check a box of a panel's `show_box`, and wait for the layer."""
    panel.show_box._boxes[kind].click()
    on.wait(lambda: any(word in layer.name for layer in on.viewer.layers))


def _add_sample(on: Stage, name: str) -> Sample:
    sample = make_sample(name)
    on.add_pair(sample.fixed, sample.moving)
    return sample


def landmarks(on: Stage, files: Path) -> Any:
    """Seven pairs of places in two photographs, and an affine fit to them."""
    sample = _add_sample(on, "fundus")
    panel = on.panel("Landmarks")
    missed = np.random.default_rng(0).normal(0, CLICKED, CROSSINGS.shape)
    found = PairFile(CROSSINGS, sample.truth(CROSSINGS) + missed)
    panel.files.dropped([write_point_pairs(found, files / "landmarks.csv")])
    panel.fit_box.choose("affine")
    panel.previewing.setChecked(True)
    on.wait(lambda: "left out in turn" in panel.sentence.text())
    on.viewer.reset_view(margin=0.02)
    return panel


def apply(on: Stage, files: Path) -> Any:
    """A result applied to points and outlines of the moving image."""
    sample = _add_sample(on, "fundus")
    on.register("pose")
    drawn = _drawn(on, sample)
    panel = on.panel("Apply")
    panel.targets.check(drawn)
    _until(on, panel.finished, panel.run)
    for layer in drawn:
        layer.visible = False
    return panel


def _drawn(on: Stage, sample: Sample) -> list[Any]:
    """Points and shapes on the moving image."""
    places = sample.truth(CROSSINGS)
    points = on.viewer.add_points(places, name="vessel crossings", size=12, face_color="yellow")
    lesion = _circle(sample.truth(np.array([LESION]))[0], 35)
    macula = _circle(sample.truth(np.array([MACULA]))[0], 75)
    shapes = on.viewer.add_shapes(
        [lesion, macula],
        shape_type="polygon",
        name="regions",
        edge_color="lime",
        edge_width=3,
        face_color="transparent",
    )
    return [points, shapes]


def _circle(centre: Array, radius: float) -> Array:
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle: Array = centre + radius * np.column_stack([np.sin(angles), np.cos(angles)])
    return circle


def cohort(on: Stage, files: Path) -> Any:
    """Visits of one eye, one of them unusable and one damaged; a visit compared with the template."""
    from napari_voxreg.gui.cohort.inputs_box import COHORT, FILES

    pairs.write_visits(files / "visits")
    panel = on.panel("Cohort")
    panel.inputs.choose(COHORT, FILES, files / "visits")
    panel.options.choose_template("best")
    panel.options.group.editors["deform"].value = "none"
    on.wait(lambda: not panel.reason())
    panel.run()
    on.wait(lambda: not panel.busy, PATIENCE)
    _until(on, panel.opened, lambda: panel.open(OPENED))
    panel.inputs.path.line.setText("visits")
    on.settle()
    bar = panel.area.verticalScrollBar()
    bar.setValue(bar.maximum())
    return panel


def _on_chips(on: Stage, files: Path, **options: float) -> Any:
    """The Train panel with pairs of radar chips."""
    panel = on.panel("Train")
    pairs.write_chips(files / "chips")
    _choose_pairs(on, panel, files / "chips" / "pairs.csv")
    panel.options.choose(**TRAINING, **options)
    return panel


def train(on: Stage, files: Path) -> Any:
    """A training on radar chips after some epochs, with its example pair."""
    panel = _on_chips(on, files)
    panel.folder.choose(files / "runs")
    done: list[object] = []
    panel.runner.epoch_done.connect(done.append)
    panel.run()
    panel.folder.line.setText("runs")
    on.wait(lambda: len(done) >= SEEN and len(panel._example.layers) == 4, PATIENCE)
    on.viewer.reset_view(margin=0.02)
    return panel


def preview(on: Stage, files: Path) -> Any:
    """A pair as it is and augmented, before a training."""
    panel = _on_chips(on, files, rotation=20.0)
    _until(on, panel.previewed, panel.preview)
    on.settle()
    on.viewer.reset_view(margin=0.02)
    return panel


def clusters(on: Stage, files: Path) -> Any:
    """The window of clusters over pairs of three kinds, the second of which is chosen for training."""
    panel = on.panel("Train")
    pairs.write_kinds(files / "kinds")
    _choose_pairs(on, panel, files / "kinds" / "pairs.csv")
    window = panel.source.clusters
    _until(on, window.shown, panel.source.clusters_button.click)
    window.taken.emit(window.clusters[1])
    return window


def evaluate(on: Stage, files: Path) -> Any:
    """Visits of twelve people, registered; one pair is opened."""
    panel = on.panel("Evaluate")
    pairs.write_people(files / "visits")
    _choose_pairs(on, panel, files / "visits")
    panel.method.choose("diffeo")
    panel.run()
    on.wait(lambda: not panel.busy, PATIENCE)
    _until(on, panel.opened, lambda: panel.open(panel.table.rows[OPENED]))
    on.viewer.reset_view(margin=0.02)
    return panel


def _choose_pairs(on: Stage, panel: Any, path: Path) -> None:
    """Choose a source of pairs; the picture shows the end of its path."""
    panel.source.choose(path)
    on.wait(lambda: not panel.reason())
    panel.source.source.line.setText(f"{path.parent.name}/{path.name}" if path.is_file() else path.name)


def _until(on: Stage, signal: Any, do: Callable[[], object]) -> None:
    """Do something and wait for its signal."""
    came: list[object] = []
    signal.connect(lambda *values: came.append(values))
    do()
    on.wait(lambda: bool(came), PATIENCE)
