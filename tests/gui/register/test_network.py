"""What the panel offers for network methods: device, weights, and network details."""

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtWidgets import QPushButton
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image
from napari_voxreg.core.params import Params
from napari_voxreg.gui.layers.result_layers import Show, result_layers
from napari_voxreg.gui.layers.snapshots import snapshot
from napari_voxreg.gui.register.panel import RegisterWidget
from napari_voxreg.gui.train.options_form import OptionsForm
from napari_voxreg.gui.widgets import device_box
from napari_voxreg.gui.widgets.device_box import DeviceBox
from napari_voxreg.gui.widgets.method_box import MethodBox
from napari_voxreg.gui.widgets.parameters.file_box import FileBox
from napari_voxreg.gui.widgets.parameters.form import ParamsForm
from napari_voxreg.methods import METHODS
from napari_voxreg.methods.base import Method, Outcome
from napari_voxreg.methods.networks.voxelmorph import VoxelMorphParams
from napari_voxreg.tensor.device import available

pytestmark = pytest.mark.usefixtures("warm_child")


@pytest.fixture
def computing(monkeypatch):
    """A method that can compute anywhere, and the devices it was given."""
    devices = []

    def run(task, params, progress):
        devices.append(task.device)
        return Outcome(Affine.identity(2))

    method = Method("anywhere", "Any", Params, run, {"x": {}}, "affine", device=True)
    monkeypatch.setitem(METHODS, "anywhere", method)
    return devices


def test_the_device_is_offered_where_there_is_a_choice(computing, qtbot):
    box = MethodBox()
    qtbot.addWidget(box)
    box.show()
    box.choose("anywhere")
    assert box.device_box.isVisible()
    box.choose_device("cuda")
    assert box.device == "cuda"
    box.choose("affine")
    assert not box.device_box.isVisible()
    assert box.device == "auto"
    box.choose("anywhere")
    assert box.device == "cuda"
    again = MethodBox()
    qtbot.addWidget(again)
    again.restore(box.kept())
    assert (again.method, again.device) == ("anywhere", "cuda")


def test_the_chosen_device_reaches_the_method(viewer, computing, qtbot):
    image = gaussian_filter(np.random.default_rng(0).random((40, 50)), 2)
    viewer.add_image(image, name="a")
    viewer.add_image(image[::-1], name="b")
    panel = RegisterWidget(viewer)
    viewer.window.add_dock_widget(panel, name="Register")
    panel.method.choose("anywhere")
    panel.method.choose_device("cpu")
    with qtbot.waitSignal(panel.finished, timeout=60_000):
        panel.bar.button.click()
    panel.bar.compare.choose(("anywhere",))
    with qtbot.waitSignal(panel.compared, timeout=60_000):
        panel.compare()
    assert computing == ["cpu", "cpu"]
    # A device that only a program can choose here is refused before the method runs.
    panel.method.choose_device("cuda:77")
    with qtbot.waitSignal(panel.failed, timeout=60_000) as blocker:
        panel.bar.button.click()
    assert blocker.args[0].startswith("There is no ")
    assert computing == ["cpu", "cpu"]


@pytest.fixture
def unknown_devices(monkeypatch):
    """As if no panel had queried the devices yet."""
    monkeypatch.setattr(device_box, "_known", None)


def test_only_devices_that_are_there_are_offered(unknown_devices, qtbot):
    box = MethodBox()
    qtbot.addWidget(box)
    box.choose("pose")
    assert box.device_box.devices == ("auto", "cpu")
    with qtbot.waitSignal(box.device_box.offered, timeout=60_000) as blocker:
        box.show()
    assert blocker.args[0] == box.device_box.devices == available()
    again = DeviceBox()  # known devices are not queried again
    qtbot.addWidget(again)
    with qtbot.assertNotEmitted(again.offered, wait=500):
        again.show()
    assert again.devices == available()


def test_gpus_are_offered_and_a_choice_made_before_stays(unknown_devices, qtbot, monkeypatch):
    there = ("auto", "cpu", "cuda", "cuda:1")
    monkeypatch.setattr(device_box.process, "call", lambda function, progress: there)
    box, narrow = DeviceBox(), DeviceBox(among=("auto", "cpu", "cuda"))
    box.choose("cuda:1")
    changes = []
    box.currentIndexChanged.connect(changes.append)
    for one in (box, narrow):
        qtbot.addWidget(one)
        one.show()
    qtbot.waitUntil(lambda: box.devices == there and narrow.devices == there[:3], timeout=10_000)
    assert (box.device, narrow.device, changes) == ("cuda:1", "auto", [])
    assert [box.itemText(k) for k in range(4)] == ["Auto", "CPU", "GPU (CUDA)", "GPU (CUDA:1)"]


def test_a_training_offers_the_same_devices(unknown_devices, qtbot):
    form = OptionsForm()
    qtbot.addWidget(form)
    box = form.findChild(DeviceBox, "device")
    assert box.devices == ("auto", "cpu")
    box.choose("cpu")
    assert form.options().device == "cpu"


def test_weights_are_described_when_they_are_chosen(qtbot, tmp_path):
    form = ParamsForm()
    qtbot.addWidget(form)
    form.set_up(VoxelMorphParams())
    form.show()
    box = form.findChild(FileBox, "weights")
    assert [b.text() for b in box.findChildren(QPushButton)] == ["Load…", "Runs"]
    assert not box._sentence.isVisible()
    with qtbot.waitSignals([form.changed, box.described], timeout=60_000) as blocker:
        box.choose(tmp_path / "no.safetensors")
    assert blocker.all_signals_and_args[-1].args[0].startswith("There are no weights at ")
    assert box._sentence.isVisible()
    assert form.values()["weights"] == tmp_path / "no.safetensors"
    with qtbot.waitSignal(form.changed):
        box._line.clear()
    assert form.values()["weights"] is None
    assert not box._sentence.isVisible()


def test_the_file_dialog_offers_weights(qtbot, monkeypatch, tmp_path):
    from napari_voxreg.gui.widgets.parameters import file_box as files

    requested = []

    def choose(parent, title, start, kinds):
        requested.append(kinds)
        return str(tmp_path / "mine.h5"), kinds

    monkeypatch.setattr(files.QFileDialog, "getOpenFileName", choose)
    box = FileBox(None, (".pt", ".h5"))
    qtbot.addWidget(box)
    with qtbot.waitSignal(box.changed):
        box.findChild(QPushButton).click()
    assert box.path == tmp_path / "mine.h5"
    assert requested == ["Files (*.pt *.h5);;All files (*)"]


@pytest.mark.parametrize("ndim", [2, 3])
def test_network_details_become_layers_on_the_fixed_image(viewer, ndim, result_of):
    shape = (40, 56, 48)[:ndim]
    data = gaussian_filter(np.random.default_rng(0).random(shape), 2).astype(np.float32)
    scale = (2.0, 1.0, 0.5)[:ndim]
    fixed, moving = (viewer.add_image(data, name=n, scale=scale, units="mm") for n in ("fixed", "moving"))
    shots = snapshot(fixed, viewer), snapshot(moving, viewer)
    grid = shots[0].grid()
    coarse = Grid.from_spacing((12,) * ndim, (8.0, 5.0, 2.2)[:ndim], units="mm")
    velocity = np.zeros((*coarse.shape, ndim), np.float32)
    velocity[..., :2] = (3.0, 4.0)
    step = Affine.translation((2.0, 3.0, 0.5)[:ndim])
    extras = {
        "step 1": step,
        "velocity": Image(velocity, coarse),
        "saliency": Image(np.full(coarse.shape, 0.25, np.float32), coarse),
    }
    result = replace(result_of(shots[0].image(), shots[1].image(), Affine.identity(ndim)), extras=extras)
    none = result_layers(result, *shots, show=Show(arrows=False, ssim=False))
    assert len(none) == 1
    shown = result_layers(result, *shots, show=Show(arrows=False, ssim=False, extras=True))
    layers = [viewer.add_layer(Layer.create(*layer)) for layer in shown]
    step, flow, salient, warped = layers
    assert [layer.name for layer in layers] == [
        "moving > fixed step 1", "moving > fixed velocity (mm)", "moving > fixed saliency", "moving > fixed",
    ]  # fmt: skip
    assert [layer.visible for layer in layers] == [False, False, False, True]
    assert all(layer.data.shape == grid.shape and np.allclose(layer.scale, scale) for layer in layers)
    inner = (slice(1, 30),) * ndim
    assert np.allclose(flow.data[inner], 5.0, atol=1e-4)
    assert flow.contrast_limits == [0, 5]
    assert np.allclose(salient.data[inner], 0.25)
    # One pixel along the first axis is 2 mm, three along the second and one along the third are the rest.
    assert np.allclose(
        step.data[inner], data[tuple(slice(1 + k, 30 + k) for k in (1, 3, 1)[:ndim])], atol=1e-3
    )
    assert np.array_equal(warped.data, data)
