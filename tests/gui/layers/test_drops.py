"""What a drop on the real viewer does, kind by kind; docs/formats.md says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QDialog, QRadioButton, QWidget

from napari_voxreg import Grid, Image
from napari_voxreg.gui.layers.canvas_drops import CanvasDrops
from napari_voxreg.io.images import write_image
from napari_voxreg.samples import make_sample

GRID = Grid.from_spacing((5, 24, 20), (3.0, 1.5, 2.0), (10.0, -20.0, 30.0), units="millimeter")
VOLUME = Image(np.arange(5 * 24 * 20, dtype=np.int16).reshape(5, 24, 20), GRID)
PICTURE = np.random.default_rng(0).integers(0, 255, (24, 20), dtype=np.uint8)


class Questions:
    """Looks out for napari's question which reader to take, notes it and answers it."""

    def __init__(self, answer: str | None) -> None:
        self.asked: list[list[str]] = []
        self.offered = ""
        self._answer = answer
        self.timer = QTimer()
        self.timer.timeout.connect(self._look)
        self.timer.start(50)

    def _look(self) -> None:
        for window in QApplication.topLevelWidgets():
            if isinstance(window, QDialog) and window.isVisible() and window.windowTitle() == "Choose reader":
                buttons = window.findChildren(QRadioButton)
                self.asked.append([button.text() for button in buttons])
                self.offered = next(button.text() for button in buttons if button.isChecked())
                if self._answer is None:
                    window.reject()
                else:
                    next(button for button in buttons if button.text() == self._answer).click()
                    window.accept()


@pytest.fixture
def watch(qapp) -> Iterator[Callable[..., Questions]]:
    """Look out for questions: watch("VoxReg") answers so, watch() gives none."""
    started: list[Questions] = []

    def start(answer: str | None = None) -> Questions:
        started.append(Questions(answer))
        return started[-1]

    yield start
    for one in started:
        one.timer.stop()


def drop(*paths: Path) -> None:
    """Drop files in the middle of the canvas, as the window system does."""
    shown = (widget for widget in QApplication.allWidgets() if widget.isVisible())
    (target,) = (widget for widget in shown if type(widget).__name__ == "QtViewer")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    keys = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(target, QDragEnterEvent(QPoint(50, 50), *keys))
    QApplication.sendEvent(target, QDropEvent(QPointF(50, 50), *keys))


def make(folder: Path, kind: str) -> Path:
    """A file of a kind; its name is a.KIND."""
    path = folder / f"a.{kind}"
    if kind == "dcm":
        plane = sitk.Cast(sitk.GetImageFromArray(PICTURE[None]), sitk.sitkInt16)
        plane.SetSpacing((2.0, 1.5, 1.0))
        sitk.WriteImage(plane, str(path))
    elif kind in ("png", "jpg"):
        iio.imwrite(path, PICTURE)
    elif kind == "tif":
        tifffile.imwrite(path, PICTURE)
    elif kind == "ome.tif":
        tifffile.imwrite(path, PICTURE, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    elif kind == "geotiff":
        write_image(make_sample("sar").fixed, folder / "a.tif").replace(path)
    elif kind == "map.tif":
        write_image(make_sample("sar").fixed, path)
    else:
        write_image(VOLUME, path)
    return path


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "nrrd", "mha", "dcm"])
def test_medical_files_are_asked_about_once_with_the_right_answer_ready(viewer, watch, tmp_path, kind):
    questions = watch("VoxReg")
    drop(make(tmp_path, kind))
    # napari itself claims these endings, and would open them without spacing, origin and unit.
    assert questions.asked == [["VoxReg", "napari builtins"]]
    assert questions.offered == "VoxReg"
    (layer,) = viewer.layers
    spacing, origin = ((1.0, 1.5, 2.0), (0, 0, 0)) if kind == "dcm" else (GRID.spacing, GRID.origin)
    assert np.allclose(layer.scale, spacing)
    assert np.allclose(layer.translate, origin)
    assert {str(unit) for unit in layer.units} == {"millimeter"}


def test_a_preference_ends_the_question(viewer, watch, tmp_path):
    from napari.settings import get_settings

    get_settings().plugins.extension2reader = {"*.mha": "napari-voxreg"}
    questions = watch()
    drop(make(tmp_path, "mha"))
    assert questions.asked == []
    assert np.allclose(viewer.layers[0].scale, GRID.spacing)


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "ome.tif"])
def test_pictures_and_plain_tiff_open_without_a_question(viewer, watch, tmp_path, kind):
    questions = watch()
    drop(make(tmp_path, kind))
    assert questions.asked == []
    (layer,) = viewer.layers
    assert layer.data.shape == PICTURE.shape
    assert layer.source.reader_plugin == "napari"


def test_a_map_as_tif_is_left_to_napari(viewer, watch, tmp_path):
    questions = watch()
    drop(make(tmp_path, "map.tif"))
    assert questions.asked == []
    assert viewer.layers[0].source.reader_plugin == "napari"


def test_an_ending_that_napari_does_not_know_opens_without_a_question(viewer, watch, tmp_path):
    questions = watch()
    drop(make(tmp_path, "dcm").rename(tmp_path / "a.ima"))
    assert questions.asked == []
    assert np.allclose(viewer.layers[0].scale, (1.0, 1.5, 2.0))


def test_geotiff_under_its_own_name_opens_in_decibel_without_a_question(viewer, watch, tmp_path):
    questions = watch()
    drop(make(tmp_path, "geotiff"))
    assert questions.asked == []
    (layer,) = viewer.layers
    assert layer.name == "a (dB)"
    assert np.allclose(layer.scale, 10.0)
    assert {str(unit) for unit in layer.units} == {"meter"}
    assert np.array_equal(layer.metadata["linear"], make_sample("sar").fixed.data)


@pytest.mark.parametrize("kind", ["png", "dcm"])
def test_a_folder_is_left_to_napari(viewer, watch, tmp_path, kind):
    for k in range(3):
        make(tmp_path, kind).rename(tmp_path / f"{k}.{kind}")
    questions = watch()
    drop(tmp_path)
    assert questions.asked == []
    assert viewer.layers[0].data.shape == (3, *PICTURE.shape)


def panel_in(viewer, qtbot) -> list[list[Path]]:
    """Open a panel that takes drops; the list fills with them."""
    panel, taken = QWidget(), []
    CanvasDrops(panel, taken.append)
    viewer.window.add_dock_widget(panel, name="panel")
    qtbot.waitUntil(panel.isVisible)
    return taken


@pytest.mark.parametrize("kind", ["nii.gz", "mha", "map.tif", "folder", "bare folder"])
def test_with_a_panel_open_what_carries_geometry_comes_to_it_unasked(viewer, qtbot, watch, tmp_path, kind):
    taken = panel_in(viewer, qtbot)
    questions = watch()
    path = make(tmp_path, "dcm").parent if "folder" in kind else make(tmp_path, kind)
    if kind == "bare folder":  # as scanners name them
        (path / "a.dcm").rename(path / "IM0001")
    drop(path)
    assert questions.asked == []
    assert taken == [[path]]
    assert len(viewer.layers) == 0
    # Once the panel is gone napari does as ever.
    viewer.window.remove_dock_widget("all")
    drop(make(tmp_path, "png"))
    assert len(viewer.layers) == 1


def test_with_a_panel_open_pictures_still_go_to_napari(viewer, qtbot, watch, tmp_path):
    taken = panel_in(viewer, qtbot)
    questions = watch()
    for kind in ("png", "tif", "ome.tif"):
        drop(make(tmp_path, kind))
    assert (questions.asked, taken) == ([], [])
    assert [layer.source.reader_plugin for layer in viewer.layers] == ["napari"] * 3


def test_a_damaged_file_is_said_in_a_sentence(viewer, watch, tmp_path):
    path = make(tmp_path, "nii.gz")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="damaged or cut off"):
        viewer.open(path, plugin="napari-voxreg")
    assert len(viewer.layers) == 0
