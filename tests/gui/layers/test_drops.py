"""What a drop on the real viewer does, kind by kind; docs/formats.md says the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import imageio.v3 as iio
import nibabel
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
from napari_voxreg.io.points import PointFile, write_points
from napari_voxreg.samples import make_sample

GRID = Grid.from_spacing((5, 24, 20), (3.0, 1.5, 2.0), (10.0, -20.0, 30.0), units="millimeter")
VOLUME = Image(np.arange(5 * 24 * 20, dtype=np.int16).reshape(5, 24, 20), GRID)
PIXELS = np.random.default_rng(0).integers(0, 255, (24, 20), dtype=np.uint8)


class Prompts:
    """Watches for napari's prompt for a reader, records it and answers it."""

    def __init__(self, reader: str | None) -> None:
        self.shown: list[list[str]] = []
        self.offered = ""
        self._reader = reader
        self.timer = QTimer()
        self.timer.timeout.connect(self._poll)
        self.timer.start(50)

    def _poll(self) -> None:
        for window in QApplication.topLevelWidgets():
            if isinstance(window, QDialog) and window.isVisible() and window.windowTitle() == "Choose reader":
                buttons = window.findChildren(QRadioButton)
                self.shown.append([button.text() for button in buttons])
                self.offered = next(button.text() for button in buttons if button.isChecked())
                if self._reader is None:
                    window.reject()
                else:
                    next(button for button in buttons if button.text() == self._reader).click()
                    window.accept()


@pytest.fixture
def watch(qapp) -> Iterator[Callable[..., Prompts]]:
    """Watch for prompts: watch("VoxReg") chooses that reader, watch() cancels."""
    started: list[Prompts] = []

    def start(reader: str | None = None) -> Prompts:
        started.append(Prompts(reader))
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
        plane = sitk.Cast(sitk.GetImageFromArray(PIXELS[None]), sitk.sitkInt16)
        plane.SetSpacing((2.0, 1.5, 1.0))
        sitk.WriteImage(plane, str(path))
    elif kind in ("png", "jpg"):
        iio.imwrite(path, PIXELS)
    elif kind == "tif":
        tifffile.imwrite(path, PIXELS)
    elif kind == "ome.tif":
        tifffile.imwrite(path, PIXELS, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    elif kind == "geotiff":
        write_image(make_sample("sar").fixed, folder / "a.tif").replace(path)
    elif kind == "map.tif":
        write_image(make_sample("sar").fixed, path)
    else:
        write_image(VOLUME, path)
    return path


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "nrrd", "mha", "dcm"])
def test_medical_files_prompt_once_with_the_right_reader_selected(viewer, watch, tmp_path, kind):
    prompts = watch("VoxReg")
    drop(make(tmp_path, kind))
    # napari itself claims these extensions, and would open them without spacing, origin and unit.
    assert prompts.shown == [["VoxReg", "napari builtins"]]
    assert prompts.offered == "VoxReg"
    (layer,) = viewer.layers
    spacing, origin = ((1.0, 1.5, 2.0), (0, 0, 0)) if kind == "dcm" else (GRID.spacing, GRID.origin)
    assert np.allclose(layer.scale, spacing)
    assert np.allclose(layer.translate, origin)
    assert {str(unit) for unit in layer.units} == {"millimeter"}


def test_a_preference_ends_the_prompt(viewer, watch, tmp_path):
    from napari.settings import get_settings

    get_settings().plugins.extension2reader = {"*.mha": "napari-voxreg"}
    prompts = watch()
    drop(make(tmp_path, "mha"))
    assert prompts.shown == []
    assert np.allclose(viewer.layers[0].scale, GRID.spacing)


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "ome.tif"])
def test_photos_and_plain_tiff_open_without_a_prompt(viewer, watch, tmp_path, kind):
    prompts = watch()
    drop(make(tmp_path, kind))
    assert prompts.shown == []
    (layer,) = viewer.layers
    assert layer.data.shape == PIXELS.shape
    assert layer.source.reader_plugin == "napari"


def test_a_map_as_tif_is_left_to_napari(viewer, watch, tmp_path):
    prompts = watch()
    drop(make(tmp_path, "map.tif"))
    assert prompts.shown == []
    assert viewer.layers[0].source.reader_plugin == "napari"


def test_an_extension_unknown_to_napari_opens_without_a_prompt(viewer, watch, tmp_path):
    prompts = watch()
    drop(make(tmp_path, "dcm").rename(tmp_path / "a.ima"))
    assert prompts.shown == []
    assert np.allclose(viewer.layers[0].scale, (1.0, 1.5, 2.0))


@pytest.mark.parametrize("kind", ["fcsv", "mrk.json"])
def test_points_of_slicer_open_with_their_labels_without_a_prompt(viewer, watch, tmp_path, kind):
    viewer.add_image(VOLUME.data, scale=GRID.spacing, translate=GRID.origin, units="mm")
    prompts = watch()
    places = GRID.to_world([[1, 2, 3], [4, 5, 6]])
    drop(write_points(PointFile(places, ("nasion", "inion"), "millimeter"), tmp_path / f"a.{kind}"))
    assert prompts.shown == []
    layer = viewer.layers["a"]
    assert np.allclose(layer.data, places)
    assert layer.features["label"].tolist() == layer.text.values.tolist() == ["nasion", "inion"]
    assert {str(unit) for unit in layer.units} == {"millimeter"}


def test_volumes_of_freesurfer_open_without_a_prompt(viewer, watch, tmp_path):
    path = tmp_path / "a.mgz"
    nibabel.MGHImage(VOLUME.data.T, np.diag([2.0, 1.5, 3.0, 1.0])).to_filename(path)
    prompts = watch()
    drop(path)
    assert prompts.shown == []
    (layer,) = viewer.layers
    assert np.allclose(layer.scale, GRID.spacing) and {str(unit) for unit in layer.units} == {"millimeter"}


def test_geotiff_under_its_own_name_opens_in_decibel_without_a_prompt(viewer, watch, tmp_path):
    prompts = watch()
    drop(make(tmp_path, "geotiff"))
    assert prompts.shown == []
    (layer,) = viewer.layers
    assert layer.name == "a (dB)"
    assert np.allclose(layer.scale, 10.0)
    assert {str(unit) for unit in layer.units} == {"meter"}
    assert np.array_equal(layer.metadata["linear"], make_sample("sar").fixed.data)


@pytest.mark.parametrize("kind", ["png", "dcm"])
def test_a_folder_is_left_to_napari(viewer, watch, tmp_path, kind):
    for k in range(3):
        make(tmp_path, kind).rename(tmp_path / f"{k}.{kind}")
    prompts = watch()
    drop(tmp_path)
    assert prompts.shown == []
    assert viewer.layers[0].data.shape == (3, *PIXELS.shape)


def panel_in(viewer, qtbot) -> list[list[Path]]:
    """Open a panel that takes drops; they are collected in the list."""
    panel, taken = QWidget(), []
    CanvasDrops(panel, taken.append)
    viewer.window.add_dock_widget(panel, name="panel")
    qtbot.waitUntil(panel.isVisible, timeout=20_000)
    return taken


@pytest.mark.parametrize("kind", ["nii.gz", "mha", "map.tif", "folder", "bare folder"])
def test_with_a_panel_open_files_with_geometry_go_to_it_unprompted(viewer, qtbot, watch, tmp_path, kind):
    taken = panel_in(viewer, qtbot)
    prompts = watch()
    path = make(tmp_path, "dcm").parent if "folder" in kind else make(tmp_path, kind)
    if kind == "bare folder":  # as scanners name them
        (path / "a.dcm").rename(path / "IM0001")
    drop(path)
    assert prompts.shown == []
    assert taken == [[path]]
    assert len(viewer.layers) == 0
    # Without the panel napari handles drops as usual.
    viewer.window.remove_dock_widget("all")
    drop(make(tmp_path, "png"))
    assert len(viewer.layers) == 1


def test_with_a_panel_open_tables_of_points_go_to_it_but_for_those_of_napari(viewer, qtbot, watch, tmp_path):
    taken = panel_in(viewer, qtbot)
    prompts = watch()
    tables = {
        "bigwarp.csv": '"Pt-0","true","1","2","3","4"\n',
        "pairs.csv": "fixed x,fixed y,moving x,moving y\n1,2,3,4\n",
        "ants.csv": "x,y,z,t\n1,2,3,0\n",
        "napari.csv": "index,axis-0,axis-1\n0,1,2\n",
    }
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
        drop(tmp_path / name)
    assert prompts.shown == []
    assert taken == [[tmp_path / name] for name in ("bigwarp.csv", "pairs.csv", "ants.csv")]
    assert [layer.source.reader_plugin for layer in viewer.layers] == ["napari"]


def test_with_a_panel_open_photos_still_go_to_napari(viewer, qtbot, watch, tmp_path):
    taken = panel_in(viewer, qtbot)
    prompts = watch()
    for kind in ("png", "tif", "ome.tif"):
        drop(make(tmp_path, kind))
    assert (prompts.shown, taken) == ([], [])
    assert [layer.source.reader_plugin for layer in viewer.layers] == ["napari"] * 3


def test_a_damaged_file_is_reported_in_a_sentence(viewer, watch, tmp_path):
    path = make(tmp_path, "nii.gz")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="damaged or cut off"):
        viewer.open(path, plugin="napari-voxreg")
    assert len(viewer.layers) == 0
