"""What a file's reader has to say reaches the panel; maps of two systems do not get as far as a run."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_voxreg.gui.layers.readers import get_reader, read_layers
from napari_voxreg.gui.layers.snapshots import CRS, image_from_layer
from napari_voxreg.gui.register.panel import RegisterWidget

pytestmark = pytest.mark.usefixtures("warm_child")


@pytest.fixture
def contradicting(tmp_path):
    """A NIfTI file whose pixel sizes disagree."""
    scene = gaussian_filter(np.random.default_rng(0).random((24, 24, 24)), 2).astype(np.float32)
    image = nibabel.Nifti1Image(scene, None)
    image.set_sform(np.eye(4), 1)
    image.header.set_zooms((1.0, 1.0, 2.0))
    nibabel.save(image, tmp_path / "mr.nii")
    return tmp_path / "mr.nii"


NOTE = (
    "The header of mr.nii gives pixels of 1 x 1 x 1 in its sform and 1 x 1 x 2 in pixdim; the sform is used."
)


def test_a_note_is_shown_where_the_file_is_opened_and_with_the_verdict(viewer, qtbot, contradicting):
    panel = RegisterWidget(viewer)
    viewer.window.add_dock_widget(panel, name="Register")
    panel._files.open(panel.pair.fixed, [contradicting])
    qtbot.waitUntil(lambda: NOTE in panel.outcome.sentence.text(), timeout=60_000)
    fixed = viewer.layers["mr"]
    viewer.add_image(
        np.roll(fixed.data, 2, 0),
        name="later",
        scale=fixed.scale,
        translate=fixed.translate,
        units=fixed.units,
    )
    panel.pair.moving.choose(viewer.layers["later"])
    panel.method.choose("translation")
    with qtbot.waitSignal(panel.finished, timeout=60_000) as blocker:
        panel.run()
    assert blocker.args[0].notes.count(NOTE) == 1
    assert NOTE in panel.outcome.notes.text()
    assert not panel.outcome.notes.isHidden()


def test_a_note_is_a_warning_of_napari_where_its_menu_opens_the_file(contradicting):
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    get_reader(str(contradicting))(str(contradicting))
    assert [record.message for record in notification_manager.records] == [NOTE]
    notification_manager.records.clear()


def test_layers_of_two_systems_are_refused_in_the_panel(viewer, tmp_path):
    keys = [1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 2, 3072, 0, 1, 32633, 3076, 0, 1, 9001]
    for k, code in enumerate((32633, 32634)):
        keys[15] = code
        tags = [
            (33550, 12, 3, (10.0, 10.0, 0.0), True),
            (33922, 12, 6, (0.0, 0, 0, 5e5, 5e6, 0), True),
            (34735, 3, len(keys), tuple(keys), True),
        ]
        tifffile.imwrite(tmp_path / f"{k}.tif", np.eye(40, dtype=np.uint8), extratags=tags, metadata=None)
        for data, kwargs, _ in read_layers([tmp_path / f"{k}.tif"]):
            layer = viewer.add_image(data, **kwargs)
            assert layer.metadata[CRS] == image_from_layer(layer).grid.crs == f"EPSG:{code}"
    panel = RegisterWidget(viewer)
    viewer.window.add_dock_widget(panel, name="Register")
    panel.pair.fixed.choose(viewer.layers[0])
    panel.pair.moving.choose(viewer.layers[1])
    assert panel.reason().endswith("gdalwarp -t_srs EPSG:32633.")
    assert not panel.bar.button.isEnabled()
