"""Layers as images, masks and points: every component of a layer's transform counts."""

import threading

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Points, Shapes

from napari_voxreg import Grid
from napari_voxreg.gui.layers.snapshots import (
    data_to_world,
    grid_kwargs,
    image_from_layer,
    like_layer,
    mask_from_layer,
    mask_snapshot,
    points_from_layer,
    snapshot,
)

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")

PLACES = {
    "plain": {},
    "anisotropic": {"scale": (0.5, 3), "translate": (1e6, -7)},
    "rotated": {"scale": (2, 3), "rotate": 30},
    "sheared": {"scale": (2, 3), "shear": (0.4,), "translate": (5, 6)},
    "mirrored": {"scale": (-2, 3)},
    "all": {
        "scale": (-2, 3),
        "translate": (5, 6),
        "rotate": 20,
        "shear": (0.3,),
        "affine": [[1.1, 0.2, 4], [-0.1, 0.9, 2], [0, 0, 1]],
        "units": ("um", "um"),
        "axis_labels": ("row", "column"),
    },
}
TURNED = {
    "scale": (4, 1.5, -1),
    "translate": (10, 20, 30),
    "rotate": (10, 20, 30),
    "shear": (0.1, 0.2, 0.05),
    "affine": [[1, 0.1, 0, 4], [0, 0.9, 0.2, 2], [0.1, 0, 1, 3], [0, 0, 0, 1]],
    "units": ("mm", "mm", "mm"),
}


@pytest.mark.parametrize("place", [*PLACES.values(), TURNED], ids=[*PLACES, "3D"])
def test_grid_is_the_layers_whole_transform(place):
    ndim = len(place.get("scale", (1, 1)))
    layer = ImageLayer(np.zeros((5, 6, 7)[-ndim:]), **place)
    grid = image_from_layer(layer).grid
    for index in np.random.default_rng(0).uniform(-3, 9, (5, ndim)):
        np.testing.assert_allclose(grid.to_world([index])[0], layer.data_to_world(index), rtol=1e-12)
    assert grid.units == tuple(str(u) for u in layer.units)


@pytest.mark.parametrize("place", [*PLACES.values(), TURNED], ids=[*PLACES, "3D"])
def test_like_layer_copies_every_part_as_it_is(place):
    ndim = len(place.get("scale", (1, 1)))
    layer = ImageLayer(np.zeros((5, 6, 7)[-ndim:]), **place)
    twin = ImageLayer(np.ones((5, 6, 7)[-ndim:]), **like_layer(layer))
    for name in ("scale", "translate", "rotate", "shear", "affine"):
        np.testing.assert_array_equal(getattr(twin, name), getattr(layer, name))
    assert (twin.units, twin.axis_labels) == (layer.units, layer.axis_labels)


def _rotation(seed, d=3):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


@pytest.mark.parametrize(
    ("linear", "keywords"),
    [
        (np.diag([-1.0, 2.0, 3.0]), {"scale", "translate"}),
        (_rotation(1) * [1, 2, 3], {"scale", "translate", "rotate"}),
        (-_rotation(1) * [1, 2, 3], {"scale", "translate", "rotate"}),
        (np.random.default_rng(2).normal(size=(3, 3)), {"scale", "affine"}),
        (_rotation(3, 2) * [0.5, 4], {"scale", "translate", "rotate"}),
    ],
    ids=["mirrored", "rotated", "rotated and mirrored", "oblique", "2D"],
)
def test_grid_kwargs_give_the_grid_back(linear, keywords):
    d = len(linear)
    affine = np.eye(d + 1)
    affine[:d, :d], affine[:d, d] = linear, np.arange(d) + 100.5
    grid = Grid((5, 6, 7)[-d:], affine, ("millimeter",) * d)
    layer = ImageLayer(np.zeros(grid.shape), **grid_kwargs(grid))
    np.testing.assert_allclose(data_to_world(layer), affine, rtol=1e-14, atol=1e-14)
    assert set(grid_kwargs(grid)) == keywords | {"units", "axis_labels"}
    assert [str(u) for u in layer.units] == ["millimeter"] * d
    assert layer.axis_labels == ("z", "y", "x")[-d:]
    assert np.linalg.det(layer.rotate) > 0


@pytest.mark.parametrize("place", [PLACES["plain"], PLACES["all"]], ids=["plain", "all"])
def test_a_coarse_level_lies_where_its_pixels_were_averaged(place):
    fine = Grid((24, 30), data_to_world(ImageLayer(np.zeros((24, 30)), **place)), ("pixel", "pixel"))
    ramp = (fine.nodes() @ [1.5, -2.0]).reshape(fine.shape)
    levels = [ramp, *(ramp.reshape(24 // f, f, 30 // f, f).mean(axis=(1, 3)) for f in (2, 3))]
    taken = snapshot(ImageLayer(levels, multiscale=True, **place))
    for level in range(3):
        image = taken.image(level)
        assert image.data.shape == levels[level].shape
        # Averages of a ramp are the ramp at the middle of what was averaged.
        np.testing.assert_allclose(image.data.ravel(), image.grid.nodes() @ [1.5, -2.0], atol=1e-8)


def test_napari_draws_a_coarse_level_where_its_grid_says(viewer):
    # One bright pixel of the only level that fits the screen's resolution, in a scaled and moved layer.
    coarse = np.zeros((10, 10), np.float32)
    coarse[3, 7] = 1
    levels = [np.kron(coarse, np.ones((8, 8), np.float32)), coarse]
    layer = viewer.add_image(levels, multiscale=True, scale=(2, 2), translate=(5, 5), contrast_limits=(0, 1))
    layer.locked_data_level = 1
    world = snapshot(layer).grid(1).to_world([[3, 7]])[0]
    mark = viewer.add_points([world], size=4, face_color="red", border_width=0)
    viewer.reset_view()
    pixels = viewer.screenshot(flash=False)[..., :3].astype(int)
    red = np.argwhere((pixels[..., 0] > 200) & (pixels[..., 1] < 60))
    white = np.argwhere(pixels.min(axis=-1) > 200)
    assert len(red) and len(white)
    middle = (white.min(axis=0) + white.max(axis=0)) / 2
    size = np.ptp(white[:, 0])
    assert np.abs(red.mean(axis=0) - middle).max() < 0.05 * size
    assert mark.ndim == 2


def test_dask_is_computed_where_the_image_is_read():
    seen = []

    def block():
        seen.append(threading.current_thread().name)
        return np.ones((4, 5))

    import dask

    lazy = da.from_delayed(dask.delayed(block)(), (4, 5), float)
    taken = snapshot(ImageLayer(lazy, contrast_limits=(0, 1), cache=False))
    seen.clear()  # napari itself reads the data for the layer's thumbnail
    taken.grid()
    assert not seen
    with dask.config.set(scheduler="synchronous"):
        worker = threading.Thread(target=taken.image, name="worker")
        worker.start()
        worker.join()
    assert seen == ["worker"]
    assert isinstance(taken.image().data, np.ndarray)


def test_kinds_of_pixels_are_kept():
    for dtype in (bool, np.uint16, np.float16, np.float64):
        assert image_from_layer(ImageLayer(np.ones((4, 5), dtype))).data.dtype == dtype
    rgb = image_from_layer(ImageLayer(np.ones((4, 5, 3), np.uint8), rgb=True))
    assert rgb.channels == 3
    assert rgb.grid.shape == (4, 5)
    assert snapshot(Labels(np.ones((4, 5), int))).labels


def test_the_viewers_current_time_point_is_used():
    viewer = ViewerModel()
    data = np.arange(6 * 4 * 5).reshape(6, 4, 5)
    movie = viewer.add_image(data, scale=(2, 3, 3), translate=(10, 1, 1), axis_labels=("t", "y", "x"))
    stack = viewer.add_image(data)
    viewer.dims.set_point(0, 10 + 2 * 4)
    taken = snapshot(movie, viewer)
    np.testing.assert_array_equal(taken.image().data, data[4])
    assert taken.grid().shape == (4, 5)
    np.testing.assert_array_equal(taken.grid().origin, (1, 1))
    assert snapshot(stack, viewer).grid().shape == (6, 4, 5)
    np.testing.assert_array_equal(image_from_layer(movie).data, data[0])
    long = ImageLayer(np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5))
    assert snapshot(long).grid().shape == (3, 4, 5)


def test_sliders_in_other_units_than_the_layers():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 4, 5)), scale=(1000, 1, 1), units=("ms", "mm", "mm"))
    movie = viewer.add_image(
        np.arange(60).reshape(3, 4, 5), units=("s", "um", "um"), axis_labels=("time", "y", "x")
    )
    for index in range(3):
        viewer.dims.set_current_step(0, index)
        assert movie._data_slice.point[0] == pytest.approx(index)  # what napari itself shows
        np.testing.assert_array_equal(snapshot(movie, viewer).image().data, movie.data[index])


def test_a_movie_that_drifts_lies_where_its_current_frame_does():
    viewer = ViewerModel()
    affine = np.eye(4)
    affine[1:3, 0] = 0.5, -2
    movie = viewer.add_image(np.zeros((6, 4, 5)), affine=affine, axis_labels=("t", "y", "x"))
    viewer.dims.set_point(0, 3)
    for index in ((0, 0), (2, 4)):
        expected = movie.data_to_world((3, *index))[1:]
        np.testing.assert_allclose(snapshot(movie, viewer).grid().to_world([index])[0], expected)


def test_time_that_mixes_with_space_is_refused():
    affine = np.eye(4)
    affine[0, 1] = 0.5
    with pytest.raises(ValueError, match="mixes time with space"):
        snapshot(ImageLayer(np.zeros((3, 4, 5)), affine=affine, axis_labels=("t", "y", "x")))


def test_too_few_axes_are_refused():
    with pytest.raises(ValueError, match="axis labels"):
        snapshot(ImageLayer(np.zeros((4, 5)), axis_labels=("t", "x")))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_shapes_are_filled_through_their_own_transform(place):
    grid = Grid(
        (40, 50), data_to_world(ImageLayer(np.zeros((2, 2)), **place)), place.get("units", ("pixel",) * 2)
    )
    # A triangle and an ellipse, given in another layer's coordinates.
    drawn = {"scale": (0.5, 2), "rotate": 70, "shear": (0.2,), "units": grid.units}
    to_shapes = np.linalg.inv(data_to_world(Shapes(ndim=2, **drawn))) @ grid.affine
    triangle, box = (
        np.array(p, float) @ to_shapes[:2, :2].T + to_shapes[:2, 2]
        for p in (
            [(1.5, 2.5), (1.5, 22.7), (21.7, 2.5)],
            [(20.2, 20.2), (20.2, 43.8), (35.8, 43.8), (35.8, 20.2)],
        )
    )
    layer = Shapes([triangle, box], shape_type=["polygon", "ellipse"], **drawn)
    mask = mask_from_layer(layer, grid)
    rows, columns = np.indices(grid.shape)
    expected = (rows >= 2) & (columns >= 3) & (rows + columns <= 24)
    expected |= ((rows - 28) / 7.8) ** 2 + ((columns - 32) / 11.8) ** 2 <= 1
    assert mask.data.dtype == bool
    # The ellipse is a polygon of a hundred corners, so a few pixels on its rim may differ.
    assert np.count_nonzero(mask.data != expected) <= 6


def test_shapes_on_a_stack():
    grid = Grid.from_spacing((6, 10, 10), (5, 1, 1))
    square = np.array([(2, 2), (2, 6), (6, 6), (6, 2)], float)

    def on(plane):
        return np.column_stack([np.full(4, plane), square])

    def planes(*shapes):
        layer = Shapes(list(shapes), shape_type="polygon", scale=(5, 1, 1)[-shapes[0].shape[1] :])
        return np.flatnonzero(mask_from_layer(layer, grid).data.any(axis=(1, 2))).tolist()

    assert planes(on(2), on(3)) == [2, 3]
    assert planes(on(2)) == [0, 1, 2, 3, 4, 5]
    assert planes(square) == [0, 1, 2, 3, 4, 5]


def test_shapes_that_enclose_nothing_are_refused():
    line = Shapes([np.array([(0, 0), (5, 5)])], shape_type="line", name="cut")
    with pytest.raises(ValueError, match="'cut' encloses nothing"):
        mask_snapshot(line)


def test_labels_and_images_as_masks_keep_their_own_grid():
    grid = Grid.from_spacing((4, 5))
    data = np.zeros((8, 8), int)
    data[2, 3] = 7
    mask = mask_from_layer(Labels(data, scale=(2, 2), translate=(1, 1)), grid)
    assert np.argwhere(mask.data).tolist() == [[2, 3]]
    np.testing.assert_array_equal(mask.grid.to_world([[2, 3]]), [[5, 7]])
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[1, 1, 2] = 9
    assert np.argwhere(mask_from_layer(ImageLayer(rgb, rgb=True), grid).data).tolist() == [[1, 1]]


def test_points_in_the_world_and_units_of_the_image():
    layer = Points([[1, 2], [3, 4]], scale=(2, 3), translate=(1, 0), rotate=90, units=("mm", "mm"))
    expected = np.array([layer.data_to_world(p) for p in layer.data])
    grid = Grid.from_spacing((9, 9), units="micrometer")
    np.testing.assert_allclose(points_from_layer(layer, grid), 1000 * expected)


def test_points_on_a_thin_stack_and_in_a_movie():
    thin = Grid.from_spacing((1, 9, 9))
    for data in ([[0, 2, 3]], [[2, 3]], [[7, 0, 2, 3]]):
        np.testing.assert_array_equal(points_from_layer(Points(data), thin), [[2, 3]])
    flat = Grid.from_spacing((9, 9))
    assert points_from_layer(Points(ndim=2), flat).shape == (0, 2)
    with pytest.raises(ValueError, match="2D and the image 3D"):
        points_from_layer(Points([[2, 3]]), Grid.from_spacing((9, 9, 9)))
