"""Every kind of transform applied to every kind of data, against SimpleITK and SciPy on the same points."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_voxreg import (
    Affine,
    BSpline,
    Cancelled,
    Composite,
    Displacement,
    Grid,
    Homography,
    Image,
    StationaryVelocity,
    ThinPlate,
    apply,
    load_transform,
    save_transform,
    warp,
)
from napari_voxreg.io.images import write_image
from napari_voxreg.io.series import with_time
from napari_voxreg.registration import apply as apply_module
from napari_voxreg.registration.apply_files import ApplyOptions, apply_to_folder, files_in
from napari_voxreg.registration.inverse import inverse_on
from napari_voxreg.registration.pair_transform import PairTransform, open_transform
from napari_voxreg.transforms import INTERPOLATIONS, displacement_on
from napari_voxreg.transforms.itk import image_to_itk, set_geometry

HOW = ("linear", "nearest")
SHAPES = {2: (30, 36), 3: (16, 18, 20)}
KINDS = ("affine", "homography", "bspline", "displacement", "velocity", "thin plate", "composite")
EACH = [(kind, d) for kind in KINDS for d in (2, 3) if (kind, d) != ("homography", 3)]
CLOSED = ("affine", "homography", "velocity")
IN_ITK = ("affine", "bspline", "displacement", "velocity", "composite")


def fixed_grid(d: int) -> Grid:
    """Anisotropic and rotated, in millimetres."""
    axes = np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))[0]
    return Grid.from_spacing(SHAPES[d], (1.4, 0.9, 1.1)[:d], (5.0, -8.0, 3.0)[:d], axes, "millimeter")


def smooth(grid: Grid, size: float, seed: int) -> np.ndarray:
    """A smooth field that fades towards the rim of its grid."""
    rng = np.random.default_rng(seed)
    field = np.stack([gaussian_filter(rng.normal(size=grid.shape), 4) for _ in range(grid.ndim)], axis=-1)
    index = np.indices(grid.shape)
    rim = np.min([np.minimum(i, n - 1 - i) for i, n in zip(index, grid.shape, strict=True)], axis=0)
    field *= np.clip(rim / 5, 0, 1)[..., None]
    return size * field / np.abs(field).max()


def make(kind: str, d: int):
    grid, rng = fixed_grid(d), np.random.default_rng(7)
    if kind == "affine":
        matrix = np.eye(d + 1)
        matrix[:d] += 0.08 * rng.normal(size=(d, d + 1))
        matrix[:d, d] += 2.0
        return Affine(matrix)
    if kind == "homography":
        matrix = make("affine", 2).matrix.copy()
        matrix[2, :2] = 0.002, -0.001
        return Homography(matrix)
    if kind == "bspline":
        control = Grid(
            tuple(n // 4 + 4 for n in grid.shape),
            grid.affine
            @ np.block([[4 * np.eye(d), np.full((d, 1), -6.0)], [np.zeros((1, d)), np.ones((1, 1))]]),
            grid.units,
        )
        return BSpline(0.5 * rng.normal(size=(d, *control.shape)), control)
    if kind == "displacement":
        return Displacement(smooth(grid, 1.5, 1), grid)
    if kind == "velocity":
        return StationaryVelocity(smooth(grid, 1.5, 2), grid)
    if kind == "thin plate":
        points = np.concatenate([grid.corners(), grid.centre[None] + 0.3])
        return ThinPlate(points, points + 0.6 * rng.normal(size=points.shape))
    return Composite((make("displacement", d), make("affine", d)))


def pair_of(kind: str, d: int) -> PairTransform:
    """A transform whose moving image covers what the fixed one is mapped to."""
    transform, fixed = make(kind, d), fixed_grid(d)
    corners = transform(fixed.corners())
    low, high = corners.min(axis=0) - 4, corners.max(axis=0) + 4
    spacing = np.array((1.0, 1.3)) if d == 2 else np.array((1.8, 2.4, 1.5))
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    return PairTransform(transform, fixed, Grid.from_spacing(tuple(shape), spacing, low, units="millimeter"))


def picture(grid: Grid, seed: int = 3) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=grid.shape)
    return gaussian_filter(noise, 1.5).astype(np.float32)


def in_itk(pair: PairTransform, data: np.ndarray, nearest: bool = False) -> np.ndarray:
    """SimpleITK's Resample of pixels on the moving grid."""
    like = set_geometry(sitk.Image([int(n) for n in pair.fixed.shape[::-1]], sitk.sitkUInt8), pair.fixed)
    how = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    image = image_to_itk(Image(data, pair.moving))
    return sitk.GetArrayFromImage(sitk.Resample(image, like, pair.transform.to_itk(pair.fixed), how, 0.0))


def at(data: np.ndarray, grid: Grid, points: np.ndarray, order: int = 1, fill: float = 0.0) -> np.ndarray:
    """SciPy's interpolation of pixels at world points, and half a pixel beyond the rim."""
    index = grid.to_index(points)
    inside = np.all((index >= -0.5) & (index < np.array(grid.shape) - 0.5), axis=1)
    values = map_coordinates(
        data.astype(float), index.T, order=order, mode="nearest" if order < 2 else "mirror"
    )
    return np.where(inside, values, fill)


@pytest.mark.parametrize(("kind", "d"), EACH)
def test_images_come_onto_the_fixed_grid_as_in_itk(kind, d):
    pair = pair_of(kind, d)
    grey = picture(pair.moving)
    expected = at(grey, pair.moving, pair.transform(pair.fixed.nodes())).reshape(pair.fixed.shape)
    if kind in IN_ITK:
        assert np.allclose(in_itk(pair, grey), expected, atol=1e-5)
    rgb = (np.stack([picture(pair.moving, seed) for seed in (3, 4, 5)], axis=-1) * 300 + 128).clip(0, 255)
    series = np.stack([grey, grey[::-1]])
    labels = (grey > 0).astype(np.uint16) * 7 + 3

    assert np.allclose(apply(pair, Image(grey, pair.moving)), expected, atol=1e-5)
    coloured = apply(pair, Image(rgb.astype(np.uint8), pair.moving))
    for c in range(3):
        alone = apply(pair, Image(rgb[..., c].astype(np.uint8), pair.moving))
        assert np.array_equal(coloured.image.data[..., c], alone)
        assert alone.image.data.dtype == np.uint8
    film = apply(pair, Image(series, with_time(pair.moving, 2, 0.5, 1.0)))
    assert film.image.grid.units[0] == "second" and np.allclose(film.image.data[0], expected, atol=1e-5)
    assert np.array_equal(film.image.data[1], apply(pair, Image(series[1], pair.moving)))
    nearest = apply(pair, Image(labels, pair.moving), interpolation="nearest").image.data
    assert np.mean(nearest != in_itk(pair, labels, nearest=True)) < (1e-9 if kind in IN_ITK else 0.01)
    vote = apply(pair, Image(labels, pair.moving), interpolation="vote").image.data
    inside = at(np.ones_like(grey), pair.moving, pair.transform(pair.fixed.nodes())).reshape(vote.shape) > 0
    half = at(labels == 10, pair.moving, pair.transform(pair.fixed.nodes())).reshape(vote.shape)
    assert set(np.unique(vote)) <= {0, 3, 10} and vote.dtype == np.uint16
    clear = inside & (abs(half - 0.5) > 1e-6)
    assert np.array_equal(vote[clear] == 10, half[clear] > 0.5)


@pytest.mark.parametrize(("kind", "d"), EACH)
def test_points_go_both_ways(kind, d):
    pair = pair_of(kind, d)
    inner = np.random.default_rng(1).uniform(6, np.array(pair.fixed.shape) - 7, (200, d))
    fixed_points = pair.fixed.to_world(inner)
    there = apply(pair, fixed_points, direction="fixed -> moving")
    assert there.inverse_error is None
    if kind in IN_ITK:
        itk = pair.transform.to_itk(pair.fixed)
        itk_points = [itk.TransformPoint(p[::-1].tolist())[::-1] for p in fixed_points]
        assert np.allclose(there, itk_points, rtol=0, atol=1e-9)
    back = apply(pair, there.points)
    if kind in CLOSED:
        assert back.inverse_error is None and back.notes == ()
    else:
        assert "numerically" in back.notes[0] and 0 < back.inverse_error < 0.01
        missed = np.linalg.norm(pair.transform(back.points) - there.points, axis=1)
        assert missed.max() == pytest.approx(back.inverse_error)
    assert np.allclose(back, fixed_points, rtol=0, atol=1e-9 if kind in ("affine", "homography") else 0.02)


@pytest.mark.parametrize(("kind", "d"), EACH)
def test_images_come_onto_the_moving_grid_through_the_inverse(kind, d):
    pair = pair_of(kind, d)
    grey = picture(pair.fixed)
    warped = apply(pair, Image(grey, pair.fixed), direction="fixed -> moving", background=np.nan)
    assert warped.image.grid is pair.moving
    assert (warped.inverse_error is None) == (kind in CLOSED)
    nodes = pair.moving.nodes()
    back = apply(pair, nodes).points
    solved = np.linalg.norm(pair.transform(back) - nodes, axis=1) < 0.01
    inner = np.all(np.abs(pair.fixed.to_index(back) - (np.array(pair.fixed.shape) - 1) / 2)
                   < (np.array(pair.fixed.shape) - 8) / 2, axis=1) & solved  # fmt: skip
    assert inner.sum() > 100
    expected = at(grey, pair.fixed, back)[inner]
    assert np.abs(warped.image.data.ravel()[inner] - expected).max() < 0.05 * np.abs(grey).max()
    if warped.inverse_error is not None:
        assert any("misses by" in note and "mm" in note for note in warped.notes)


def test_many_images_on_one_grid_share_an_inverse(monkeypatch, tmp_path):
    made: list[tuple[int, ...]] = []

    def counted(transform, fixed, grid, progress):
        made.append(grid.shape)
        return inverse_on(transform, fixed, grid, progress)

    monkeypatch.setattr(apply_module, "inverse_on", counted)
    pair = pair_of("displacement", 2)
    image = Image(picture(pair.fixed), pair.fixed)
    again = replace(pair)  # another object: nothing is known of it
    expected = [apply(replace(pair), image, direction="fixed -> moving", interpolation=how) for how in HOW]
    made.clear()
    for how, one in zip(HOW, expected, strict=True):
        found = apply(again, image, direction="fixed -> moving", interpolation=how)
        assert np.array_equal(found.image.data, one.image.data) and found.notes == one.notes
    assert made == [pair.moving.shape]
    apply(again, image, direction="fixed -> moving", grid="fixed")
    assert made == [pair.moving.shape, pair.fixed.shape]  # another grid
    made.clear()
    (tmp_path / "in").mkdir()
    for name in ("a.mha", "b.mha", "c.mha"):
        write_image(image, tmp_path / "in" / name)
    apply_to_folder(pair, tmp_path / "in", tmp_path / "out", ApplyOptions("fixed -> moving"))
    assert len(made) == 1


def test_results_files_and_chains_are_taken(tmp_path):
    pair = pair_of("affine", 2)
    image = Image(picture(pair.moving), pair.moving)
    expected = apply(pair, image).image.data
    path = save_transform(pair.transform, tmp_path / "t.h5", pair.fixed)
    for given in (path, str(path), tmp_path / "t.json"):
        assert np.array_equal(apply(given, image), expected)
    assert np.array_equal(apply(load_transform(path), image, grid=pair.fixed), expected)
    # A second transform in other units, from the first one's moving image onwards.
    second = PairTransform(Affine.translation([2000.0, -1000.0]), pair.moving.in_units(["um"] * 2))
    both = apply([path, second], image, background=np.nan)
    chained = Composite((pair.transform, Affine.translation([2.0, -1.0])))
    assert np.allclose(both, warp(image, chained, pair.fixed, fill=np.nan), equal_nan=True)
    assert open_transform([path, second]).transform.linear
    with pytest.raises(ValueError, match="Transform 2 is 3D and the first one 2D"):
        apply([path, Affine.identity(3)], image)
    with pytest.raises(ValueError, match="no transform; give a Transform"):
        apply([], image)


def test_the_error_of_an_inverse_has_the_unit_of_the_world():
    pair = pair_of("displacement", 2)
    bare = pair.transform
    image = Image(picture(pair.fixed), pair.fixed)
    for transform, what, grid, unit in (
        (pair, image, None, "mm"),
        (bare, image, pair.fixed, "mm"),
        (bare, image, pair.fixed.in_units(("micrometer",) * 2), "µm"),
        (bare, bare(pair.fixed.centre[None]), None, "world units"),
    ):
        direction = "moving -> fixed" if what is not image else "fixed -> moving"
        (note,) = apply(transform, what, direction=direction, grid=grid).notes
        assert re.search(rf"misses by \S+ {unit} at most\.$", note), note


@pytest.mark.parametrize("d", [2, 3])
def test_the_grid_and_the_size_of_pixels_can_be_chosen(d):
    pair = pair_of("displacement", d)
    image = Image(picture(pair.moving), pair.moving)
    fine = apply(pair, image, pixel_size=0.5).image
    assert np.allclose(fine.grid.spacing, 0.5)
    assert np.allclose(fine.grid.centre, pair.fixed.centre)
    assert np.allclose(fine.grid.direction, pair.fixed.direction)
    assert np.allclose(np.array(fine.grid.shape) * 0.5, pair.fixed.spacing * pair.fixed.shape, atol=0.26)
    expected = at(image.data, pair.moving, pair.transform(fine.grid.nodes()))
    assert np.allclose(fine.data.ravel(), expected, atol=1e-4)
    micro = pair.moving.in_units(["um"] * d)
    onto = apply(pair, image, grid=micro).image
    assert onto.grid is micro
    assert np.allclose(onto, apply(pair, image, grid="moving"), atol=1e-6)


@pytest.mark.parametrize("kind", ["displacement", "thin plate"])
def test_lazy_pixels_are_read_only_where_they_are_needed(kind):
    pair = pair_of(kind, 3)
    wide = replace(pair.moving, shape=(400, *pair.moving.shape[1:]))
    data = np.random.default_rng(0).normal(size=wide.shape).astype(np.float32)
    read = []

    def block(values, block_info=None):
        read.append(block_info[0]["chunk-location"])
        return values

    lazy = da.from_array(data, chunks=(8, -1, -1)).map_blocks(block, dtype=data.dtype, meta=data[:0, :0, :0])
    for interpolation in INTERPOLATIONS[:3]:
        read.clear()
        found = apply(pair, Image(lazy, wide), interpolation=interpolation)
        assert len(set(read)) < 12
        whole = apply(pair, Image(data, wide), interpolation=interpolation)
        assert np.allclose(found, whole, atol=1e-4)
        assert apply(pair, Image(lazy, wide), background="own").image.data.dtype == np.float32


def test_cubic_interpolation_is_that_of_splines_and_keeps_pixels_without_data():
    pair = pair_of("affine", 2)
    grey = picture(pair.moving)
    cubic = apply(pair, Image(grey, pair.moving), interpolation="cubic").image.data.ravel()
    places = pair.transform(pair.fixed.nodes())
    inner = np.all(np.abs(pair.moving.to_index(places) - 15) < 8, axis=1)
    assert np.allclose(cubic[inner], at(grey, pair.moving, places, order=3)[inner], atol=1e-3)
    holed = grey.copy()
    holed[20, 20] = np.nan
    found = apply(pair, Image(holed, pair.moving), interpolation="cubic").image.data.ravel()
    rough = apply(pair, Image(holed, pair.moving)).image.data.ravel()
    assert 0 < np.isnan(found).sum() < 10 and np.array_equal(np.isnan(found), np.isnan(rough))


def test_the_background_is_chosen():
    pair = pair_of("affine", 2)
    extent = float(np.ptp(pair.moving.corners()[:, 0]))
    away = PairTransform(Affine.translation([0.6 * extent, 0.0]), pair.fixed, pair.moving)
    outside = ~pair.moving.contains(away.transform(pair.fixed.nodes()))
    assert 0.1 < outside.mean() < 0.9
    grey = picture(pair.moving)
    white = (255 - 20 * np.abs(grey)).astype(np.uint8)
    for data, background, expected in (
        (grey, 0.0, 0), (grey, "own", np.nan), (grey, np.nan, np.nan), (grey, -3.5, -3.5),
        (white, "own", white.max()), (white, 17, 17),
    ):  # fmt: skip
        found = apply(away, Image(data, pair.moving), background=background).image.data.ravel()
        assert np.array_equal(found[outside], np.full(outside.sum(), expected, data.dtype), equal_nan=True)
    labels = apply(away, Image(white, pair.moving), interpolation="nearest", background="own")
    assert not labels.image.data.ravel()[outside].any() and labels.image.data.any()
    for value in (np.nan, 300, -1, 0.5):
        with pytest.raises(ValueError, match="background of uint8 pixels cannot be"):
            apply(away, Image(white, pair.moving), background=value)


def test_thin_stacks_and_masked_pixels():
    pair = pair_of("displacement", 2)
    data = np.ma.masked_less(picture(pair.moving), -0.2)
    flat = apply(pair, Image(data, pair.moving)).image.data
    assert np.ma.is_masked(flat) and not flat.mask.all()
    affine = np.eye(4)
    affine[1:, 1:] = pair.moving.affine
    deep = Grid((1, *pair.moving.shape), affine, ("millimeter",) * 3)
    stack = apply(pair, Image(data[None], deep))
    assert np.array_equal(stack.image.data, flat)
    assert apply(pair, Image(data[None], deep), grid=deep).image.data.shape == deep.shape


def test_points_outside_the_field_are_counted():
    pair = pair_of("displacement", 2)
    inside = pair.fixed.to_world([[10.0, 10.0], [12.0, 20.0]])
    far = pair.fixed.to_world([[200.0, 10.0]])
    found = apply(pair, np.concatenate([inside, far]), direction="fixed -> moving")
    assert found.notes == ("1 of 3 points lie outside the field of the transform.",)
    assert np.array_equal(found.points[2], far[0])
    with pytest.raises(ValueError, match=r"None of the points lies inside the field .* in mm"):
        apply(pair, far, direction="fixed -> moving")
    assert apply(pair_of("affine", 2), far).notes == ()
    assert apply(pair, np.empty((0, 2))).points.shape == (0, 2)
    with pytest.raises(
        ValueError, match="Point 2 of those given has a coordinate that is not finite; complete"
    ):
        apply(pair, [[1.0, 2.0], [np.nan, 1.0], [3.0, 3.0]])


def test_a_folded_transform_says_so():
    grid = Grid.from_spacing((40, 40))
    x = np.indices(grid.shape, dtype=float)
    field = np.stack([6 * np.sin(x[0] / 3), 0 * x[0]], axis=-1)
    found = apply(Displacement(field, grid), grid.to_world([[20.0, 20.0], [10.0, 11.0]]))
    assert any(re.search(r"folds on about \d+(\.\d+)? % of the fixed image", note) for note in found.notes)
    warped = apply(
        Displacement(field, grid), Image(field[..., 0], grid), direction="fixed -> moving", grid=grid
    )
    assert any("folds" in note for note in warped.notes)
    with pytest.raises(ValueError, match="has no inverse for any of the points"):
        # Everything comes together in one place.
        apply(Displacement(0.999 * (20 - x.transpose(1, 2, 0)), grid), [[25.0, 25.0], [27.0, 28.0]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction": "back"}, "direction cannot be 'back'; choose from: moving -> fixed, fixed -> moving"),
        ({"interpolation": "best"}, "interpolation cannot be 'best'"),
        ({"grid": "mine"}, "grid cannot be 'mine'"),
        ({"pixel_size": -1}, "pixel size cannot be -1"),
        ({"pixel_size": (1, 2, 3)}, "pixel size cannot be"),
        ({"pixel_size": 1e-9}, "pixel size 1e-09 makes 4.2e+10 x 3.24e+10 pixels, more than 10,000,000"),
        ({"grid": Grid.from_spacing((3, 3, 3))}, "transform is 2D and the grid 3D"),
        ({"what": np.ones((5, 2)), "transform": Affine.identity(3)}, "shape (5, 2) is neither points, (N"),
        ({"transform": Affine.identity(2)}, "does not say on which grid the fixed image lies"),
        ({"transform": PairTransform(Affine.identity(3), fixed_grid(3))}, "transform is 3D and the image 2D"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_in_one_sentence(change, message):
    pair = pair_of("affine", 2)
    known = {"transform": pair, "what": Image(picture(pair.moving), pair.moving), **change}
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        apply(**known)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["affine", "bspline"])
@pytest.mark.parametrize("direction", ["moving -> fixed", "fixed -> moving"])
def test_it_reports_and_stops_when_cancelled(kind, direction):
    pair = pair_of(kind, 3)
    image = Image(picture(pair.moving), pair.moving)
    reports = []
    apply(
        pair,
        image,
        direction=direction,
        progress=lambda fraction, message, metric=None: reports.append(fraction),
    )
    fractions = [f for f in reports if f is not None]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)

    def stop(fraction, message, metric=None):
        raise Cancelled

    with pytest.raises(Cancelled):
        apply(pair, image, direction=direction, progress=stop)


def test_inputs_stay_as_they_are():
    pair = pair_of("composite", 2)
    data, points = picture(pair.moving), pair.transform(pair.fixed.nodes()[300:350])
    copies = data.copy(), points.copy()
    apply(pair, Image(data, pair.moving), interpolation="cubic")
    apply(pair, points)
    assert np.array_equal(data, copies[0]) and np.array_equal(points, copies[1])
    field = displacement_on(pair.transform, pair.fixed)
    assert np.array_equal(field, displacement_on(pair.transform, pair.fixed))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path, record: record.update(version=2), "written by a newer napari-voxreg"),
        (lambda path, record: record["members"][0].update(kind="tensor"), "needs a newer napari-voxreg"),
        (lambda path, record: record["members"][0].update(matrix=[[0.0] * 3] * 3), "t.json cannot be read"),
        (lambda path, record: path.write_bytes(path.read_bytes()[:900]), "is not the file that"),
        (lambda path, record: record.pop("members"), "remove it to read the .h5 alone"),
        (lambda path, record: path.unlink(), "There is no transform at"),
    ],
    ids=("newer", "unknown", "singular", "truncated", "incomplete", "missing"),
)
def test_files_that_cannot_be_read_are_one_sentence(damage, message, tmp_path):
    pair = pair_of("affine", 2)
    path = save_transform(pair.transform, tmp_path / "t.h5", pair.fixed)
    record = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    damage(path, record)
    (tmp_path / "t.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        apply(path, np.zeros((3, 2)))
    assert "\n" not in str(caught.value)


def test_large_labels_stay_what_they_are() -> None:
    labels = np.zeros((20, 24), np.int64)
    labels[4:9, 5:12], labels[10:15, 8:20] = 2**60 + 1, 2**60 + 2
    image = Image(labels, Grid.from_spacing(labels.shape))
    done = apply(
        Affine.translation((1.0, 2.0)), image, grid=image.grid, interpolation="nearest", background=-1
    )
    assert set(np.unique(done.image.data)) == {-1, 0, 2**60 + 1, 2**60 + 2}
    np.testing.assert_array_equal(done.image.data[3:8, 3:10], 2**60 + 1)


def test_an_image_that_lies_elsewhere_is_refused() -> None:
    grid = Grid.from_spacing((20, 24))
    image = Image(np.ones((20, 24), np.float32), grid)
    with pytest.raises(ValueError, match="wholly outside"):
        apply(Affine.translation((1e300, 0.0)), image, grid=grid)
    black = apply(Affine.translation((1.0, 0.0)), Image(np.zeros((20, 24)), grid), grid=grid)
    assert not black.image.data.any()  # it lies there, and is black


def test_names_that_differ_in_capitals_only_are_refused(tmp_path):
    """Their results would be one file on macOS and Windows."""
    for name in ("A.png", "a.tif"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"Several images in .* are called A; rename or move one of them"):
        files_in(tmp_path)
