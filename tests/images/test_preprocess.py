"""The range of intensities and the driving channel: the same whatever the order of axes, offset or scale."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from napari_voxreg import Grid, Image
from napari_voxreg.images.preprocess import ENOUGH, driving_channel, range_of, some_pixels, unit_range


def on_air(shape: tuple[int, ...]) -> np.ndarray:
    """Values up to 1000 with faint noise around them, along each axis."""
    rng = np.random.default_rng(0)
    data = rng.normal(0, 2, shape).astype("f4")
    inner = tuple(slice(n // 8, n - n // 8) for n in shape)
    data[inner] += 1000 * rng.random(data[inner].shape, dtype="f4")
    return data


@pytest.mark.parametrize(
    "shape", [(512, 512, 15), (500, 500, 30), (1000, 1000, 6), (1500, 1000), (3, 1200, 900)]
)
def test_the_range_does_not_depend_on_the_order_of_axes(shape: tuple[int, ...]) -> None:
    data = on_air(shape)
    low, extent = range_of(data)
    assert low + extent == pytest.approx(float(np.percentile(data, 99.9)), rel=0.01)
    for order in permutations(range(len(shape))):
        assert range_of(data.transpose(order)) == pytest.approx((low, extent), rel=1e-6)


@pytest.mark.parametrize("period", [2, 3, 4, 5, 7])
def test_stripes_of_any_period_are_seen(period: int) -> None:
    data = np.zeros((1400, 1400), "f4")
    data[:, ::period] = 100.0
    for stripes in (data, data.T):
        seen = some_pixels(stripes)
        assert seen.size <= ENOUGH
        assert seen.mean() == pytest.approx(100 / period, rel=0.2)
        assert range_of(stripes) == (0.0, 100.0)


def test_small_images_are_used_whole() -> None:
    data = on_air((60, 70))
    assert some_pixels(data) is data
    assert not unit_range(np.full((9, 9), 7.0)).any()


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "u4"])
def test_a_large_offset_keeps_the_grey_levels(dtype: str) -> None:
    levels = np.tile(np.arange(101), (20, 1))
    offset = 1 << 20 if dtype == "f4" else 10**9  # float32 itself has all whole numbers up to 2^24
    image = Image((levels + offset).astype(dtype), Grid.from_spacing(levels.shape))
    driving = driving_channel(image).data
    assert driving.dtype == np.float32
    assert np.array_equal(np.diff(driving, axis=1), np.diff(levels, axis=1))
    assert unit_range(driving) == pytest.approx(unit_range(levels), abs=1e-6)
    assert unit_range(image.data) == pytest.approx(unit_range(levels), abs=1e-6)


def test_a_large_offset_keeps_the_grey_levels_of_colours_and_means() -> None:
    levels = np.tile(np.arange(101.0), (20, 1))
    for channels in (2, 3):
        data = np.repeat(levels[..., None], channels, axis=-1) + 1e9
        driving = driving_channel(Image(data, Grid.from_spacing(levels.shape))).data
        assert np.diff(driving, axis=1) == pytest.approx(np.diff(levels, axis=1), abs=1e-3)


@pytest.mark.parametrize("scale", [1e300, 1e30, 1e-30, 1e-300])
def test_huge_and_tiny_values_are_values(scale: float) -> None:
    levels = np.random.default_rng(1).random((20, 30))
    driving = driving_channel(Image(levels * scale, Grid.from_spacing(levels.shape))).data
    assert np.isfinite(driving).all()
    assert unit_range(driving) == pytest.approx(unit_range(levels), abs=1e-5)


def test_one_huge_value_leaves_the_others_alone() -> None:
    levels = np.random.default_rng(1).random((40, 50))
    levels[3, 3] = 1e300
    driving = driving_channel(Image(levels, Grid.from_spacing(levels.shape))).data
    assert np.isfinite(driving).all()
    assert np.delete(driving.ravel(), 3 * 50 + 3) == pytest.approx(
        np.delete(levels.ravel(), 3 * 50 + 3), abs=1e-6
    )


def test_ordinary_pixels_are_left_as_they_are() -> None:
    for data in (on_air((40, 50)), on_air((40, 50)).astype("i2"), 1000 + on_air((40, 50)).astype("f8")):
        driving = driving_channel(Image(data, Grid.from_spacing(data.shape))).data
        assert np.array_equal(driving, data.astype("f4"))
