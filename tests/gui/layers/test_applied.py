"""Every kind of layer through every kind of transform: moved as `apply` moves it, into a new layer."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer, Points, Shapes, Surface, Tracks, Vectors
from scipy.ndimage import gaussian_filter

from napari_voxreg import (
    Affine,
    BSpline,
    Composite,
    Displacement,
    Grid,
    Homography,
    Image,
    StationaryVelocity,
    ThinPlate,
    apply,
)
from napari_voxreg.core.progress import silent
from napari_voxreg.gui.apply import job as job_module
from napari_voxreg.gui.apply.job import ApplyJob
from napari_voxreg.gui.layers import applied as applied_module
from napari_voxreg.gui.layers.applied import LayerOptions, applied_layer, take
from napari_voxreg.gui.layers.snapshots import data_to_world, image_from_layer
from napari_voxreg.registration import apply as apply_module
from napari_voxreg.registration import in_slabs
from napari_voxreg.registration.inverse import inverse_on
from napari_voxreg.registration.pair_transform import PairTransform

SHAPES = {2: (24, 30), 3: (12, 14, 16)}
KINDS = ("affine", "homography", "bspline", "displacement", "velocity", "thin plate", "composite")
QUICK = (("affine", 2), ("homography", 2), ("bspline", 2), ("composite", 3))
EACH = [
    pytest.param(kind, d, marks=() if (kind, d) in QUICK else pytest.mark.slow)
    for kind in KINDS
    for d in (2, 3)
    if (kind, d) != ("homography", 3)
]
SPATIAL = ("image", "rgb", "labels", "points", "shapes", "vectors", "tracks", "surface")


def grid_of(d: int) -> Grid:
    axes = np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))[0]
    return Grid.from_spacing(SHAPES[d], (1.2, 0.9, 1.1)[:d], (3.0, -2.0, 5.0)[:d], axes, "millimeter")


def transform_of(kind: str, d: int):
    grid, rng = grid_of(d), np.random.default_rng(5)
    field = np.stack([gaussian_filter(rng.normal(size=grid.shape), 4) for _ in range(d)], axis=-1)
    rim = [np.minimum(i, n - 1 - i) for i, n in zip(np.indices(grid.shape), grid.shape, strict=True)]
    field *= np.clip(np.min(rim, axis=0) / 4, 0, 1)[..., None] / np.abs(field).max()
    affine = np.eye(d + 1)
    affine[:d] += 0.05 * rng.normal(size=(d, d + 1))
    if kind == "affine":
        return Affine(affine)
    if kind == "homography":
        affine[2, :2] = 0.002, -0.001
        return Homography(affine)
    if kind == "bspline":
        shift = np.eye(d + 1)
        shift[:d] *= 5
        shift[:d, d] = -10
        control = Grid(tuple(n // 5 + 5 for n in grid.shape), grid.affine @ shift, grid.units)
        return BSpline(0.5 * rng.normal(size=(d, *control.shape)), control)
    if kind == "displacement":
        return Displacement(field, grid)
    if kind == "velocity":
        return StationaryVelocity(field, grid)
    if kind == "thin plate":
        points = np.concatenate([grid.corners(), grid.centre[None]])
        return ThinPlate(points, points + 0.4 * rng.normal(size=points.shape))
    return Composite((Displacement(field, grid), Affine(affine)))


def pair_of(kind: str, d: int) -> PairTransform:
    grid = grid_of(d)
    return PairTransform(transform_of(kind, d), grid, grid)


def place(d: int) -> dict:
    """Anisotropic, rotated by the layer's own affine, in micrometres."""
    matrix = np.eye(d + 1)
    axes = np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))[0]
    matrix[:d, :d] = axes
    matrix[:d, d] = np.array((3.0, -2.0, 5.0)[:d]) * 1000
    return {"scale": np.array((1.2, 0.9, 1.1)[:d]) * 1000, "affine": matrix, "units": ("micrometer",) * d}


def layer_of(what: str, d: int) -> Layer:
    rng, shape = np.random.default_rng(0), SHAPES[d]
    inner = np.random.default_rng(1).uniform(4, np.array(shape) - 5, (12, d))
    where = {"name": what, "opacity": 0.6, **place(d)}
    if what == "image":
        return ImageLayer(rng.normal(size=shape).astype(np.float32), colormap="magma", gamma=0.7, **where)
    if what == "rgb":
        return ImageLayer(rng.integers(0, 255, (*shape, 3)).astype(np.uint8), rgb=True, **where)
    if what == "labels":
        return Labels(np.kron(rng.integers(0, 9, [n // 2 for n in shape]), np.ones((2,) * d, int)), **where)
    if what == "points":
        return Points(inner, size=3, face_color="red", features={"name": list("abcdefghijkl")}, **where)
    if what == "shapes":
        corners = np.tile(inner[0], (4, 1))
        corners[1:3, -2] += 3
        corners[2:4, -1] += 4
        kinds = ["rectangle", "ellipse", "polygon", "line", "path"]
        data = [corners, corners, corners[:3], corners[:2], corners]
        return Shapes(data, shape_type=kinds, edge_color=["red", "green", "blue", "white", "cyan"], **where)
    if what == "vectors":
        return Vectors(np.stack([inner, np.ones_like(inner)], axis=1), edge_width=0.2, **where)
    if what == "tracks":
        data = np.column_stack([np.repeat([1, 2], 6), np.tile(np.arange(6), 2), inner])
        own = place(d)
        matrix = np.eye(d + 2)
        matrix[1:, 1:] = own["affine"]
        return Tracks(
            data,
            name=what,
            tail_width=3,
            scale=(1, *own["scale"]),
            affine=matrix,
            units=("second", *own["units"]),
            axis_labels=("t", "z", "y", "x")[:1] + ("z", "y", "x")[-d:],
        )
    return Surface((inner, np.array([[0, 1, 2], [3, 4, 5]]), np.arange(12.0)), colormap="viridis", **where)


def world(layer: Layer, points: np.ndarray) -> np.ndarray:
    """World coordinates in millimetres, without time."""
    matrix = data_to_world(layer)
    whole = points @ matrix[:-1, :-1].T + matrix[:-1, -1]
    return whole[:, 1:] / 1000 if isinstance(layer, Tracks) else whole / 1000


def vertices(layer: Layer) -> np.ndarray:
    """All points of a layer that is made of points, one after the other."""
    data = layer.data
    if isinstance(layer, Tracks):
        return data[:, 1:]
    if isinstance(layer, Surface):
        return data[0]
    if isinstance(layer, Vectors):
        return np.concatenate([data[:, 0], data[:, 0] + data[:, 1]])
    return np.concatenate(data) if isinstance(layer, Shapes) else data


def content(layer: Layer) -> np.ndarray:
    """The pixels or the vertices of a layer."""
    return layer.data if isinstance(layer, ImageLayer | Labels) else vertices(layer)


@pytest.mark.parametrize("direction", ["moving -> fixed", "fixed -> moving"])
@pytest.mark.parametrize(("kind", "d"), EACH)
@pytest.mark.parametrize("what", SPATIAL)
def test_layers_go_where_apply_takes_them(what, kind, d, direction):
    layer, pair = layer_of(what, d), pair_of(kind, d)
    before, copy = layer.as_layer_data_tuple(), content(layer).copy()
    data, keywords, type_name = applied_layer(take(layer), pair, LayerOptions(direction), "1 known", silent)[
        0
    ]
    new = Layer.create(data, keywords, type_name)
    assert type(new) is type(layer) and new.name == f"{what} applied 1 known"
    assert new.units == layer.units or what in ("image", "rgb", "labels")
    if what in ("image", "rgb", "labels"):
        image = image_from_layer(layer)
        how = "nearest" if what == "labels" else "linear"
        expected = apply(pair, image, direction=direction, interpolation=how, background="own").image
        found = image_from_layer(new)
        assert found.grid.same_as(expected.grid)
        assert np.array_equal(found.data, expected.data, equal_nan=what == "image")
    elif what == "shapes":
        assert new.shape_type == ["polygon"] * 3 + ["line" if kind == "affine" else "path", "path"]
        corner = apply(pair, world(layer, layer.data[2]), direction=direction).points
        step = len(new.data[2]) // 3
        assert np.allclose(world(new, new.data[2][::step]), corner, rtol=0, atol=0.02)
    else:
        expected = apply(pair, world(layer, vertices(layer)), direction=direction).points
        assert np.allclose(world(new, vertices(new)), expected, rtol=0, atol=1e-5)
    # Its look is that of the old one, which stays as it was.
    for key in set(before[1]) - {"name", "metadata", "shape_type"}:
        same = before[1][key], new.as_layer_data_tuple()[1][key]
        if key in ("opacity", "gamma", "size", "edge_width", "tail_width", "edge_color", "face_color"):
            assert np.array_equal(*map(np.asarray, same)), key
    assert layer.name == what and np.array_equal(copy, content(layer))


def test_layers_on_one_grid_share_an_inverse(monkeypatch):
    made: list[tuple[int, ...]] = []

    def counted(transform, fixed, grid, progress):
        made.append(grid.shape)
        return inverse_on(transform, fixed, grid, progress)

    monkeypatch.setattr(apply_module, "inverse_on", counted)
    layers = [take(layer_of(what, 2)) for what in ("image", "rgb", "labels")]
    job = ApplyJob([], "t", LayerOptions("fixed -> moving"), layers=layers)
    monkeypatch.setattr(job_module, "open_transform", lambda *args: pair_of("displacement", 2))
    assert len(job(silent).layers) == 3 and made == [grid_of(2).shape]


@pytest.mark.parametrize("what", SPATIAL)
@pytest.mark.parametrize("direction", ["moving -> fixed", "fixed -> moving"])
def test_an_affine_may_be_set_instead(what, direction):
    layer, pair = layer_of(what, 2), pair_of("affine", 2)
    options = LayerOptions(direction, resample=False)
    new = Layer.create(*applied_layer(take(layer), pair, options, "t", silent)[0])
    points = np.array([[1.0, 2.0], [7.0, 3.0]])
    if what == "tracks":
        points = np.insert(points, 0, 3.0, axis=1)
    expected = apply(pair, world(layer, points), direction=direction).points
    assert np.allclose(world(new, points), expected, rtol=0, atol=1e-9)
    if what == "image":
        assert new.data is layer.data
    if what == "labels":
        assert new.data is not layer.data and np.array_equal(new.data, layer.data)
    with pytest.raises(ValueError, match=r"^points: Only an affine transform"):
        applied_layer(take(layer_of("points", 2)), pair_of("velocity", 2), options, "t", silent)


@pytest.mark.parametrize("what", ["points", "shapes", "vectors", "tracks", "surface"])
def test_whole_numbers_are_moved_as_fractions_are(what):
    pair, fractions = pair_of("affine", 2), layer_of(what, 2)
    data, keywords, kind = fractions.as_layer_data_tuple()
    whole = (
        (np.rint(data[0]).astype(int), *data[1:])
        if what == "surface"
        else [np.rint(one).astype(int) for one in data]
        if what == "shapes"
        else np.rint(data).astype(int)
    )
    layer = Layer.create(whole, keywords, kind)
    new = Layer.create(*applied_layer(take(layer), pair, LayerOptions(), "t", silent)[0])
    expected = apply(pair, world(layer, vertices(layer).astype(float))).points
    if what == "shapes":  # the last one keeps its vertices
        assert np.allclose(world(new, new.data[-1]), expected[-len(new.data[-1]) :], atol=1e-5)
    else:
        assert np.allclose(world(new, vertices(new)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("lazy", [False, True])
def test_time_channels_and_pyramids(lazy):
    pair, rng = pair_of("displacement", 2), np.random.default_rng(0)
    stack = rng.normal(size=(3, 2, *SHAPES[2])).astype(np.float32)
    data = da.from_array(stack, chunks=(1, 1, -1, -1)) if lazy else stack
    scale = (0.5, 1, 1.2, 0.9)
    layer = ImageLayer(
        [data, data[..., ::2, ::2]],
        multiscale=True,
        scale=scale,
        translate=(4, 0, 0, 0),
        units=("second", "pixel", "millimeter", "millimeter"),
        axis_labels=("t", "c", "y", "x"),
    )
    new = Layer.create(*applied_layer(take(layer), pair, LayerOptions(), "t", silent)[0])
    assert new.data.shape == (3, 2, *SHAPES[2]) and not new.multiscale
    assert isinstance(new.data, da.Array) == lazy
    assert new.axis_labels == layer.axis_labels and new.units == layer.units
    assert np.allclose(data_to_world(new)[0], [0.5, 0, 0, 0, 4])
    source = Grid.from_spacing(SHAPES[2], (1.2, 0.9), units="millimeter")
    expected = apply(pair, Image(stack[2, 1], source), background="own")
    assert np.allclose(new.data[2, 1], expected, equal_nan=True, atol=1e-6)


class Counted:
    """An array that remembers what was read of it."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.ndim = data, data.shape, data.dtype, data.ndim
        self.read = []

    def __getitem__(self, key):
        self.read.append(key)
        return self.data[key]


def stepped(d, unit, last=False):
    """`place` with one more axis, first or last."""
    where, order = place(d), [*range(d)]
    matrix, order = np.eye(d + 2), [*order, d] if last else [d, *order]
    inner = [*range(d), d + 1] if last else [*range(1, d + 2)]
    matrix[np.ix_(inner, inner)] = where["affine"]
    names = [*("z", "y", "x")[-d:], "c" if last else "t"]
    units, scale = [*where["units"], unit], [*where["scale"], 2.0]
    return {
        "affine": matrix,
        "scale": [scale[k] for k in order],
        "units": [units[k] for k in order],
        "axis_labels": [names[k] for k in order],
    }


def movie(ndim):
    """A lazy movie, one frame a chunk, what counts its reading, and the layer."""
    stack = np.random.default_rng(1).normal(size=(6, *SHAPES[ndim])).astype(np.float32)
    counted = Counted(stack)
    lazy = da.from_array(counted, chunks=(1, *SHAPES[ndim]), asarray=True)
    layer = ImageLayer(lazy, contrast_limits=(-3, 3), **stepped(ndim, "second"))
    counted.read.clear()
    return stack, counted, layer


@pytest.mark.parametrize("direction", ["moving -> fixed", "fixed -> moving"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_lazy_layer_stays_lazy_and_a_frame_is_read_when_it_is_seen(ndim, direction, monkeypatch):
    monkeypatch.setattr(in_slabs, "SLAB", 500)
    pair, options = pair_of("displacement", ndim), LayerOptions(direction, background=0.0)
    stack, counted, layer = movie(ndim)
    eager = ImageLayer(stack, **stepped(ndim, "second"))
    [expected, *_], notes = applied_layer(take(eager), pair, options, "t", silent)
    [found, *_], same = applied_layer(take(layer), pair, options, "t", silent)
    assert isinstance(found, da.Array) and not counted.read and same == notes
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert max(np.prod(found.chunksize), 500) == 500 and found.chunksize[0] == 1
    np.testing.assert_allclose(np.asarray(found[4]), expected[4], atol=1e-5)
    assert counted.read and all(key[0] in (4, slice(4, 5)) for key in counted.read)
    np.testing.assert_allclose(found.compute(), expected, atol=1e-5)
    assert np.array_equal(counted.data, stack)


def test_lazy_colours_labels_and_other_orders_of_axes(viewer):
    pair, rng = pair_of("affine", 2), np.random.default_rng(2)
    size = SHAPES[2]
    colours = rng.integers(0, 255, (3, *size, 3)).astype(np.uint8)
    labels = rng.integers(0, 4, (3, *size))
    more, last = stepped(2, "pixel"), stepped(2, "pixel", last=True)
    for data, make, keywords in (
        (colours, ImageLayer, {**more, "rgb": True}),
        (labels, Labels, more),
        (rng.normal(size=(*size, 3)).astype(np.float32), ImageLayer, {**last, "contrast_limits": (-3, 3)}),
    ):
        lazy = make(da.from_array(data, chunks=(1, *data.shape[1:])), **keywords)
        first, second = (
            applied_layer(take(one), pair, LayerOptions(), "t", silent)[0]
            for one in (make(data, **keywords), lazy)
        )
        assert isinstance(second[0], da.Array)
        np.testing.assert_allclose(np.asarray(second[0]), first[0], atol=1e-5)
        shown = viewer.add_layer(Layer.create(*second))  # napari takes it
        assert shown.data.shape == first[0].shape


def test_a_lazy_plane_is_made_at_once():
    layer = ImageLayer(da.zeros(SHAPES[2], chunks=8), contrast_limits=(0, 1), **place(2))
    [found, *_], _ = applied_layer(take(layer), pair_of("affine", 2), LayerOptions(), "t", silent)
    assert isinstance(found, np.ndarray)  # all of it is seen at once


def test_the_grid_the_pixel_size_and_the_interpolation_are_taken():
    pair, layer = pair_of("affine", 2), layer_of("labels", 2)
    options = LayerOptions(grid="moving", pixel_size=0.6, labels="vote")
    new = Layer.create(*applied_layer(take(layer), pair, options, "t", silent)[0])
    expected = apply(pair, image_from_layer(layer), grid="moving", pixel_size=0.6, interpolation="vote").image
    assert np.array_equal(new.data, expected.data)
    assert image_from_layer(new).grid.same_as(expected.grid)


def test_what_cannot_be_applied_is_one_sentence(monkeypatch):
    with pytest.raises(ValueError, match=r"^image: The layer is 2D and the transform 3D"):
        applied_layer(take(layer_of("image", 2)), pair_of("affine", 3), LayerOptions(), "t", silent)
    far = layer_of("points", 2)
    far.data = far.data + 500
    with pytest.raises(ValueError, match=r"^points: None of the points lies inside the field"):
        applied_layer(take(far), pair_of("displacement", 2), LayerOptions("fixed -> moving"), "t", silent)
    far.data = np.concatenate([far.data[:3] - 500, far.data])
    notes = applied_layer(
        take(far), pair_of("displacement", 2), LayerOptions("fixed -> moving"), "t", silent
    )[1]
    assert notes == ("12 of 15 points lie outside the field of the transform.",)
    small = LayerOptions(pixel_size=1e-4)
    with pytest.raises(ValueError, match=r"^image: The pixel size 0.0001 makes 288000 x 270000 pix"):
        applied_layer(take(layer_of("image", 2)), pair_of("affine", 2), small, "t", silent)

    def full(*args):
        raise MemoryError("Unable to allocate 1.31 TiB")

    monkeypatch.setattr(applied_module, "warper", full)
    with pytest.raises(ValueError, match=r"^rgb: The result needs more memory than there is; give a lar"):
        applied_layer(take(layer_of("rgb", 2)), pair_of("affine", 2), LayerOptions(), "t", silent)
    monkeypatch.undo()
    empty = Points(np.empty((0, 2)), units="mm")
    assert len(applied_layer(take(empty), pair_of("affine", 2), LayerOptions(), "t", silent)[0][0]) == 0
