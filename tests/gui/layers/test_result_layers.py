"""Result layers: in the right place, true to the transform, and quick to add."""

import json
import time

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer, Vectors
from scipy.ndimage import gaussian_filter

from napari_voxreg import Grid, Image, load_transform, warp
from napari_voxreg.gui.layers.drawings import ARROWS, arrows, deformed_grid, tiles
from napari_voxreg.gui.layers.maps import FOLDED
from napari_voxreg.gui.layers.placement import pair_name
from napari_voxreg.gui.layers.result_layers import Show, result_layers
from napari_voxreg.gui.layers.snapshots import snapshot
from napari_voxreg.gui.session.run_layers import add_made
from napari_voxreg.metrics.similarity import ssim_map
from napari_voxreg.transforms import (
    Affine,
    BSpline,
    Displacement,
    StationaryVelocity,
    ThinPlate,
    chain,
    displacement_on,
    without_affine,
)

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")

ALL = Show(*[True] * 6, affine=True)
KINDS = ["image", "image", "image", "image", "points", "vectors", "vectors"]
SPATIAL = ("scale", "translate", "rotate", "shear")
OBLIQUE = {
    2: {
        "scale": (-0.5, 0.75),
        "translate": (5, 6),
        "rotate": 20,
        "shear": (0.3,),
        "affine": [[1.1, 0.2, 4], [-0.1, 0.9, 2], [0, 0, 1]],
        "units": ("mm", "mm"),
        "axis_labels": ("row", "column"),
    },
    3: {
        "scale": (2, 0.75, -0.5),
        "translate": (5, 6, 7),
        "rotate": (10, 20, 30),
        "shear": (0.1, 0.2, 0.05),
        "affine": [[1, 0.1, 0, 4], [0, 0.9, 0.2, 2], [0.1, 0, 1, 3], [0, 0, 0, 1]],
        "units": ("mm", "mm", "mm"),
    },
}


def texture(shape, seed=0):
    noise = gaussian_filter(np.random.default_rng(seed).random(shape), 2)
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def blob(grid, world):
    """A soft spot around a world point."""
    distance = np.linalg.norm(grid.nodes() - world, axis=1) / grid.spacing.mean()
    return np.exp(-(distance**2) / 12).reshape(grid.shape).astype(np.float32)


def spot(layer):
    """The world position of what is brightest in a layer."""
    data = np.nan_to_num(np.asarray(layer.data, dtype=float))  # outside is NaN
    data = data.sum(axis=-1) if getattr(layer, "rgb", False) else data
    index = np.indices(data.shape).reshape(data.ndim, -1)
    weight = data.ravel() * (data.ravel() > 0.3 * data.max())
    return np.array(layer.data_to_world(index @ weight / weight.sum()))


def affine(ndim, translation):
    matrix = np.eye(ndim + 1)
    matrix[:-1, :-1] += 0.05 * np.random.default_rng(1).normal(size=(ndim, ndim))
    matrix[:-1, -1] = translation
    return Affine(matrix)


def add(viewer, layers):
    return [viewer.add_layer(Layer.create(*layer)) for layer in layers]


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kind", ["plain", "oblique", "other units", "rgb", "lazy", "levels", "labels"])
def test_a_known_point_lands_where_it_should(ndim, kind, result_of):
    shape = (40, 48) if ndim == 2 else (14, 30, 26)
    place = {} if kind == "plain" else OBLIQUE[ndim]
    moving_place = {"units": place["units"]} if place else {}
    if kind == "other units":
        moving_place = {"scale": (1000,) * ndim, "units": ("um",) * ndim}
    fixed_layer = ImageLayer(texture(shape), name="fixed", **place)
    fixed = snapshot(fixed_layer)
    there = fixed.grid().centre + 1.0
    transform = affine(ndim, 0)
    transform = chain(transform, Affine.translation(fixed.grid().centre - transform([there])[0]))
    # The moving image is centred where the transform maps the point.
    target = transform([there])[0]
    moving_grid = snapshot(ImageLayer(np.zeros(shape), **moving_place)).grid().in_units(fixed.grid().units)
    translation = (target - moving_grid.centre) * (1000 if kind == "other units" else 1)
    moving_layer = ImageLayer(np.zeros(shape), translate=translation, **moving_place)
    grid = snapshot(moving_layer).grid()
    data = blob(grid, target * (1000 if kind == "other units" else 1))
    if kind == "rgb":
        moving_layer = ImageLayer((np.stack([data, data / 2, data], -1) * 255).astype(np.uint8), rgb=True)
    elif kind == "lazy":
        moving_layer = ImageLayer(da.from_array(data, chunks=8))
    elif kind == "levels":
        moving_layer = ImageLayer([data, data[(slice(None, None, 2),) * ndim]], multiscale=True)
    elif kind == "labels":
        moving_layer = Labels((data > 0.5).astype(np.uint8) * 7)
    else:
        moving_layer = ImageLayer(data.astype(np.float16))
    moving_layer.name, moving_layer.translate = "moving", translation
    for name, value in moving_place.items():
        setattr(moving_layer, name, value)
    moving = snapshot(moving_layer)
    result = result_of(fixed.image(), moving.image(), transform)
    [warped] = result_layers(result, fixed, moving, show=Show(arrows=False, ssim=False))
    layer = Layer.create(*warped)
    assert np.linalg.norm(spot(layer) - there) < 0.3 * fixed.grid().spacing.mean()
    assert layer.data.dtype == moving.levels[0].dtype
    assert layer.data.shape[:ndim] == shape
    assert layer.name == "moving > fixed"
    assert type(layer) is (Labels if kind == "labels" else ImageLayer)
    if kind == "labels":
        assert set(np.unique(layer.data)) == {0, 7}
    else:
        assert layer.rgb == (kind == "rgb")


def pair_in(viewer, ndim, place=None):
    shape = (60, 70) if ndim == 2 else (16, 30, 34)
    place = OBLIQUE[ndim] if place is None else place
    fixed = viewer.add_image(texture(shape), name="fixed", **place)
    moving = viewer.add_image(texture(shape, 0), name="moving", colormap="magma", gamma=0.7, **place)
    moving.contrast_limits = (0.1, 0.8)
    return fixed, moving


@pytest.mark.parametrize("ndim", [2, 3])
def test_all_layers_in_a_real_viewer(viewer, ndim, result_of):
    fixed_layer, moving_layer = pair_in(viewer, ndim)
    before = [np.array(layer.data) for layer in viewer.layers]
    fixed, moving = snapshot(fixed_layer, viewer), snapshot(moving_layer, viewer)
    transform = Affine.translation([0.4] * ndim)
    result = result_of(fixed.image(), moving.image(), transform)
    layers = add(viewer, result_layers(result, fixed, moving, show=ALL))
    assert [layer.name.removeprefix("moving > fixed").strip() for layer in layers] == [
        "", "displacement (mm)", "Jacobian", "SSIM", "SSIM values", "grid", "arrows (mm)",
    ]  # fmt: skip
    assert [layer._type_string for layer in layers] == KINDS
    for layer in layers:
        for name in SPATIAL:
            np.testing.assert_array_equal(getattr(layer, name), getattr(fixed_layer, name))
        np.testing.assert_array_equal(layer.affine.affine_matrix, fixed_layer.affine.affine_matrix)
        assert layer.units == fixed_layer.units
        assert layer.axis_labels == fixed_layer.axis_labels
        record = layer.metadata["voxreg"]
        assert record["method"] == "known"
        assert record["inputs"]["moving"] == {"name": "moving", "sha256": "1"}
        assert "napari" in record["software"]
        json.dumps(record)
    assert viewer.layers.extent.units is not None
    warped, flow, jacobian, _, _, _, drawn = layers
    assert (warped.gamma, tuple(warped.contrast_limits)) == (0.7, (0.1, 0.8))
    assert warped.colormap.name == "magma"
    np.testing.assert_allclose(flow.data, 0.4 * ndim**0.5, rtol=1e-5)
    np.testing.assert_allclose(jacobian.data, 1, atol=1e-5)
    assert np.mean(jacobian.contrast_limits) == pytest.approx(1)
    assert [layer.visible for layer in layers] == [True, False, False, False, False, False, True]
    for layer, data in zip((fixed_layer, moving_layer), before, strict=True):
        np.testing.assert_array_equal(layer.data, data)
    # The arrows can be seen: without them the screenshot differs.
    with_arrows = viewer.screenshot(flash=False)
    drawn.visible = False
    assert np.any(viewer.screenshot(flash=False) != with_arrows, axis=-1).mean() > 0.002


@pytest.mark.parametrize("ndim", [2, 3])
def test_arrows_point_where_pixels_are_taken_from(viewer, ndim, result_of):
    fixed_layer, moving_layer = pair_in(viewer, ndim)
    fixed, moving = snapshot(fixed_layer, viewer), snapshot(moving_layer, viewer)
    transform = chain(Affine.translation(-fixed.grid().centre), affine(ndim, fixed.grid().centre + 0.5))
    result = result_of(fixed.image(), moving.image(), transform)
    layer = add(
        viewer, result_layers(result, fixed, moving, show=Show(warped=False, ssim=False, affine=True))
    )[0]
    start = np.array([layer.data_to_world(p) for p in layer.data[:, 0]])
    end = np.array([layer.data_to_world(p) for p in layer.data.sum(axis=1)])
    offset, drawn = transform(start) - start, end - start
    distance, length = np.linalg.norm(offset, axis=1), np.linalg.norm(drawn, axis=1)
    np.testing.assert_allclose(drawn / length[:, None], offset / distance[:, None], atol=1e-4)
    np.testing.assert_allclose(length, np.minimum(distance, length.max()), atol=1e-4)  # shortened where long
    np.testing.assert_allclose(layer.features["displacement"], distance, atol=1e-4)
    # The slice on the screen has arrows.
    assert len(start) > 100
    if ndim == 3:
        assert np.any(layer.data[:, 0, 0] == fixed.current[0])


@pytest.mark.parametrize(
    "shape", [(512, 512), (3000, 40), (7, 9), (150, 256, 256), (12, 512, 512), (5, 6, 7)]
)
def test_arrows_are_capped_and_pass_through_the_slice(shape):
    grid = Grid.from_spacing(shape, (5, 0.5, 0.5)[-len(shape) :])
    through = tuple(n // 3 for n in shape)
    drawing = arrows(Affine.translation([0.1] * len(shape)), grid, through)
    assert min(100, np.prod(shape)) <= len(drawing.vectors) <= ARROWS[len(shape)]
    assert drawing.vectors.shape == (len(drawing.size), 2, len(shape))
    for axis, at in enumerate(through):
        assert np.any(drawing.vectors[:, 0, axis] == at)
    assert drawing.length >= 1


@pytest.mark.parametrize("spacing", [(1, 1), (2, 0.5)])
def test_arrows_are_never_longer_than_their_spacing_and_still_pixels_have_none(spacing):
    grid = Grid.from_spacing((300, 300), spacing)
    for distance, length in ((0.1, 50), (1.1, 5), (9, 1), (200, 1)):
        drawing = arrows(Affine.translation((distance, 0)), grid, (0, 0))
        assert drawing.length == length
        drawn = np.linalg.norm(drawing.length * drawing.vectors[:, 1] * spacing, axis=1)
        apart = min(np.diff(np.unique(drawing.vectors[:, 0, axis])).min() * spacing[axis] for axis in (0, 1))
        assert np.all(drawn <= apart * 1.0001)
        np.testing.assert_allclose(drawing.size, distance)  # which colour tells
    field = np.zeros((300, 300, 2))
    field[:, :100] = (5, 0)
    drawing = arrows(Displacement(field, grid), grid, (0, 0))
    assert 0 < drawing.vectors[:, 0, 1].max() < 100
    assert len(arrows(Affine.identity(2), grid, (0, 0)).vectors) == 0
    turned = Affine(np.array([[0.8, -0.6, 5.0], [0.6, 0.8, 0.0], [0, 0, 1]]))
    assert len(arrows(turned, grid, (0, 0), affine=False).vectors) == 0
    left = arrows(chain(turned, Displacement(field, grid)), grid, (0, 0), affine=False)
    same = displacement_on(chain(turned, Displacement(field, grid)), grid)
    length = np.linalg.norm(without_affine(same, grid), axis=-1)
    at = tuple(left.vectors[:, 0].astype(int).T)
    np.testing.assert_allclose(left.size, length[at], atol=1e-6)  # the same as the map of the displacement


def test_the_deformed_grid_is_a_grid_moved_by_the_transform():
    grid = Grid.from_spacing((65, 97), (1, 0.5), (3, 4))
    transform = affine(2, (5, 6))
    drawing = deformed_grid(transform, grid, (0, 0))
    ends = drawing.vectors.sum(axis=1)
    for points in (drawing.vectors[:, 0], ends):
        index = grid.to_index(transform.inverse()(grid.to_world(points)))
        off = np.abs(index / (2, 4) - np.rint(index / (2, 4))) * (2, 4)  # 33 lines along the longer axis
        assert off.min(axis=1).max() < 1e-9
        assert (index.min() > -1e-9) & np.all(index.max(axis=0) < np.array(grid.shape) - 1 + 1e-9)
    assert len(drawing.vectors) < 12_000


def test_the_deformed_grid_of_a_volume_has_a_whole_sheet_on_the_slice():
    grid = Grid.from_spacing((20, 40, 50), (2, 1, 1))
    translation = (3.0, 2.0, 1.0)  # out of the slice too
    drawing = deformed_grid(Affine.translation(translation), grid, (9, 11, 13))
    start, step = drawing.vectors[:, 0], drawing.vectors[:, 1]
    sheet = start[:, 0] == 9
    assert np.all(step[sheet, 0] == 0)
    np.testing.assert_allclose(start[sheet, 1:].min(axis=0), translation[1:])
    np.testing.assert_allclose((start + step)[sheet, 1:].max(axis=0), (41, 50))
    assert np.all(np.abs(start[~sheet, 0] - 9) > 0.5)
    assert np.allclose(drawing.size, np.linalg.norm(translation))
    assert len(drawing.vectors) < 25_000


def test_tiles_have_the_similarity_before_and_after():
    grid = Grid.from_spacing((100, 100))
    fixed = texture((100, 100))
    fixed[60:, 60:] = 0  # nothing to compare here
    worse = np.where(np.arange(100) < 50, np.random.default_rng(0).random((100, 100)), fixed)
    before, after = ssim_map(fixed, worse.astype(np.float32)), ssim_map(fixed, fixed)
    inside = np.ones((100, 100), bool), np.ones((100, 100), bool)
    inside[0][:20] = False
    found = {tile.centre: tile for tile in tiles(fixed, before, after, inside, grid, (0, 0))}
    assert len(found) == 25 - 4
    assert np.isnan(found[9.5, 9.5].before)
    assert found[29.5, 9.5].before == pytest.approx(before[20:40, :20].mean())
    assert found[29.5, 9.5].before < 0.3
    assert found[29.5, 89.5].before == pytest.approx(1, abs=1e-4)
    assert all(tile.after == pytest.approx(1, abs=1e-4) for tile in found.values())


def test_ssim_is_written_on_the_tiles(result_of):
    grid = Grid.from_spacing((100, 80))
    fixed, moving = (
        snapshot(ImageLayer(data, name=name))
        for name, data in (("fixed", texture(grid.shape)), ("moving", np.roll(texture(grid.shape), 4, 0)))
    )
    result = result_of(fixed.image(), moving.image(), Affine.translation((4, 0)))
    layers = result_layers(result, fixed, moving, show=Show(warped=False, arrows=False))
    image, values = (Layer.create(*layer) for layer in layers)
    assert image.visible and values.visible  # the only map
    title, *text = values.text.values
    assert title == (
        f"SSIM {result.before.whole['ssim']:.2f} -> {result.after.whole['ssim']:.2f}, where both overlap "
        f"{result.before.overlap['ssim']:.2f} -> {result.after.overlap['ssim']:.2f}"
    )
    assert len(text) == 5 * 4
    assert all(end in ("0.99", "1.00") for end in (t.split(" -> ")[1] for t in text[:4]))
    assert max(float(t.split(" -> ")[0]) for t in text) < 0.9
    assert values.data[1:].min() > 0


@pytest.mark.parametrize("strength", [0.2, 1.5])
def test_folding_and_nothing_else_has_its_own_colour(strength, result_of):
    fixed = snapshot(ImageLayer(texture((40, 40)), name="fixed"))
    field = np.zeros((40, 40, 2))
    field[18:22, :, 0] = strength * np.array([4, 1, -1, -4])[:, None]
    result = result_of(fixed.image(), fixed.image(), Displacement(field, fixed.grid()))
    show = Show(warped=False, arrows=False, ssim=False, jacobian=True)
    jacobian = Layer.create(*result_layers(result, fixed, fixed, show=show)[0])
    low, high = jacobian.contrast_limits
    assert (low + high) / 2 == pytest.approx(1)
    colours = jacobian.colormap.map((jacobian.data.ravel() - low) / (high - low))[:, :3]
    yellow = np.abs(colours - [int(FOLDED[i : i + 2], 16) / 255 for i in (1, 3, 5)]).max(axis=1) < 0.01
    np.testing.assert_array_equal(yellow, jacobian.data.ravel() <= 0)
    assert yellow.any() == (strength > 1)
    np.testing.assert_allclose(jacobian.colormap.map([0.5])[0, :3], 0.97, atol=0.02)  # 1 is white


def test_displacement_and_jacobian_are_without_the_affine_part(result_of):
    taken = snapshot(ImageLayer(texture((60, 70)), name="fixed", scale=(2, 0.5)))
    grid = taken.grid()
    local = np.zeros((*grid.shape, 2))
    local[25:35, 30:40, 1] = 3.0
    pose = affine(2, grid.centre)
    show = Show(warped=False, arrows=False, ssim=False, magnitude=True, jacobian=True)

    def maps(transform):
        made = result_layers(result_of(taken.image(), taken.image(), transform), taken, taken, show=show)
        return [np.asarray(layer[0]) for layer in made]

    length, jacobian = maps(pose)
    assert length.max() == 0
    np.testing.assert_allclose(jacobian, 1, atol=1e-5)
    length, jacobian = maps(chain(Displacement(local, grid), pose))
    assert length[26:34, 31:39].min() > 2.5 and np.median(length) < 0.3
    assert np.abs(jacobian - 1).max() > 0.5 and abs(np.median(jacobian) - 1) < 0.05


@pytest.mark.parametrize("ndim", [2, 3])
def test_strain_curl_and_inverse_error_are_those_of_the_world(ndim, result_of):
    shape = (40, 48) if ndim == 2 else (14, 30, 26)
    taken = snapshot(ImageLayer(texture(shape), name="fixed", **OBLIQUE[ndim]))
    centre = taken.grid().centre
    matrix = np.eye(ndim + 1)
    matrix[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    about = chain(Affine.translation(-centre), Affine(matrix), Affine.translation(centre))
    result = result_of(taken.image(), taken.image(), about)
    kinds = ("strain", "curl", "consistency")
    show = Show(affine=True, **dict.fromkeys(kinds, True)).only(kinds)
    layers = [Layer.create(*layer) for layer in result_layers(result, taken, taken, show=show)]
    assert [layer.name.removeprefix("fixed > fixed ") for layer in layers] == [
        "principal strain", "curl", "inverse-consistency error (mm)",
    ]  # fmt: skip
    np.testing.assert_allclose(layers[0].data, 0, atol=1e-5)
    np.testing.assert_allclose(layers[1].data, 2 * np.sin(0.1), atol=1e-5)
    assert np.nanmax(layers[2].data) < 1e-6 and np.isnan(layers[2].data).any()
    assert layers[0].contrast_limits[0] == -layers[0].contrast_limits[1]
    assert layers[1].contrast_limits[0] == (0 if ndim == 3 else -layers[1].contrast_limits[1])
    for layer in result_layers(result, taken, taken, show=show.only(["strain", "curl"])):
        assert layer[0].dtype == np.float32 and layer[0].shape == taken.grid().shape
    without = Show().only(["strain", "curl"])
    for data, *_ in result_layers(result, taken, taken, show=without):
        np.testing.assert_allclose(data, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "ground", "expected"), [("f4", 0, np.nan), ("i2", -1000, -1000), ("u1", 250, 250)]
)
def test_outside_the_moving_image_is_its_background(dtype, ground, expected, result_of):
    data = np.full((40, 40), ground, dtype)
    data[10:30, 10:30] = 100
    taken = snapshot(ImageLayer(data, name="fixed"))
    result = result_of(taken.image(), taken.image(), Affine.translation((8, 0)))
    [(warped, *_)] = result_layers(result, taken, taken, show=Show(arrows=False, ssim=False))
    assert warped.dtype == data.dtype
    np.testing.assert_array_equal(warped[33:], np.full((7, 40), expected, dtype))
    np.testing.assert_array_equal(warped[:32], data[8:])


def test_a_thin_stack_and_a_movie_keep_their_axes(result_of):
    viewer = ViewerModel()
    data = texture((40, 48))
    moving_layer = viewer.add_image(np.roll(data, 3, 0), name="moving", units=("um", "um"))
    thin = viewer.add_image(data[None], name="thin", scale=(5, 1, 1), units=("um",) * 3)
    movie = viewer.add_image(
        np.stack([data * 0, data, data * 0]),
        name="movie",
        scale=(2, 1, 1),
        translate=(7, 0, 0),
        axis_labels=("t", "y", "x"),
        units=("s", "um", "um"),
    )
    viewer.dims.set_point(0, 9)  # frame 1
    moving = snapshot(moving_layer, viewer)
    for layer, where in ((thin, 0), (movie, 9)):
        fixed = snapshot(layer, viewer)
        result = result_of(fixed.image(), moving.image(), Affine.translation((3, 0)))
        assert result.transform.ndim == 2
        layers = add(viewer, result_layers(result, fixed, moving, show=ALL))
        assert [made._type_string for made in layers] == KINDS
        for made in layers:
            assert made.ndim == 3
            assert made.units == layer.units
        warped = layers[0]
        assert warped.data.shape == (1, 40, 48)
        np.testing.assert_allclose(warped.data[0, :30], data[:30], atol=1e-6)
        for made in layers:
            corner = np.zeros(3) if made._type_string == "image" else made.data.reshape(-1, 3)[0]
            assert made.data_to_world(corner)[0] == where


def _transforms(grid):
    rng = np.random.default_rng(3)
    field = gaussian_filter(rng.normal(size=(*grid.shape, 2)), (4, 4, 0)) * 10
    control = Grid.from_spacing((9, 9), 8, -8)
    corners = grid.corners()
    spline = BSpline(rng.normal(size=(2, 9, 9)), control)
    velocity = StationaryVelocity(field, grid)
    plate = ThinPlate(corners, corners + rng.normal(size=corners.shape))
    yield from (affine(2, (1, 2)), spline, Displacement(field, grid), velocity, plate)
    yield from (chain(affine(2, (1, 2)), spline), chain(affine(2, (1, 2)), velocity, plate))


@pytest.mark.parametrize("which", range(7))
def test_the_layer_shown_is_what_the_saved_transform_makes(which, tmp_path, result_of):
    fixed_layer = ImageLayer(texture((40, 50)), name="fixed", **OBLIQUE[2])
    moving_layer = ImageLayer(texture((40, 50), 1), name="moving", **OBLIQUE[2])
    fixed, moving = snapshot(fixed_layer), snapshot(moving_layer)
    transform = list(_transforms(fixed.grid()))[which]
    result = result_of(fixed.image(), moving.image(), transform)
    [shown] = result_layers(result, fixed, moving, show=Show(arrows=False, ssim=False))
    loaded = load_transform(result.save(tmp_path))
    again = warp(Image(moving_layer.data, moving.grid()), loaded, fixed.grid(), fill=np.nan)
    np.testing.assert_array_equal(again.data, shown[0])


def test_nothing_moved_is_shown_without_complaint(viewer, result_of):
    layer = viewer.add_image(texture((30, 30)), name="a name that is much too long for a list of layers")
    taken = snapshot(layer, viewer)
    result = result_of(taken.image(), taken.image(), Affine.identity(2))
    layers = add(viewer, result_layers(result, taken, taken, show=ALL))
    assert len(layers) == 7 and len(layers[-1].data) == 0  # no arrows
    assert all(len(made.name) < 75 for made in layers)
    np.testing.assert_array_equal(layers[0].data, layer.data)


def test_a_layer_is_sliced_once_and_not_copied(viewer, qtbot, result_of, monkeypatch):
    fixed_layer, moving_layer = pair_in(viewer, 2)
    fixed, moving = snapshot(fixed_layer, viewer), snapshot(moving_layer, viewer)
    result = result_of(fixed.image(), moving.image(), affine(2, (1, 2)))
    for kind in (ImageLayer, Vectors):
        for name in ("_update_thumbnail", "set_view_slice"):
            original = getattr(kind, name)

            def counted(layer, original=original, name=name):
                calls.append((name, layer))
                original(layer)

            monkeypatch.setattr(kind, name, counted)
    for data in result_layers(result, fixed, moving, show=ALL):
        if data[2] == "points":
            continue
        calls = []
        layer = add_made(viewer.layers, data, visible=True)
        own = [name for name, one in calls if one is layer]
        assert own.count("set_view_slice") == 1
        assert data[2] == "image" or own.count("_update_thumbnail") == 1  # napari draws it line by line
        assert layer.visible and np.shares_memory(layer.data, data[0])
        bar = data[1]["metadata"]["voxreg"]["kind"] in ("magnitude", "jacobian")
        if bar:
            assert not layer.colorbar.visible  # it is drawn by itself
            qtbot.waitUntil(lambda layer=layer: layer.colorbar.visible, timeout=20_000)


def test_adding_a_layer_holds_the_screen_only_briefly(viewer, result_of, qapp):
    data = (texture((512, 512))[..., None] * [255, 120, 60]).astype(np.uint8)
    fixed_layer = viewer.add_image(data, name="fixed", rgb=True)
    moving_layer = viewer.add_image(np.roll(data, 3, 0), name="moving", rgb=True)
    fixed, moving = snapshot(fixed_layer, viewer), snapshot(moving_layer, viewer)
    field = gaussian_filter(np.random.default_rng(0).normal(size=(512, 512, 2)), (30, 30, 0)) * 300
    result = result_of(fixed.image(), moving.image(), Displacement(field, fixed.grid()))
    layers = result_layers(result, fixed, moving, show=ALL)
    qapp.processEvents()
    longest = 0.0
    for layer in layers:
        began = time.thread_time()  # of this thread alone, so that a busy machine does not count
        viewer.add_layer(Layer.create(*layer))
        qapp.processEvents()
        longest = max(longest, time.thread_time() - began)
    assert longest < 0.5


@pytest.mark.parametrize(
    ("moving", "fixed", "expected"),
    [
        ("moving", "fixed", "moving > fixed"),
        ("brain T2 moving (simulated)", "brain T1 fixed (simulated)", "T2 moving > T1 fixed"),
        ("one and the same long name", "one and the same long name", "name > name"),
        ("x" * 60, "y", "x" * 23 + "… > y"),
    ],
)
def test_names_are_short(moving, fixed, expected):
    assert pair_name(moving, fixed) == expected
