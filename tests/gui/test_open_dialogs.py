"""Folders of DICOM files and maps, opened by the menu with their geometry."""

from dataclasses import replace

import numpy as np
import SimpleITK as sitk
import tifffile
from napari._app_model import get_app_model
from napari.layers._source import layer_source
from napari.utils.notifications import notification_manager

from napari_voxreg import Grid, Image
from napari_voxreg.gui import open_dialogs
from napari_voxreg.gui.doors import open_panel
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


def write_slices(folder):
    """A volume as DICOM files, a slice each."""
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
        writer.SetFileName(str(folder / f"{k}.dcm"))
        writer.Execute(image)
    return volume


def write_map(path):
    """A map with coordinates."""
    grid = Grid.from_spacing((20, 30), 10.0, (-5_800_000.0, 400_000.0), units="meter")
    data = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    return write_image(Image(data, replace(grid, crs="EPSG:32633")), path)


def test_a_dicom_folder_keeps_its_geometry(viewer, qtbot, tmp_path, monkeypatch):
    volume = write_slices(tmp_path)
    choose(monkeypatch, folder=tmp_path)
    command("open_dicom_folder")
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=20_000)
    (layer,) = viewer.layers
    np.testing.assert_array_equal(layer.data, volume)
    np.testing.assert_allclose(layer.scale, (2.5, 0.75, 0.5))
    np.testing.assert_allclose(layer.translate, (10, 6, -4))
    assert {str(unit) for unit in layer.units} == {"millimeter"}


def test_a_map_keeps_its_geometry(viewer, qtbot, tmp_path, monkeypatch):
    write_map(tmp_path / "map.tif")
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


def test_what_napari_opens_without_its_geometry_is_told(viewer, qtbot, tmp_path):
    open_panel(viewer, "Results")
    said = []
    notification_manager.notification_ready.connect(lambda event: said.append(event.message))
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.zeros((8, 9), np.uint8))
    viewer.open(plain)
    assert said == []
    viewer.open(write_map(tmp_path / "map.tif"))
    assert said == [
        "map.tif was opened without its pixel size and position; "
        "File > IO Utilities > Open GeoTIFF keeps them."
    ]
    (tmp_path / "scan").mkdir()
    write_slices(tmp_path / "scan")
    with layer_source(path=str(tmp_path / "scan"), reader_plugin="napari"):
        viewer.add_image(np.zeros((3, 8, 10)))
    assert len(said) == 2 and said[1].startswith("scan was") and "Open DICOM folder keeps" in said[1]


def test_the_palette_offers_what_can_be_run(viewer):
    menus = get_app_model().menus
    listed = {item.command.id: item.command for item in menus.get_menu(menus.COMMAND_PALETTE_ID)}
    ours = {name: command for name, command in listed.items() if name.startswith("napari-voxreg")}
    assert len(ours) > 20 and not [one.title for one in ours.values() if "&" in one.title]
    for name in ("read", "write", "write_points"):  # napari gives these no path
        assert not ours[f"napari-voxreg.{name}"].enablement.eval({})
    assert ours["napari-voxreg.open_maps"].enablement is None
