"""The place under the cursor: in the status bar, and on a second canvas."""

from weakref import ref

import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from qtpy.QtTest import QTest

from napari_voxreg.core.geometry import unit_factor
from napari_voxreg.gui.cursor.follower import follow_cursor
from napari_voxreg.gui.cursor.place import place_at
from napari_voxreg.gui.cursor.same_place import SamePlaceBox
from napari_voxreg.gui.layers.snapshots import snapshot
from napari_voxreg.gui.session.chosen import Chosen
from napari_voxreg.gui.session.state import Run, session_state
from napari_voxreg.transforms import Affine, Displacement


@pytest.fixture
def run_of(result_of):
    """Makes a run with this transform between two layers."""

    def make(fixed, moving, transform):
        pair = snapshot(fixed), snapshot(moving)
        chosen = Chosen(*pair, None, None, None, None, None, (0, 0))
        result = result_of(*(layer.image() for layer in pair), transform)
        return Run(1, result, chosen, ref(fixed), ref(moving))

    return make


def ramp(shape, **placed):
    return ImageLayer(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), **placed)


def test_units_pixels_jacobian_and_both_values(run_of):
    fixed = ramp((24, 32), scale=(0.5, 0.25), units="mm")
    moving = ramp((24, 32), scale=(500, 250), units="um", translate=(0, 500))
    matrix = np.array([[1.1, 0, 1.0], [0, 1, 1.0], [0, 0, 1]])
    place = place_at(run_of(fixed, moving, Affine(matrix)), (10.2, 12.0))
    # 5.1 mm is taken from 6.61, 3 from 4 mm; the moving layer's first column lies at 0.5 mm.
    np.testing.assert_allclose(place.displacement, (1.51, 1.0))
    np.testing.assert_allclose(place.pixels, (3.02, 4.0))
    np.testing.assert_allclose(place.there, (13.22, 14.0))
    assert place.determinant == pytest.approx(1.1)
    assert place.values == (fixed.data[10, 12], moving.data[13, 14])
    assert place.sentence == "(1.5, 1.0) mm = (3.0, 4.0) px, Jacobian 1.10, fixed 332, moving 430"


def test_a_field_a_plane_of_time_and_places_without_a_value(run_of):
    fixed = ramp((3, 20, 24), axis_labels=("time", "y", "x"))
    moving = ramp((1, 20, 24))  # a single slice
    grid = snapshot(fixed).grid()
    field = np.zeros((20, 24, 2))
    field[..., 1] = -0.25 * np.arange(24)
    run = run_of(fixed, moving, Displacement(field, grid))
    place = place_at(run, (0, 10, 8))
    np.testing.assert_allclose(place.there, (0, 10, 6), atol=1e-6)
    assert place.determinant == pytest.approx(0.75, abs=1e-4) and place.values[1] == moving.data[0, 10, 6]
    assert place_at(run, (0, 10, -1)) is None
    away = place_at(run_of(fixed, moving, Affine.translation((0, 20.0))), (0, 10, 8))
    assert away.values[1] is None and away.sentence.endswith("moving –")


def test_the_second_canvas_follows_the_cursor_and_its_cross_unchecks_the_box(viewer, qtbot, run_of):
    fixed, moving = viewer.add_layer(ramp((24, 32), name="f")), viewer.add_layer(ramp((24, 32), name="m"))
    state = session_state(viewer)
    box = SamePlaceBox(viewer, state)
    qtbot.addWidget(box)
    box.show()
    state.changed.emit()
    assert not box.isEnabled()
    run = run_of(fixed, moving, Affine.translation((2.0, -3.0)))
    state.keep(run)
    state.show(run)
    box.click()
    QTest.qWait(200)
    viewer.reset_view()
    viewer.cursor.position = (11.0, 14.0)  # not by the mouse: another window may lie over this one
    here = np.array(viewer.cursor.position)
    np.testing.assert_allclose(box.canvas.cross.data[:, 0], _starts(here))
    assert box._follower.label.text().startswith("(2.0, -3.0) px, Jacobian 1.00")
    assert box._follower.label.isVisible()
    assert np.shares_memory(box.canvas.model.layers[0].data, moving.data)

    viewer.window._wrapped_dock_widgets["Moving image, unregistered"].destroyOnClose()
    QTest.qWait(100)
    assert not box.isChecked() and box.canvas is None
    box.click()
    other = run_of(fixed, moving, Affine.translation((1.0, 0.0)))
    state.keep(other)
    state.show(other)  # told at once, though the mouse stays where it is
    assert box._follower.label.text().startswith("(1.0, 0.0) px, Jacobian 1.00")
    state.undo()
    assert box._follower.label.text().startswith("(2.0, -3.0) px, Jacobian 1.00")
    state.undo()  # the run is gone, and its canvas with it
    assert box.canvas is None and not box.isEnabled()
    assert not box._follower.label.isVisible()


def test_the_second_canvas_shows_the_slice_of_the_place_in_an_oblique_volume(viewer, qtbot, run_of):
    fixed = viewer.add_layer(ramp((10, 24, 32), scale=(2, 1, 1)))
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    tilted = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    moving = viewer.add_layer(ramp((12, 24, 32), scale=(2, 1, 1), rotate=tilted, translate=(4, 0, 0)))
    run = run_of(fixed, moving, Affine.identity(3))
    state = session_state(viewer)
    state.keep(run)
    state.show(run)
    box = SamePlaceBox(viewer, state)
    qtbot.addWidget(box)
    box.click()
    seen = set()
    for row in (6.0, 14.0):
        viewer.cursor.position = (12.0, row, 10.0)
        there = np.linalg.solve(tilted @ np.diag([2.0, 1, 1]), np.array([8.0, row, 10.0]))
        shown = box.canvas.model.layers[0]._slice.image.view
        np.testing.assert_array_equal(shown, moving.data[round(there[0])])
        assert len(box.canvas.cross._view_indices) == 2  # both lines are drawn in that slice
        np.testing.assert_allclose(box.canvas.cross.data[1, 0, :2], (there[0], there[1]))
        seen.add(round(there[0]))
    assert len(seen) == 2


def _starts(here):
    """Where the two lines of the cross begin: along rows and along columns through the place."""
    there = here + np.array([2.0, -3.0])
    return np.array([[-0.5, there[1]], [there[0], -0.5]])


def test_the_cursor_counts_in_the_units_of_the_viewer(viewer, run_of):
    fixed = viewer.add_layer(ramp((24, 32), scale=(500, 500), units="um"))
    moving = viewer.add_layer(ramp((24, 32), scale=(0.5, 0.5), units="mm"))
    state = session_state(viewer)
    run = run_of(fixed, moving, Affine.translation((1000.0, -500.0)))
    state.keep(run)
    state.show(run)
    follower = follow_cursor(viewer)
    factor = unit_factor("um", str(viewer.dims.units[-1]))
    viewer.cursor.position = (4000.0 * factor, 5000.0 * factor)  # the pixel (8, 10)
    assert follower.place.values[0] == fixed.data[8, 10]
    np.testing.assert_allclose(follower.place.there, (10, 9))
