"""Large images are opened lazily, with their axes and units; what is damaged is refused in a sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_voxreg import Image
from napari_voxreg.images.preprocess import block_mean
from napari_voxreg.large import LargeImage, open_large

SCALES = [{"type": "scale", "scale": [1, 2.0, 0.25, 0.25]}]
AXES = [
    {"name": "c", "type": "channel"},
    *({"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"),
]


def ome_zarr(path: Path, data: np.ndarray, version: str = "0.4", axes: list = AXES, **more: object) -> Path:
    """Two levels, the second with every other pixel."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for k in range(2):
        level = data[..., :: 1 + k, :: 1 + k]
        array = group.create_array(str(k), shape=level.shape, chunks=(1, 4, 32, 32), dtype=level.dtype)
        array[:] = level
        scale = [1, 2.0, 0.25 * (1 + k), 0.25 * (1 + k)]
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": [0, 10, 0, 5]}]
        datasets.append({"path": str(k), "coordinateTransformations": steps})
    about = {"multiscales": [{"axes": axes, "datasets": datasets, "version": version, **more}]}
    group.attrs.update(about if version == "0.4" else {"ome": {"version": version, **about}})
    return path


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(2).integers(1, 1000, (2, 5, 70, 90)).astype(np.uint16)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_is_read_with_axes_units_and_levels(tmp_path: Path, volume, version: str) -> None:
    image = open_large(ome_zarr(tmp_path / "a.ome.zarr", volume, version))
    assert isinstance(image.levels[0].data, da.Array)
    assert image.channels == 2
    assert image.grid.shape == (5, 70, 90)
    assert image.grid.units == ("micrometer",) * 3
    np.testing.assert_allclose(image.grid.spacing, [2, 0.25, 0.25])
    np.testing.assert_allclose(image.grid.origin, [10, 0, 5])
    np.testing.assert_allclose(image.levels[1].grid.spacing, [2, 0.5, 0.5])
    np.testing.assert_array_equal(image.levels[0].data, np.moveaxis(volume, 0, -1))


def test_scale_of_all_levels_follows_that_of_each(tmp_path: Path, volume) -> None:
    image = open_large(ome_zarr(tmp_path / "a.zarr", volume, coordinateTransformations=SCALES))
    np.testing.assert_allclose(image.grid.spacing, [4, 0.0625, 0.0625])
    np.testing.assert_allclose(image.grid.origin, [20, 0, 1.25])


def test_labels_belong_to_their_image(tmp_path: Path, volume) -> None:
    path = ome_zarr(tmp_path / "a.zarr", volume)
    ome_zarr(path / "labels" / "cells", volume % 3)
    zarr.open_group(path / "labels", mode="a", zarr_format=2).attrs["labels"] = ["cells"]
    cells = open_large(path).labels["cells"]
    np.testing.assert_array_equal(cells.levels[0].data, np.moveaxis(volume % 3, 0, -1))


def test_a_time_axis_comes_first_in_seconds(tmp_path: Path, volume) -> None:
    axes = [{"name": "t", "type": "time", "unit": "millisecond"}, *AXES[1:]]
    image = open_large(ome_zarr(tmp_path / "a.zarr", volume, axes=axes))
    assert image.times == 2
    assert image.levels[0].grid.units[0] == "second"
    assert image.levels[0].grid.spacing[0] == pytest.approx(1e-3)
    assert image.grid.shape == (5, 70, 90)
    np.testing.assert_array_equal(image.frames(1)[0].data, volume[1])


def test_an_axis_of_unknown_kind_is_refused(tmp_path: Path, volume) -> None:
    axes = [{"name": "phase", "type": "custom"}, *AXES[1:]]
    with pytest.raises(ValueError, match=r"a\.zarr has an axis of unknown kind \(p\); name its axes"):
        open_large(ome_zarr(tmp_path / "a.zarr", volume, axes=axes))


def test_axes_of_older_versions_are_refused(tmp_path: Path, volume) -> None:
    with pytest.raises(ValueError, match=r"a\.zarr does not name its axes"):
        open_large(ome_zarr(tmp_path / "a.zarr", volume, axes=["c", "z", "y", "x"]))


def test_a_truncated_chunk_is_named_when_it_is_read(tmp_path: Path, volume) -> None:
    path = ome_zarr(tmp_path / "a.zarr", volume)
    chunk = path / "0" / "0.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:50])
    image = open_large(path)
    with pytest.raises(ValueError, match=r"a\.zarr cannot be read; a piece of it is damaged or cut off"):
        np.asarray(image.levels[0].data)


def test_missing_chunks_are_a_note_and_a_missing_level_is_refused(tmp_path: Path, volume) -> None:
    path = ome_zarr(tmp_path / "a.zarr", volume)
    (path / "0" / "0.0.0.0").unlink()
    image = open_large(path)
    assert image.notes == ("1 of 36 pieces of level 0 of a.zarr are not stored and count as 0.",)
    assert not np.asarray(image.levels[0].data[:4, :32, :32, 0]).any()
    shutil.rmtree(path / "1")
    with pytest.raises(ValueError, match=r"a\.zarr cannot be read; its level 1 is missing or damaged"):
        open_large(path)


def test_levels_with_other_axes_than_named_are_refused(tmp_path: Path, volume) -> None:
    path = ome_zarr(tmp_path / "a.zarr", volume)
    group = zarr.open_group(path, mode="a", zarr_format=2)
    group.create_array("1", shape=(5, 35, 45), chunks=(5, 35, 45), dtype=np.uint16, overwrite=True)
    with pytest.raises(ValueError, match=r"a\.zarr names 4 axes and stores 3"):
        open_large(path)


def test_a_folder_that_is_no_image_is_refused(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(ValueError, match=r"a\.zarr is no image of OME-Zarr"):
        open_large(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="There is no image"):
        open_large(tmp_path / "b.zarr")


def pyramid(path: Path, data: np.ndarray, **options: object) -> Path:
    """Tiles, and a sub-image of half the resolution."""
    with tifffile.TiffWriter(path, ome=True) as tiff:
        micrometres = {f"PhysicalSize{a}": 0.5 for a in "XY"} | {f"PhysicalSize{a}Unit": "µm" for a in "XY"}
        shared = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib"}
        tiff.write(data, subifds=1, metadata={"axes": "YXS", **micrometres}, **shared)
        tiff.write(data[::2, ::2], subfiletype=1, **shared)
    return path


def test_levels_of_a_pyramidal_ome_tiff_cover_the_same_field(tmp_path: Path, moving: Image) -> None:
    data = moving.data[:601]
    image = open_large(pyramid(tmp_path / "a.ome.tif", data))
    assert [level.data.shape for level in image.levels] == [(601, 800, 3), (301, 400, 3)]
    np.testing.assert_allclose(image.levels[1].grid.spacing, 1.0)
    np.testing.assert_allclose(image.levels[1].grid.origin, 0.25)
    assert image.grid.units == ("micrometer",) * 2
    np.testing.assert_array_equal(image.levels[1].data, data[::2, ::2])


def test_svs_gives_the_size_of_its_pixels(tmp_path: Path, moving: Image) -> None:
    text = "Aperio Image Library v10.0.51\r\n700x800 [0,0 700x800] (128x128)|AppMag = 40|MPP = 0.2520"
    with tifffile.TiffWriter(tmp_path / "a.svs") as tiff:
        shared = {"photometric": "rgb", "compression": "jpeg", "metadata": None, "description": text}
        tiff.write(moving.data, tile=(128, 128), **shared)
        tiff.write(moving.data[::8, ::8], rowsperstrip=16, **shared)  # the thumbnail comes second
        tiff.write(moving.data[::4, ::4], tile=(128, 128), **shared)
    image = open_large(tmp_path / "a.svs")
    assert [level.data.shape for level in image.levels] == [(700, 800, 3), (175, 200, 3)]
    np.testing.assert_allclose(image.grid.spacing, 0.252)
    np.testing.assert_allclose(image.levels[1].grid.spacing, 1.008)
    assert image.grid.units == ("micrometer",) * 2


def test_plain_tiff_is_mapped_into_memory(tmp_path: Path, moving: Image) -> None:
    data = moving.data[..., 0].astype(">u2")
    tifffile.imwrite(tmp_path / "a.tif", data)
    image = open_large(tmp_path / "a.tif")
    assert image.dtype == np.dtype("=u2")
    np.testing.assert_array_equal(image.levels[0].data[100:200], data[100:200])


def test_a_truncated_tiff_is_refused_at_once(tmp_path: Path, moving: Image) -> None:
    path = pyramid(tmp_path / "a.ome.tif", moving.data)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.series[0].levels[0].pages[0]
        offset, count = page.tags["TileByteCounts"].valueoffset, page.tags["TileOffsets"].valueoffset
    whole = path.read_bytes()
    path.write_bytes(whole[:count] + (10**9).to_bytes(4, "little") + whole[count + 4 :])
    with pytest.raises(ValueError, match=r"a\.ome\.tif is cut off within its level 0"):
        open_large(path)
    path.write_bytes(whole[:offset] + bytes(4) + whole[offset + 4 :])
    with pytest.raises(ValueError, match=r"a\.ome\.tif lacks 1 of 42 tiles of its level 0"):
        open_large(path)


def test_a_tiff_with_unnamed_planes_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((6, 64, 64), np.uint8), metadata=None, tile=(32, 32))
    with pytest.raises(ValueError, match=r"a\.tif has an axis of unknown kind"):
        open_large(tmp_path / "a.tif")


def test_coarser_levels_are_made_when_they_are_read() -> None:
    data = np.random.default_rng(3).integers(0, 255, (2301, 1500)).astype(np.uint8)
    image = open_large(da.from_array(data, chunks=(1000, 700)))
    assert [level.data.shape for level in image.levels] == [(2301, 1500), (1151, 750), (576, 375)]
    expected = block_mean(Image(data, image.grid), (2, 2))
    np.testing.assert_array_equal(image.levels[1].data, np.rint(expected.data))
    assert image.levels[1].grid.same_as(expected.grid)


def test_coarser_levels_of_labels_hold_the_same_labels() -> None:
    labels = np.zeros((2100, 1030), np.int32)
    labels[1:, :7] = 90
    image = open_large(labels, labels=True)
    coarse = np.asarray(image.levels[1].data)
    assert set(np.unique(coarse)) == {0, 90}
    assert coarse[1, 2] == 90
    assert coarse[0, 0] == 0  # of equally frequent ones the first


def test_an_array_of_too_many_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="is no 2D or 3D image; give an Image with a grid"):
        open_large(np.ones((3, 4, 5, 6, 7)))


def test_a_level_is_chosen_by_its_number_of_pixels() -> None:
    image = open_large(da.zeros((4000, 4000)))
    assert [image.level_under(p) for p in (1e8, 4e6, 3.9e6, 10)] == [0, 1, 2, 2]
    assert isinstance(image, LargeImage)
