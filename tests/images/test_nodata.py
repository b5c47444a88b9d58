"""Pixels without data: masked, NaN, infinite, transparent; they never count, and one note says so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_voxreg import Affine, Grid, Image, compare, evaluate, register, warp
from napari_voxreg.images.nodata import without_nodata
from napari_voxreg.images.preprocess import driving_channel
from napari_voxreg.io.pairs import Pair
from napari_voxreg.registration.compare import remarks
from napari_voxreg.registration.prepare import prepare

SHIFT = np.array([3.0, -4.0])


def pair() -> tuple[np.ndarray, np.ndarray]:
    """Two images of one scene, the moving one translated."""
    scene = gaussian_filter(np.random.default_rng(0).standard_normal((110, 120)), 3).astype("f4")
    return 100 * scene[8:98, 10:110], 100 * scene[5:95, 14:114]


def footprints() -> tuple[np.ndarray, np.ndarray]:
    """Where each of the two has data: edges in different directions."""
    y, x = np.mgrid[:90, :100]
    return (x + 0.3 * y > 30) & (y > 6), (x - 0.4 * y < 65) & (y < 80)


def spoilt(how: str) -> tuple[np.ndarray, np.ndarray]:
    """The pair without data outside the footprints, each in the way that is named."""
    images = []
    for data, known in zip(pair(), footprints(), strict=True):
        if how == "masked":
            images.append(np.ma.array(np.where(known, data, -9999), mask=~known))
        elif how == "masked integers":
            images.append(np.ma.array(np.where(known, data * 20, -9999).astype("i2"), mask=~known))
        else:
            fill = {"nan": np.nan, "infinite": np.inf, "minus infinite": -np.inf}[how]
            images.append(np.where(known, data, fill).astype("f4"))
    return images[0], images[1]


@pytest.mark.parametrize("how", ["nan", "infinite", "minus infinite", "masked", "masked integers"])
@pytest.mark.parametrize("method", ["translation", "rigid"])
def test_pixels_without_data_do_not_count(how: str, method: str) -> None:
    fixed, moving = spoilt(how)
    copies = fixed.copy(), moving.copy()
    result = register(fixed, moving, method=method)
    assert result.transform([[45.0, 50.0]])[0] - [45, 50] == pytest.approx(SHIFT, abs=0.2)
    assert result.verdict.outcome == "better"
    about = [note for note in result.notes if "without data" in note]
    assert len(about) == 1 and "fixed" in about[0] and "moving" in about[0]
    for image, copy in zip((fixed, moving), copies, strict=True):
        assert np.array_equal(np.ma.getdata(image), np.ma.getdata(copy), equal_nan=how[-6:] != "tegers")


def test_the_mask_of_the_task_is_both_masks() -> None:
    fixed, moving = spoilt("nan")
    own = np.zeros(fixed.shape, bool)
    own[:, :60] = True
    task = prepare(fixed, moving, fixed_mask=own).task
    assert np.array_equal(task.fixed_mask.data, own & np.isfinite(fixed))
    assert np.array_equal(task.moving_mask.data, np.isfinite(moving))
    assert np.isfinite(task.fixed.data).all() and np.isfinite(task.moving.data).all()
    assert np.array_equal(task.fixed.data[np.isfinite(fixed)], fixed[np.isfinite(fixed)])


def test_what_has_no_data_in_a_mask_does_not_count() -> None:
    fixed, moving = pair()
    own = np.where(footprints()[0], 3.0, np.nan)
    for mask in (own, np.ma.masked_invalid(own), Image(own, Grid.from_spacing(own.shape))):
        task = prepare(fixed, moving, fixed_mask=mask).task
        assert np.array_equal(task.fixed_mask.data, footprints()[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_a_given_mask_excludes_is_no_matter(value: float) -> None:
    fixed, moving = (data.copy() for data in pair())
    fixed[:20] = value
    moving[-15:] = value
    masks = {"fixed_mask": np.isfinite(fixed), "moving_mask": np.isfinite(moving)}
    result = register(fixed, moving, method="translation", **masks)
    assert result.transform([[0.0, 0.0]])[0] == pytest.approx(SHIFT, abs=0.2)
    assert not any("without data" in note for note in result.notes)


def test_what_leaves_nothing_is_refused() -> None:
    fixed, moving = pair()
    for nothing in (np.full(fixed.shape, np.nan), np.ma.masked_all(fixed.shape)):
        with pytest.raises(ValueError, match=r"fixed has no pixel with data.*; choose another image\.$"):
            register(nothing, moving)
    half = fixed.copy()
    half[:50] = np.nan
    with pytest.raises(ValueError, match=r"The moving mask covers no pixel with data"):
        register(fixed, half, moving_mask=np.isnan(half))
    half[50:] = 7.0
    with pytest.raises(ValueError, match="The moving image is constant"):
        register(fixed, half)


def test_compare_and_evaluate_say_it_once() -> None:
    fixed, moving = spoilt("nan")
    rows = compare(fixed, moving, methods=["translation", "rigid"])
    assert sum("without data" in line for line in remarks(rows)) == 1
    grid = Grid.from_spacing(fixed.shape)
    given = [Pair(name, Image(fixed, grid), Image(moving, grid)) for name in ("a", "b")]
    clean = [Pair("c", *(Image(data, grid) for data in pair()))]
    notes = evaluate([*given, *clean], method="translation").notes
    assert (
        len(notes) == 1
        and notes[0].startswith("a: ")
        and notes[0].endswith("The same applies to 1 other pair.")
    )
    assert evaluate(clean, method="translation").notes == ()


def test_pixels_without_data_take_the_value_of_the_nearest() -> None:
    data = np.tile(np.arange(10.0), (6, 1))
    data[:, :3] = np.nan
    image, known = without_nodata(driving_channel(Image(data, Grid.from_spacing(data.shape))))
    assert np.array_equal(image.data[:, :3], np.full((6, 3), 3.0))
    assert np.array_equal(known.data, np.isfinite(data))
    whole = Image(np.ones((4, 4), "f4"), Grid.from_spacing((4, 4)))
    assert without_nodata(whole) == (whole, None)


@pytest.mark.parametrize("dtype", ["f4", "u1", "i2", "i4"])
def test_masked_pixels_are_not_interpolated(dtype: str) -> None:
    data = (50 + 10 * np.indices((12, 14)).sum(0)).astype(dtype) // 2
    mask = np.zeros(data.shape, bool)
    mask[4:6, 5:8] = True
    spoilt = np.ma.array(np.where(mask, 99, data), mask=mask, fill_value=99)
    grid = Grid.from_spacing(data.shape)
    through = Affine.translation([0.5, 0.0])
    found = warp(Image(spoilt, grid), through, grid).data
    assert found.dtype == dtype
    expected = map_coordinates(
        data.astype(float), np.indices(data.shape) + np.reshape([0.5, 0.0], (2, 1, 1)), order=1
    )
    touched = mask | np.roll(mask, -1, axis=0)
    touched[-1] = np.ma.getmaskarray(found)[-1]  # halfway to what lies outside
    assert np.array_equal(np.ma.getmaskarray(found), touched)
    assert found.compressed() == pytest.approx(expected[~touched], abs=0.51 if dtype != "f4" else 1e-3)
    away = warp(Image(spoilt, grid), Affine.translation([100.0, 0.0]), grid).data
    assert np.ma.getmaskarray(away).all()


def test_the_mask_of_one_channel_counts_for_what_uses_it() -> None:
    rng = np.random.default_rng(2)
    data = np.ma.array(rng.random((9, 10, 3)), mask=np.zeros((9, 10, 3), bool))
    data[2, 3, 1] = np.ma.masked
    image = Image(data, Grid.from_spacing((9, 10)))
    assert np.argwhere(np.isnan(driving_channel(image).data)).tolist() == [[2, 3]]
    assert np.isfinite(driving_channel(image, 0).data).all()
    assert np.isnan(driving_channel(image, 1).data).sum() == 1


def test_transparent_pixels_have_no_data() -> None:
    fixed, moving = pair()
    known = footprints()
    colours = [
        np.dstack([*[np.where(k, np.clip(d * 4 + 128, 0, 255), 255)] * 3, 255 * k]).astype("u1")
        for d, k in zip((fixed, moving), known, strict=True)
    ]
    task = prepare(*colours).task
    assert np.array_equal(task.fixed_mask.data, known[0])
    opaque = colours[0].copy()
    opaque[..., 3] = 0  # transparent everywhere means nothing
    assert prepare(opaque, colours[1]).task.fixed_mask is None
