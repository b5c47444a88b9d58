"""Large images are warped block by block, as the whole image is, into files that others read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_voxreg import BSpline, Cancelled, Grid, Image, StationaryVelocity, warp
from napari_voxreg.large import apply_large, blocks, open_large
from napari_voxreg.large import warp as warping
from napari_voxreg.registration.apply import apply

LITTLE = 1e8  # bytes, so that there are several blocks


def test_blocks_agree_with_the_whole_image(tmp_path: Path, moving, fixed_grid, deformation) -> None:
    floats = moving.with_data(moving.data.astype(np.float32))
    spline = BSpline(
        np.random.default_rng(4).normal(0, 5, (2, 9, 9)),
        Grid.from_spacing((9, 9), 60.0, -60.0, units="micrometer"),
    )
    velocity = StationaryVelocity(deformation.members[0].field, deformation.members[0].grid)
    affine = deformation.members[1]
    for k, transform in enumerate((affine, spline, deformation, velocity)):
        found = apply_large(transform, floats, tmp_path / f"{k}.zarr", fixed=fixed_grid, memory=LITTLE)
        expected = warp(floats, transform, fixed_grid).data
        np.testing.assert_allclose(found.levels[0].data, expected, rtol=0, atol=1e-4)
        assert found.grid.same_as(fixed_grid)


@pytest.mark.parametrize("interpolation", ["cubic", "vote"])
def test_blocks_agree_with_every_interpolation(
    tmp_path: Path, moving, fixed_grid, deformation, interpolation
) -> None:
    grey = moving.with_data(moving.data[..., 0] // 32)
    made = apply_large(
        deformation,
        grey,
        tmp_path / "a.zarr",
        fixed=fixed_grid,
        interpolation=interpolation,
        background=3,
        memory=LITTLE,
    )
    whole = apply(deformation, grey, grid=fixed_grid, interpolation=interpolation, background=3)
    np.testing.assert_array_equal(made.levels[0].data, whole.image.data)


def test_only_what_a_block_needs_is_read(moving, fixed_grid, deformation) -> None:
    read: list[tuple[int, ...]] = []

    def counted(block: np.ndarray) -> np.ndarray:
        read.append(block.shape)
        return block

    data = da.from_array(moving.data, chunks=(100, 100, 3)).map_blocks(
        counted, dtype=np.uint8, meta=moving.data
    )
    image = open_large(replace(moving, data=data))
    ready = blocks.BlockWarper(image, deformation, "linear", 0.0)
    ready(fixed_grid, [slice(0, 64), slice(0, 64)], 0)
    assert 0 < len(read) <= 16  # of 56 pieces


def test_a_block_that_needs_much_is_divided(moving, fixed_grid, deformation) -> None:
    image = open_large(moving)
    box = [slice(0, 500), slice(100, 600)]
    whole = blocks.BlockWarper(image, deformation, "linear", 0.0)(fixed_grid, box, 0)
    divided = blocks.BlockWarper(image, deformation, "linear", 0.0, memory=2e6)(fixed_grid, box, 0)
    np.testing.assert_array_equal(whole, divided)


def test_blocks_are_as_large_as_the_memory_allows() -> None:
    grid = Grid.from_spacing((20_000, 20_000))
    small, usual = (blocks.block_sides(grid, 3, 1, memory) for memory in (1e7, 1e9))
    assert small == (512, 512)
    assert usual == (2048, 1024)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_is_valid_and_all_levels_are_means(
    tmp_path: Path, moving, deformation, version: str
) -> None:
    from ome_zarr_models.v04.image import Image as Image04
    from ome_zarr_models.v05.image import Image as Image05

    fixed = Grid.from_spacing((1100, 900), 0.5, (1.0, 2.0), units="micrometer")
    made = apply_large(deformation, moving, tmp_path / "a.ome.zarr", fixed=fixed, version=version)
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    if version == "0.4":
        from pydantic_zarr import v2

        Image04.model_rebuild(_types_namespace=vars(v2))  # ome-zarr-models 1.6 forgets it
        found = Image04.from_zarr(group).attributes.multiscales[0]
    else:
        found = Image05.from_zarr(group).attributes.ome.multiscales[0]
    assert [axis.unit for axis in found.axes] == [None, "micrometer", "micrometer"]
    fine, coarse = (np.asarray(level.data).astype(float) for level in made.levels)
    means = fine.reshape(550, 2, 450, 2, 3).mean(axis=(1, 3))
    assert np.abs(coarse - means).max() <= 0.5
    np.testing.assert_allclose(made.levels[1].grid.origin, [1.25, 2.25])


def test_pyramidal_ome_tiff_holds_the_same(tmp_path: Path, moving, deformation) -> None:
    fixed = Grid.from_spacing((1100, 900), 0.5, (1.0, 2.0), units="micrometer")
    zarred = apply_large(deformation, moving, tmp_path / "a.zarr", fixed=fixed)
    made = apply_large(deformation, moving, tmp_path / "a.ome.tif", fixed=fixed)
    for one, other in zip(made.levels, zarred.levels, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        assert one.grid.same_as(other.grid)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tiff:
        assert tiff.is_ome
        assert tiff.series[0].axes == "YXS"
        assert len(tiff.series[0].levels) == 2


def test_a_volume_with_channels_in_both_formats(tmp_path: Path) -> None:
    grid = Grid.from_spacing((5, 150, 140), (2.0, 0.5, 0.5), units="micrometer")
    data = np.random.default_rng(5).integers(0, 60_000, (*grid.shape, 2)).astype(np.uint16)
    coarse = Grid.from_spacing((4, 4, 4), (5.0, 40.0, 40.0), units="micrometer")
    transform = StationaryVelocity(np.random.default_rng(6).normal(0, 1, (4, 4, 4, 3)), coarse)
    expected = warp(Image(data, grid), transform, grid).data
    for name in ("a.ome.zarr", "a.ome.tif"):
        made = apply_large(transform, Image(data, grid), tmp_path / name, fixed=grid, memory=LITTLE)
        np.testing.assert_array_equal(made.levels[0].data, expected)
        np.testing.assert_allclose(made.levels[1].grid.spacing, [2, 1, 1])  # planes lie far apart


def test_labels_and_time_points_are_warped(tmp_path: Path, moving, fixed_grid, deformation) -> None:
    grey = moving.data[..., 0]
    series = Image(np.stack([grey, 255 - grey]), _in_time(moving.grid, 2))
    image = replace(open_large(series), labels={"cells": open_large(moving.with_data(grey // 64))})
    made = apply_large(deformation, image, tmp_path / "a.zarr", fixed=fixed_grid)
    assert made.times == 2
    assert made.levels[0].grid.spacing[0] == 1.5
    second = warp(moving.with_data(255 - grey), deformation, fixed_grid).data
    np.testing.assert_array_equal(made.frames(1)[0].data, second)
    cells = warp(moving.with_data(grey // 64), deformation, fixed_grid, order=0).data
    np.testing.assert_array_equal(made.labels["cells"].levels[0].data, cells)


def _in_time(grid: Grid, count: int) -> Grid:
    affine = np.eye(4)
    affine[1:, 1:] = grid.affine
    affine[0, 0] = 1.5
    return Grid((count, *grid.shape), affine, ("second", *grid.units))


def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException, at: int) -> list[int]:
    """Warping ends with an error at a block; how many were warped is counted."""
    count = [0]
    usual = blocks.BlockWarper.__call__

    def call(self: blocks.BlockWarper, *values: object) -> np.ndarray:
        count[0] += 1
        if count[0] == at:
            raise error
        return usual(self, *values)

    monkeypatch.setattr(blocks.BlockWarper, "__call__", call)
    return count


def test_a_broken_run_goes_on_where_it_stopped(
    tmp_path: Path, moving, fixed_grid, deformation, monkeypatch
) -> None:
    path = tmp_path / "a.ome.zarr"
    call = {"fixed": fixed_grid, "memory": LITTLE}
    with monkeypatch.context() as patch:
        broken(patch, OSError("the power failed"), 3)
        with pytest.raises(OSError, match="the power failed"):
            apply_large(deformation, moving, path, **call)
    assert not path.exists()
    with monkeypatch.context() as patch:
        count = broken(patch, OSError(), -1)
        made = apply_large(deformation, moving, path, **call)
    assert count[0] == 2  # of 4 blocks, two were finished
    np.testing.assert_array_equal(made.levels[0].data, warp(moving, deformation, fixed_grid).data)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]


def test_what_another_run_left_is_not_mixed_in(
    tmp_path: Path, moving, fixed_grid, deformation, monkeypatch
) -> None:
    path = tmp_path / "a.ome.zarr"
    with monkeypatch.context() as patch:
        broken(patch, OSError("the power failed"), 3)
        with pytest.raises(OSError, match="the power failed"):
            apply_large(deformation.members[1], moving, path, fixed=fixed_grid, memory=LITTLE)
    made = apply_large(deformation, moving, path, fixed=fixed_grid, memory=LITTLE)
    np.testing.assert_array_equal(made.levels[0].data, warp(moving, deformation, fixed_grid).data)


def test_the_same_pixels_elsewhere_are_another_image(
    tmp_path: Path, moving, fixed_grid, deformation, monkeypatch
) -> None:
    path, call = tmp_path / "a.ome.zarr", {"fixed": fixed_grid, "memory": LITTLE}
    with monkeypatch.context() as patch:
        broken(patch, OSError("the power failed"), 3)
        with pytest.raises(OSError, match="the power failed"):
            apply_large(deformation, moving, path, **call)
    elsewhere = moving.with_grid(Grid.from_spacing(moving.grid.shape, 0.6, units="micrometer"))
    made = apply_large(deformation, elsewhere, path, **call)
    np.testing.assert_array_equal(made.levels[0].data, warp(elsewhere, deformation, fixed_grid).data)


def test_a_second_interrupt_leaves_nothing(
    tmp_path: Path, moving, fixed_grid, deformation, monkeypatch
) -> None:
    broken(monkeypatch, KeyboardInterrupt(), 3)
    with pytest.raises(KeyboardInterrupt):
        apply_large(deformation, moving, tmp_path / "a.ome.zarr", fixed=fixed_grid, memory=LITTLE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tif"])
def test_cancel_leaves_nothing(tmp_path: Path, moving, fixed_grid, deformation, name: str) -> None:
    for end in (0.5, 0.93):
        last = -1.0

        def stop(fraction: float | None, message: str, metric: float | None = None, end: float = end) -> None:
            nonlocal last
            assert fraction is not None and fraction >= last
            last = fraction
            if fraction > end:
                raise Cancelled

        with pytest.raises(Cancelled):
            apply_large(deformation, moving, tmp_path / name, fixed=fixed_grid, memory=LITTLE, progress=stop)
        assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_and_no_two_runs_write_one_output(
    tmp_path: Path, moving, fixed_grid, deformation
) -> None:
    from filelock import FileLock

    path = tmp_path / "a.ome.zarr"
    path.mkdir()
    with pytest.raises(ValueError, match=r"a\.ome\.zarr is there already"):
        apply_large(deformation, moving, path, fixed=fixed_grid)
    scratch = tmp_path / ".b.ome.zarr.unfinished"
    scratch.mkdir()
    with FileLock(scratch / "lock"), pytest.raises(ValueError, match=r"Another run writes .*b\.ome\.zarr"):
        apply_large(deformation, moving, tmp_path / "b.ome.zarr", fixed=fixed_grid)
    (scratch / "mine.txt").write_text("kept")
    with pytest.raises(ValueError, match="holds something else"):
        apply_large(deformation, moving, tmp_path / "b.ome.zarr", fixed=fixed_grid)
    assert (scratch / "mine.txt").read_text() == "kept"


def test_a_full_disk_is_a_sentence_and_the_run_goes_on(
    tmp_path: Path, moving, fixed_grid, deformation, monkeypatch
) -> None:
    import errno

    with monkeypatch.context() as patch:
        broken(patch, OSError(errno.ENOSPC, "No space left"), 2)
        with pytest.raises(OSError, match="is full; free some space there, and start again"):
            apply_large(deformation, moving, tmp_path / "a.zarr", fixed=fixed_grid, memory=LITTLE)
    made = apply_large(deformation, moving, tmp_path / "a.zarr", fixed=fixed_grid, memory=LITTLE)
    np.testing.assert_array_equal(made.levels[0].data, warp(moving, deformation, fixed_grid).data)


def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, moving, fixed_grid, deformation
) -> None:
    rotated = fixed_grid.moved(deformation.members[1].matrix)
    with pytest.raises(ValueError, match="holds no rotated or mirrored axes"):
        apply_large(deformation, moving, tmp_path / "a.ome.zarr", fixed=rotated)
    with pytest.raises(ValueError, match=r"give a name that ends in \.ome\.zarr or \.ome\.tif"):
        apply_large(deformation, moving, tmp_path / "a.png", fixed=fixed_grid)
    with pytest.raises(ValueError, match="does not say on which grid the fixed image lies"):
        apply_large(deformation, moving, tmp_path / "a.zarr")
    with pytest.raises(ValueError, match=r"version '0\.9'; choose 0\.4 or 0\.5"):
        apply_large(deformation, moving, tmp_path / "a.zarr", fixed=fixed_grid, version="0.9")
    assert list(tmp_path.iterdir()) == []


def test_a_coarse_fixed_image_reads_a_coarse_level(moving, deformation) -> None:
    image = open_large(da.zeros((4000, 4000), chunks=1000))
    fine, coarse = Grid.from_spacing((4000, 4000)), Grid.from_spacing((1000, 1000), 4.0, 1.5)
    affine = deformation.members[1]
    assert image.level_for(affine, fine) == 0
    assert image.level_for(affine, coarse) == 2
    assert warping.pyramid_of(fine)[2].same_as(coarse)
