"""Pixels without data in files: nodata and transparency are masks; and which formats hold which channels."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_voxreg import Grid, Image, warp
from napari_voxreg.images.preprocess import driving_channel
from napari_voxreg.io.images import check_format, format_like, read_image, write_image, write_like
from napari_voxreg.io.pairs import Pair, read_pair
from napari_voxreg.io.series import planned_series

RNG = np.random.default_rng(0)
KNOWN = np.ones((20, 30), bool)
KNOWN[:5, 3:] = False


def geotiff(path: Path, data: np.ndarray, nodata: object) -> Path:
    """A TIFF with GDAL's tag."""
    colour = {"photometric": "rgb"} if data.ndim == 3 else {}
    tifffile.imwrite(path, data, extratags=[(42113, "s", 0, str(nodata), True)], metadata=None, **colour)
    return path


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("f4", -9999),
        ("f4", "-3.4028234663852886e+38"),
        ("f4", "-3.40282346638529e+38"),
        ("f4", 1e20),
        ("f8", -1.7976931348623157e308),
        ("i2", -32768),
        ("u1", 0),
        ("u2", 65535),
        ("i4", -2147483648),
        ("c8", 0),
    ],
)
def test_nodata_is_masked_and_comes_back(tmp_path: Path, dtype: str, nodata: object) -> None:
    pixels = RNG.integers(1, 200, KNOWN.shape).astype(dtype)
    fill = np.array(float(nodata)).astype(dtype)
    image = read_image(geotiff(tmp_path / "a.tif", np.where(KNOWN, pixels, fill).astype(dtype), nodata))
    assert image.data.dtype == dtype
    assert np.array_equal(np.ma.getmaskarray(image.data), ~KNOWN)
    assert np.array_equal(image.data.compressed(), pixels[KNOWN])
    assert np.array_equal(np.isfinite(driving_channel(image).data), KNOWN)
    again = read_image(write_image(image, tmp_path / "b.tif"))
    assert np.array_equal(np.isfinite(driving_channel(again).data), KNOWN)
    assert np.array_equal(np.ma.getdata(again.data)[KNOWN], pixels[KNOWN])


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("u1", -9999), ("u1", "nan"), ("f4", "nan"), ("u2", 70000), ("i2", 0.5), ("u1", "none"), ("f4", "")],
)
def test_nodata_that_no_pixel_can_have_masks_nothing(tmp_path: Path, dtype: str, nodata: object) -> None:
    pixels = RNG.integers(0, 200, (20, 30)).astype(dtype)
    image = read_image(geotiff(tmp_path / "a.tif", pixels, nodata))
    assert not np.ma.is_masked(image.data) and np.array_equal(image.data, pixels)


def test_of_colours_only_those_without_any_data_are_masked(tmp_path: Path) -> None:
    colours = RNG.integers(1, 255, (20, 30, 3)).astype("u1")
    colours[~KNOWN] = 0
    colours[10, 10] = (0, 200, 0)
    image = read_image(geotiff(tmp_path / "a.tif", colours, 0))
    assert image.channels == 3
    assert np.array_equal(np.isfinite(driving_channel(image).data), KNOWN)


@pytest.mark.parametrize("ending", [".mha", ".nii", ".nii.gz", ".nrrd"])
def test_other_formats_hold_nan(tmp_path: Path, ending: str) -> None:
    data = np.ma.array(np.where(KNOWN, 5.0, -9999).astype("f4"), mask=~KNOWN)
    data[8, 8] = 7
    image = Image(data, Grid.from_spacing(KNOWN.shape, units="millimeter"))
    again = read_image(write_image(image, tmp_path / f"a{ending}"))
    assert np.array_equal(np.isnan(again.data), ~KNOWN)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_opacity_is_a_mask_and_no_channel(tmp_path: Path, ending: str) -> None:
    grey = RNG.integers(0, 255, KNOWN.shape).astype("u1")
    both = np.dstack([grey, np.where(KNOWN, 255, 0)]).astype("u1")
    path = tmp_path / f"grey{ending}"
    if ending == ".png":
        iio.imwrite(path, both)
    else:
        tifffile.imwrite(
            path, both, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]
        )
    image = read_image(path)
    assert image.channels is None and np.array_equal(np.ma.getmaskarray(image.data), ~KNOWN)
    again = read_image(write_image(image, tmp_path / f"again{ending}"))
    assert np.array_equal(np.isfinite(driving_channel(again).data), KNOWN)
    assert np.array_equal(driving_channel(again).data[KNOWN], grey[KNOWN])


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_transparent_colours_have_no_data(tmp_path: Path, ending: str) -> None:
    colours = RNG.integers(0, 255, (20, 30, 4)).astype("u1")
    colours[..., 3] = np.where(KNOWN, 200, 0)
    path = tmp_path / f"a{ending}"
    iio.imwrite(path, colours) if ending == ".png" else tifffile.imwrite(path, colours, photometric="rgb")
    image = read_image(path)
    assert image.channels == 4
    assert np.array_equal(np.isfinite(driving_channel(image).data), KNOWN)
    again = read_image(write_image(image, tmp_path / f"b{ending}"))
    assert np.array_equal(np.isfinite(driving_channel(again).data), KNOWN)


def test_two_channels_that_are_no_opacity_stay_two(tmp_path: Path) -> None:
    data = RNG.integers(0, 3, (20, 30, 2)).astype("u2")
    write_image(Image(data, Grid.from_spacing((20, 30), 0.5, units="micrometer")), tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    assert image.channels == 2 and np.array_equal(image.data, data)


def test_inks_become_colours(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    red = np.zeros((20, 30, 4), "u1")
    red[..., 1:3] = 255  # magenta and yellow, full
    Pillow.fromarray(red, "CMYK").save(tmp_path / "a.jpg", quality=100)
    tifffile.imwrite(tmp_path / "a.tif", red, photometric="separated")
    for name in ("a.jpg", "a.tif"):
        image = read_image(tmp_path / name)
        assert image.channels == 3
        assert np.abs(image.data.astype(int) - [255, 0, 0]).max() < 12, name


HELD = [
    # dtype, channels, the formats among .png, .jpg, .tif, .mha that hold it
    ("u1", None, {".png", ".jpg", ".tif", ".mha"}),
    ("u1", 3, {".png", ".jpg", ".tif", ".mha"}),
    ("u1", 4, {".png", ".tif", ".mha"}),
    ("u1", 5, {".tif", ".mha"}),
    ("u1", 2, {".tif", ".mha"}),
    ("u2", None, {".png", ".tif", ".mha"}),
    ("u2", 3, {".tif", ".mha"}),
    ("f4", 5, {".tif", ".mha"}),
    ("c8", None, {".tif"}),
]


@pytest.mark.parametrize(("dtype", "channels", "formats"), HELD)
def test_what_a_format_cannot_hold_is_known_before_it_is_written(
    tmp_path: Path, dtype: str, channels: int | None, formats: set[str]
) -> None:
    grid = Grid.from_spacing((20, 30))
    shape = grid.shape if channels is None else (*grid.shape, channels)
    image = Image((100 * RNG.random(shape)).astype(dtype), grid)
    planned = planned_series(image, grid)
    assert (planned.data.shape, planned.data.dtype) == (image.data.shape, image.data.dtype)
    for ending in (".png", ".jpg", ".tif", ".mha"):
        path = tmp_path / f"a{ending}"
        if ending in formats:
            check_format(planned, path)
            again = read_image(write_image(image, path))
            assert again.channels == channels
            if ending != ".jpg":
                assert np.array_equal(again.data, image.data)
        else:
            with pytest.raises(ValueError, match=rf"^a{ending} cannot be written: .*; write .*instead\.$"):
                check_format(planned, path)
            assert format_like(planned, path) in formats
            assert write_like(image, tmp_path / "like", path).suffix in formats


def test_what_no_format_holds_is_refused() -> None:
    affine = Grid.from_spacing((4, 20, 30)).affine.copy()
    affine[0, 1] = 0.5
    image = Image(np.zeros((4, 20, 30), "c8"), Grid((4, 20, 30), affine, ("millimeter",) * 3))
    with pytest.raises(ValueError, match=r"cannot be written as \.nii: .* Convert the moving image first\.$"):
        format_like(image, "m.nii")


@pytest.mark.parametrize("shape", [(3, 10, 20, 30), (2, 5, 20, 21), (2, 3, 4, 20, 30)])
def test_unnamed_axes_beyond_three_are_asked_for(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, "u1"), photometric="minisblack")
    with pytest.raises(ValueError, match=r"^Which axis of a\.tif, of shape .* is time or channels; .*\?$"):
        read_image(tmp_path / "a.tif")
    named = "TCZYX"[-len(shape) :] if len(shape) == 5 else "TZYX"
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros(shape, "u1"), metadata={"axes": named})
    assert read_image(tmp_path / "a.ome.tif").grid.units[0] == "second"


def test_pairs_and_their_labels_keep_what_has_no_data(tmp_path: Path) -> None:
    pixels = np.where(KNOWN, RNG.random(KNOWN.shape), -1).astype("f4")
    path = geotiff(tmp_path / "a.tif", pixels, -1)
    labels = geotiff(tmp_path / "mask.tif", np.where(KNOWN, 3, 255).astype("u1"), 255)
    loaded = read_pair(Pair("p", path, path, fixed_mask=labels))
    assert np.array_equal(np.isfinite(driving_channel(loaded.fixed).data), KNOWN)
    assert loaded.fixed_mask.data.dtype == bool and np.array_equal(loaded.fixed_mask.data, KNOWN)
    assert np.array_equal(np.ma.getmaskarray(warp(loaded.moving, None, loaded.fixed.grid).data), ~KNOWN)
