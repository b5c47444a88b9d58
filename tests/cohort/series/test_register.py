"""`register_series` on movies and stacks whose motion is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_voxreg import Grid, Image, load_series, register_series
from napari_voxreg.cohort.series import SeriesOptions, aligned_files, frames_of, write_aligned
from napari_voxreg.core.progress import Cancelled
from napari_voxreg.io.images import write_image


def matrices(result: Any) -> list[np.ndarray]:
    return [transform.matrix for transform in result.transforms]


@pytest.mark.parametrize("reference", ["mean", "frame", "previous", "lags"])
def test_jitter_and_drift_are_found(reference: str, scene: Callable[..., Any]) -> None:
    known = scene(24, (96, 110), drift=12.0, degrees=0.6, noise=0.3, spacing=(0.5, 0.5))
    series = Image(known.data, _with_time(known.grid))
    result = register_series(series, options={"reference": reference})
    errors = known.errors(matrices(result))
    assert np.sqrt((errors**2).mean()) < 0.1
    assert result.unit == "second"
    assert not result.notes


def test_a_3d_movie(scene: Callable[..., Any]) -> None:
    known = scene(4, (24, 48, 48), jitter=1.5, degrees=1.5)
    result = register_series(known.data, options={"reference": "frame"})
    assert known.errors(matrices(result)).max() < 0.12
    assert result.rotations.shape == (4, 3)


def test_the_result_does_not_depend_on_threads_or_laziness(scene: Callable[..., Any]) -> None:
    known = scene(10, (64, 64))
    first = register_series(known.data, workers=1)
    second = register_series(da.from_array(known.data, chunks=(1, 64, 64)), workers=3)
    assert all(np.array_equal(a, b) for a, b in zip(matrices(first), matrices(second), strict=True))


def test_bad_frames_are_found_and_bridged(scene: Callable[..., Any]) -> None:
    from scipy.ndimage import gaussian_filter

    known = scene(30, (96, 96), jitter=0.3, drift=9.0, degrees=0.2)
    data = known.data.copy()
    data[7] = 4.0
    data[12] = gaussian_filter(data[12], 4)
    data[20] = scene(1, (96, 96), seed=99).data[0]
    result = register_series(data)
    problems = [frame.problem for frame in result.frames]
    assert {k: p for k, p in enumerate(problems) if p} == {7: "blank", 12: "blurred", 20: "moved away"}
    assert known.errors(matrices(result), left_out=(7, 12, 20)).max() < 0.15
    # Between neighbours that jitter by 0.3 pixels the motion is known to about that.
    assert known.errors(matrices(result)).max() < 1.5
    assert len(result.notes) == 3
    assert result.notes[0].endswith("frames shows nothing; its motion is interpolated: 7.")


def test_smoothing_removes_jitter_and_keeps_drift(scene: Callable[..., Any]) -> None:
    known = scene(40, (72, 72), jitter=1.0, drift=16.0, degrees=0.0)
    options = {"motion": "translation", "reference": "frame"}
    rough = register_series(known.data, options=options).translations
    smooth = register_series(known.data, options={**options, "smooth": 3.0}).translations
    assert np.diff(smooth, axis=0).std() < 0.3 * np.diff(rough, axis=0).std()
    assert np.abs((smooth - rough)[10:30].mean(axis=0)).max() < 0.4


def test_a_method_goes_on_from_the_linear_motion(scene: Callable[..., Any]) -> None:
    from scipy.ndimage import map_coordinates

    known = scene(3, (96, 96), jitter=3.0)
    rows, columns = np.indices((96, 96)).astype(float)
    waved = [rows + 1.5 * np.sin(columns / 12), columns + 1.5 * np.cos(rows / 14)]
    data = known.data.copy()
    data[2] = map_coordinates(known.data[2], waved, order=3, mode="nearest")
    for reference in ("frame", "previous"):
        linear = register_series(data, options={"reference": reference})
        deformed = register_series(data, options={"reference": reference}, method="diffeo")
        apart = [
            np.abs(result.lazy(data).data[2].compute() - data[0])[12:-12, 12:-12].mean()
            for result in (linear, deformed)
        ]
        assert apart[1] < 0.6 * apart[0]


def test_all_channels_are_warped_lazily(scene: Callable[..., Any]) -> None:
    known = scene(6, (64, 64), jitter=3.0)
    coloured = np.stack([known.data, 2 * known.data, -known.data], axis=-1)
    kept = coloured.copy()
    result = register_series(coloured, channel=1)
    aligned = result.lazy(coloured)
    assert aligned.data.shape == coloured.shape
    assert aligned.data.chunksize == (1, 64, 64, 3)
    inner = np.asarray(aligned.data)[:, 12:-12, 12:-12]
    assert np.abs(inner - inner.mean(axis=0)).mean() < 0.3 * np.abs(coloured - coloured.mean(axis=0)).mean()
    assert np.array_equal(coloured, kept)
    with pytest.raises(ValueError, match="5 frames and the motion 6"):
        result.lazy(coloured[:5])


def test_a_folder_of_files_in_the_order_of_their_numbers(scene: Callable[..., Any], tmp_path: Path) -> None:
    known = scene(11, (64, 64), jitter=0.2, drift=10.0)
    for k, frame in enumerate(known.data):
        write_image(Image(frame, known.grid), tmp_path / f"t{k}.tif")
    result = register_series(tmp_path, options={"motion": "translation"})
    assert [frame.name for frame in result.frames][:3] == ["t0.tif", "t1.tif", "t2.tif"]
    assert known.errors(matrices(result)).max() < 0.15
    with pytest.raises(ValueError, match="series needs two or more"):
        register_series(tmp_path / "t0*.tif")


@pytest.mark.parametrize("reference", ["mean", "previous"])
def test_a_damaged_file_is_a_bad_frame(reference: str, scene: Callable[..., Any], tmp_path: Path) -> None:
    known = scene(7, (64, 64), jitter=0.2, drift=10.0)
    for k, frame in enumerate(known.data):
        write_image(Image(frame, known.grid), tmp_path / f"t{k}.tif")
    (tmp_path / "t3.tif").write_bytes((tmp_path / "t3.tif").read_bytes()[:900])
    options = {"motion": "translation", "reference": reference, "frame": 1}
    result = register_series(tmp_path, options=options)
    assert [frame.problem for frame in result.frames] == [""] * 3 + ["unreadable"] + [""] * 3
    assert result.notes == ("1 of 7 frames cannot be read; its motion is interpolated: t3.tif.",)
    assert known.errors(matrices(result)).max() < 0.8
    aligned = result.lazy(tmp_path).data.compute()
    assert not aligned[3].any()
    assert aligned[4].any()
    frames = frames_of(tmp_path)
    files = aligned_files(frames, tmp_path / "out")
    result.save(tmp_path / "out")
    write_aligned(result, frames, tmp_path / "out")
    assert [path.exists() for path in files] == [True] * 3 + [False] + [True] * 3
    load_series(tmp_path / "out").save(tmp_path / "out")  # the same motion, to which the images belong
    assert files[0].exists()
    (tmp_path / "out" / "aligned" / "mine.txt").write_text("mine")
    inputs = replace(result, options={}, sources=(files[4],))
    inputs.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out" / "aligned").iterdir()} == {"t4.tif", "mine.txt"}
    with pytest.raises(ValueError, match=r"Frame 3 \(t3.tif\) cannot be read; choose another reference"):
        register_series(tmp_path, options={"reference": "frame", "frame": 3})


def test_frames_that_do_not_go_together_are_named(scene: Callable[..., Any]) -> None:
    known = scene(3, (32, 32))
    images = [Image(frame, known.grid, f"{k}.tif") for k, frame in enumerate(known.data)]
    coloured = Image(np.stack([known.data[2]] * 3, axis=-1), known.grid, "2.tif")
    with pytest.raises(ValueError, match=r"2\.tif has 3 channels and 1\.tif one channel; convert"):
        register_series([*images[:2], coloured])
    pixels = Image(known.data[2], Grid.from_spacing((32, 32)), "2.tif")
    with pytest.raises(ValueError, match=r"2\.tif does not go with the first image: Units cannot"):
        register_series([*images[:2], pixels])
    result = register_series(images)
    deep = [image.with_data((1000 * image.data).astype(np.int16)) for image in images]
    shallow = deep[0].with_data(deep[0].data.astype(np.int8))
    assert result.lazy([deep[0], shallow, deep[2]]).data.compute().dtype == np.int16
    with pytest.raises(ValueError, match=r"[12]\.tif has int16 pixels and the first frame int8"):
        result.lazy([shallow, *deep[1:]]).data.compute()


def test_save_and_load(scene: Callable[..., Any], tmp_path: Path) -> None:
    known = scene(5, (48, 48))
    known.data[3] = 0
    result = register_series(known.data, method="diffeo")
    again = load_series(result.save(tmp_path / "new"))
    points = known.grid.nodes()
    for one, other in zip(result.transforms, again.transforms, strict=True):
        assert np.array_equal(one(points), other(points))
    assert again.frames[0] == result.frames[0]
    assert again.frames[3].problem == "blank"
    assert again.grid.same_as(result.grid)
    assert again.options["reference"] == "mean"
    (tmp_path / "new" / "series.json").write_text('{"format": "napari-voxreg series", "version": 99}')
    with pytest.raises(ValueError, match="newer napari-voxreg"):
        load_series(tmp_path / "new")
    (tmp_path / "new" / "series.json").write_text('{"format": "napari-voxreg series", "version": 1}')
    with pytest.raises(ValueError, match="align the series again"):
        load_series(tmp_path / "new")


def test_what_is_refused(scene: Callable[..., Any]) -> None:
    data = scene(3, (32, 32)).data
    for series, options, reason in (
        (data[:1], {}, "needs two or more"),
        (data, {"frame": 9}, "no frame 9"),
        (data, {"reference": "median"}, "reference cannot be"),
        (np.zeros_like(data), {}, "No frame of the series shows anything"),
        (np.zeros((5, 6)), {}, "this array has the shape"),
        ([Image(data[0], Grid.from_spacing((32, 32))), Image(data, Grid.from_spacing(data.shape))], {}, "3D"),
    ):
        with pytest.raises(ValueError, match=reason):
            register_series(series, options=options)


def test_cancel(scene: Callable[..., Any]) -> None:
    data = scene(6, (48, 48)).data

    def stop(fraction: float | None, message: str, metric: float | None = None) -> None:
        if "aligning" in message:
            raise Cancelled

    with pytest.raises(Cancelled):
        register_series(data, progress=stop)


def test_progress_never_falls(scene: Callable[..., Any]) -> None:
    seen: list[float] = []
    data = scene(5, (48, 48)).data
    register_series(data, options=SeriesOptions(), progress=lambda fraction, *_: seen.append(fraction or 0.0))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def _with_time(grid: Grid) -> Grid:
    affine = np.eye(4)
    affine[1:, 1:] = grid.affine
    affine[0, 0] = 0.1
    return Grid((24, *grid.shape), affine, ("second", *grid.units))
