"""Fixed and warped compared by eye, in a real viewer."""

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_voxreg.gui.layers.snapshots import snapshot
from napari_voxreg.gui.look.difference import Difference
from napari_voxreg.gui.look.look import (
    ABSOLUTE,
    CHECKERBOARD,
    FLICKERING,
    OVERLAY,
    SIGNED,
    SWIPED,
    Look,
    camera_of,
)
from napari_voxreg.gui.look.row import LookRow

SIDE = 64


def shown(viewer):
    """What the canvas shows: red, green and blue."""
    return viewer.screenshot(flash=False)[..., :3].astype(float)


def share(picture, colour):
    """The share of a colour among the pixels that are not black."""
    seen = picture.max(axis=-1) > 10
    return np.mean(np.abs(picture[seen] - colour).max(axis=-1) < 12)


def drag(viewer, start, stop):
    """Drag from one world column to another, in the middle row, with the mouse."""
    canvas = viewer.window._qt_viewer.canvas
    height, width = canvas.size

    def at(column):
        x = width / 2 + (column - camera_of(viewer).center[-1]) * camera_of(viewer).zoom
        return QPoint(round(x), round(height / 2))

    left = Qt.MouseButton.LeftButton
    QTest.mousePress(canvas.native, left, pos=at(start))
    for column in np.linspace(start, stop, 4):
        QTest.mouseMove(canvas.native, at(column))
        QTest.qWait(20)
    QTest.mouseRelease(canvas.native, left, pos=at(stop))


def test_every_way_to_compare_two_layers(viewer, qtbot):
    viewer.window.resize(640, 420)
    dark, bright = (np.full((SIDE, SIDE), value, np.float32) for value in (0.2, 0.8))
    place = {"scale": (2, 2), "contrast_limits": (0, 1)}
    fixed = viewer.add_image(dark, name="fixed", **place)
    other = viewer.add_image(bright, name="other", **place)
    warped = viewer.add_image(bright, name="warped", **place)
    qtbot.wait(200)  # until the canvas has its size
    viewer.reset_view()
    look = Look(viewer, None)
    row = LookRow(look)
    qtbot.addWidget(row)
    row.chosen.connect(lambda mode: look.show(mode, fixed, warped))

    row.buttons[OVERLAY].click()
    assert not other.visible and share(shown(viewer), (51, 204, 204)) > 0.95
    row.buttons[CHECKERBOARD].click()
    picture = shown(viewer)
    assert share(picture, 51) == pytest.approx(0.5, abs=0.03) == share(picture, 204)
    look.set(tiles=3)  # 5 of 9 tiles are those of the fixed image
    assert share(shown(viewer), 51) == pytest.approx(5 / 9, abs=0.03)
    row.slider.setValue(row.slider.minimum())
    assert look.tiles == 40 and row.label.text() == "Tiles: 40 across"

    row.buttons[SWIPED].click()
    assert share(shown(viewer), 51) == pytest.approx(0.5, abs=0.03)
    centre = tuple(camera_of(viewer).center)
    drag(viewer, SIDE - 1, 1.5 * SIDE)
    line = look.line
    assert line == pytest.approx(0.75, abs=0.04) == row.slider.value() / row.slider.maximum()
    assert share(shown(viewer), 51) == pytest.approx(line, abs=0.03)
    assert tuple(camera_of(viewer).center) == centre and camera_of(viewer).mouse_pan
    drag(viewer, 0.4 * SIDE, 0.6 * SIDE)  # away from the line napari's own mouse works
    assert look.line == line and tuple(camera_of(viewer).center) != centre

    row.buttons[FLICKERING].click()
    look.set(rate=8.0)
    seen = set()
    qtbot.waitUntil(lambda: seen.add(share(shown(viewer), 51) > 0.5) or len(seen) == 2, timeout=3000)

    row.buttons[SIGNED].click()
    assert look.mode == SIGNED and len(viewer.layers) == 4 and viewer.layers.selection.active is warped
    np.testing.assert_allclose(viewer.layers[-1].data[3:5, 2:9], -0.6, atol=1e-6)
    row.buttons[ABSOLUTE].click()
    assert len(viewer.layers) == 4 and viewer.layers.selection.active is warped  # only what is seen is there
    np.testing.assert_allclose(viewer.layers[-1].data[3:5, 2:9], 0.6, atol=1e-6)

    row.buttons[ABSOLUTE].click()  # once more: as they are
    assert len(viewer.layers) == 3 and other.visible and look.layers is None
    assert warped.blending == "translucent" and share(shown(viewer), 204) > 0.95
    assert fixed.data is dark and warped.data is bright  # nothing was copied
    row.buttons[SWIPED].click()
    viewer.layers.remove(warped)
    assert look.layers is None and look.mode == ""


def test_volumes_are_compared_in_slices_and_in_space(viewer, qtbot):
    viewer.window.resize(560, 300)  # volumes are drawn by the CPU here
    low, high = (np.full((8, 20, 20), value, np.float32) for value in (0.2, 0.8))
    fixed = viewer.add_image(low, contrast_limits=(0, 1))
    warped = viewer.add_image(high, contrast_limits=(0, 1))
    look = Look(viewer, None)
    look.show(CHECKERBOARD, fixed, warped)
    assert share(shown(viewer), 51) == pytest.approx(0.5, abs=0.05)
    viewer.dims.ndisplay = 3
    qtbot.wait(50)
    picture = shown(viewer)
    assert 0.3 < share(picture, 51) < 0.7 and 0.3 < share(picture, 204) < 0.7
    viewer.dims.ndisplay = 2
    look.show(OVERLAY, fixed, warped)
    assert share(shown(viewer), (51, 204, 204)) > 0.9


def test_a_volume_shows_its_difference_alone_and_both_signs(viewer, qtbot):
    viewer.window.resize(560, 300)  # volumes are drawn by the CPU here
    grey, other = (np.full((8, 20, 20), 0.5, np.float32) for _ in range(2))
    other[2:4, 4:16, 2:8], other[4:6, 4:16, 12:18] = 0.0, 1.0
    fixed, warped = (viewer.add_image(data, contrast_limits=(0, 1)) for data in (grey, other))
    viewer.dims.ndisplay = 3
    look = Look(viewer, None)
    ended = []
    look.ended.connect(lambda: ended.append(look.mode))

    def colours():
        """The shares of red, blue and grey on the canvas."""
        qtbot.wait(50)
        red, green, blue = np.moveaxis(shown(viewer), -1, 0)
        greyish = (np.abs(red - green) < 12) & (np.abs(green - blue) < 12) & (red > 40)
        return (red > blue + 60).mean(), (blue > red + 60).mean(), greyish.mean()

    look.show(SIGNED, fixed, warped)
    red, blue, greyish = colours()
    assert red > 0.05 and blue > 0.05 and greyish < 0.03  # the numbers of the colour bars
    look.show(ABSOLUTE, fixed, warped)
    red, blue, greyish = colours()
    assert red > 0.05 and greyish < 0.03 and len(viewer.layers) == 3
    look.show(SIGNED, fixed, warped)
    viewer.dims.ndisplay = 2  # the slice has one layer with both
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    assert tuple(viewer.layers[-1].contrast_limits) == (-1, 1)
    viewer.layers[-1].visible = False  # by the user: the canvas is not left empty
    qtbot.waitUntil(lambda: ended == [""], timeout=20_000)
    assert list(viewer.layers) == [fixed, warped] and colours()[2] > 0.1


class Counted:
    """A lazy volume that counts the pixels that were read."""

    def __init__(self, shape):
        self.shape, self.ndim, self.dtype, self.read = shape, len(shape), np.dtype("f4"), 0

    def __getitem__(self, key):
        data = np.broadcast_to(np.float32(0.5), self.shape)[key]
        self.read += data.size
        return data


def test_what_is_shown_already_is_not_sliced_again(viewer):
    pixels = np.zeros((SIDE, SIDE), np.float32)
    pair = [viewer.add_image(pixels, name=name, contrast_limits=(0, 1)) for name in ("fixed", "warped")]
    sliced = []
    for layer in pair:
        layer.events.set_data.connect(lambda event: sliced.append(event.source))
    look = Look(viewer, None)
    for mode in (OVERLAY, CHECKERBOARD, SWIPED, FLICKERING, ""):
        look.show(mode, *pair)
        look.set(tiles=9, line=0.3)
    assert not sliced
    pair[0].visible = False
    look.show(OVERLAY, *pair)
    assert sliced == [pair[0]]


def test_a_difference_reads_the_slice_that_is_seen_and_nothing_else(viewer):
    volume = Counted((512, 512, 512))
    fixed = viewer.add_image(volume, contrast_limits=(0, 1), name="fixed")
    warped = viewer.add_image(np.broadcast_to(np.float32(0.25), volume.shape), contrast_limits=(0, 1))
    look = Look(viewer, None)
    look.show(SIGNED, fixed, warped)
    volume.read = 0
    viewer.dims.set_point(0, 300)
    assert 0 < volume.read <= 3 * 512**2  # the fixed layer's own slice, that of the difference, its thumbnail
    np.testing.assert_allclose(viewer.layers[-1]._slice.image.view, 0.25)


def test_differences_of_colours_movies_and_missing_pixels():
    colours = np.full((3, 8, 9, 3), 255, np.uint8)
    movie = Image(colours, rgb=True, axis_labels=("t", "y", "x"))
    warped = Image(np.full((1, 8, 9), 0.5, np.float32), contrast_limits=(0, 1))
    warped.data[0, 0] = np.nan
    taken = snapshot(movie)
    difference = Difference(taken, movie, warped, absolute=False)
    assert difference.shape == (1, 8, 9)
    values = difference[:, :, 2:4]
    assert values.shape == (1, 8, 2) and np.isnan(values[0, 0]).all()
    np.testing.assert_allclose(values[0, 1:], 0.5, atol=1e-5)
