"""Folders of DICOM files and maps, opened by the menu with their geometry."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
from napari._app_model import get_app_model
from napari.utils.notifications import notification_manager

from napari_voxreg import Grid, Image
from napari_voxreg.gui import open_dialogs
from napari_voxreg.io.images import write_image


def choose(monkeypatch, folder="", files=()):
    """What the dialogs answer."""
    dialog = open_dialogs.QFileDialog
    monkeypatch.setattr(dialog, "getExistingDirectory", lambda *args: str(folder))
    monkeypatch.setattr(dialog, "getOpenFileNames", lambda *args: (list(map(str, files)), ""))


def command(name):
    """An entry of File > IO Utilities, which the palette has as well."""
    app = get_app_model()
    entries = {item.command.id for item in app.menus.get_menu("napari/file/io_utilities")}
    assert f"napari-voxreg.{name}" in entries
    app.commands.execute_command(f"napari-voxreg.{name}").result()


def test_a_dicom_folder_keeps_its_geometry(viewer, qtbot, tmp_path, monkeypatch):
    volume = np.arange(3 * 8 * 10, dtype=np.int16).reshape(3, 8, 10)
    for k, plane in enumerate(volume):
        image = sitk.GetImageFromArray(plane[None])
        image.SetSpacing((0.5, 0.75, 2.5))
        image.SetOrigin((-4.0, 6.0, 10 + 2.5 * k))
        for tag, value in {
            "0008|0060": "MR",
            "0020|000e": "1.2.826.0.1.3680043.2.1125.7",
            "0020|0032": f"-4\\6\\{10 + 2.5 * k}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(k),
        }.items():
            image.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(tmp_path / f"{k}.dcm"))
        writer.Execute(image)
    choose(monkeypatch, folder=tmp_path)
    command("open_dicom_folder")
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20_000)
    (layer,) = viewer.layers
    np.testing.assert_array_equal(layer.data, volume)
    np.testing.assert_allclose(layer.scale, (2.5, 0.75, 0.5))
    np.testing.assert_allclose(layer.translate, (10, 6, -4))
    assert {str(unit) for unit in layer.units} == {"millimeter"}


def test_a_map_keeps_its_geometry(viewer, qtbot, tmp_path, monkeypatch):
    grid = Grid.from_spacing((20, 30), 10.0, (-5_800_000.0, 400_000.0), units="meter")
    grid = replace(grid, crs="EPSG:32633")
    data = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    write_image(Image(data, grid), tmp_path / "map.tif")
    choose(monkeypatch, files=[tmp_path / "map.tif"])
    command("open_maps")
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20_000)
    np.testing.assert_allclose(viewer.layers[0].scale, (10, 10))
    np.testing.assert_allclose(viewer.layers[0].translate, (-5_800_000, 400_000))


def test_a_folder_without_dicom_is_one_sentence(viewer, qtbot, tmp_path, monkeypatch):
    choose(monkeypatch)
    command("open_dicom_folder")  # nothing is chosen
    choose(monkeypatch, folder=tmp_path)
    said = []
    notification_manager.notification_ready.connect(lambda event: said.append(event.message))
    command("open_dicom_folder")
    qtbot.waitUntil(lambda: bool(said), timeout=20_000)
    assert "holds no DICOM files; give the folder with the slices." in said[0] and not len(viewer.layers)
