"""An initial transform of the Register panel belongs to its pair, as a verdict does."""

import numpy as np
import pytest

from napari_voxreg import Affine
from napari_voxreg.core.progress import silent
from napari_voxreg.gui.layers.snapshots import snapshot
from napari_voxreg.gui.register.checks import chosen_in
from napari_voxreg.gui.register.panel import RegisterWidget
from napari_voxreg.gui.session.chosen import Chosen, Fitted

pytestmark = pytest.mark.usefixtures("warm_child")

TITLE = "affine fit to 5 landmarks"


@pytest.fixture
def panel(viewer):
    """The panel in its dock, with a pair that has an initial transform fitted to landmarks."""
    pair = add_pair(viewer, "mm")
    panel = RegisterWidget(viewer)
    viewer.window.add_dock_widget(panel, name="Register")
    panel.use_initial(fitted(viewer, pair[0]), pair)
    return panel


def add_pair(viewer, unit):
    rng = np.random.default_rng(0)
    return tuple(
        viewer.add_image(rng.random((20, 24), np.float32), name=f"{which} {unit}", units=unit)
        for which in ("fixed", "moving")
    )


def fitted(viewer, fixed):
    return Fitted(TITLE, Affine.translation((1.0, 2.0)), snapshot(fixed, viewer).grid())


def choose(panel, pair):
    panel.pair.fixed.choose(pair[0])
    panel.pair.moving.choose(pair[1])


def offered(panel):
    box = panel.initial.box
    return [box.itemText(row) for row in range(box.count())]


def test_a_fit_is_not_the_start_of_another_pair_and_comes_back_with_its_own(panel, viewer, tmp_path):
    first = list(viewer.layers)
    assert panel.initial_fold.text().endswith(TITLE)
    second = add_pair(viewer, "px")
    choose(panel, second)
    assert panel.initial.initial is None and panel.initial_fold.text().endswith("layer positions")
    assert TITLE not in offered(panel)
    panel.initial.choose("centres")  # a rule is for any pair
    choose(panel, first)
    assert panel.initial.title == TITLE and panel.initial.box.currentText() == TITLE
    assert chosen_in(viewer, panel.pair, panel.pixels, panel.initial).initial.title == TITLE
    choose(panel, second)
    panel.initial.choose_file(tmp_path / "transform.h5")
    choose(panel, first)
    assert panel.initial.title == TITLE
    choose(panel, second)
    assert panel.initial.initial == tmp_path / "transform.h5"


def test_a_fit_goes_with_its_layers(panel, viewer):
    viewer.layers.clear()
    assert panel.initial.initial is None
    add_pair(viewer, "px")
    assert panel.pair.fixed.layer.name == "fixed px" and panel.reason() == ""
    assert panel.initial.initial is None and TITLE not in offered(panel)


def test_a_fit_outlives_the_panel_with_its_pair_alone(panel, viewer):
    first = list(viewer.layers)
    viewer.window.remove_dock_widget(panel)
    again = RegisterWidget(viewer)
    viewer.window.add_dock_widget(again, name="Register")
    assert again.initial.title == TITLE
    viewer.window.remove_dock_widget(again)
    for layer in first:
        viewer.layers.remove(layer)
    add_pair(viewer, "px")
    other = RegisterWidget(viewer)
    viewer.window.add_dock_widget(other, name="Register")
    assert other.initial.initial is None and TITLE not in offered(other)


def test_a_file_that_was_chosen_first_is_for_the_pair_that_comes(viewer, tmp_path):
    panel = RegisterWidget(viewer)
    viewer.window.add_dock_widget(panel, name="Register")
    panel.initial.choose_file(tmp_path / "transform.h5")
    add_pair(viewer, "mm")
    assert panel.pair.moving.layer is not None
    assert panel.initial.initial == tmp_path / "transform.h5"


def test_other_units_name_the_transform_and_the_remedy(viewer):
    meters, pixels = add_pair(viewer, "m"), add_pair(viewer, "px")
    taken = [snapshot(layer, viewer) for layer in pixels]
    chosen = Chosen(*taken, None, None, None, fitted(viewer, meters[0]), None, (0, 0))
    with pytest.raises(ValueError, match=r"^The initial transform \(affine fit to 5 landmarks\) is in meter"):
        chosen.inputs(silent)
    with pytest.raises(ValueError, match=r"choose another one under Initial transform, or give the layers"):
        chosen.inputs(silent)
