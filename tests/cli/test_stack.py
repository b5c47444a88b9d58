"""`napari-voxreg stack`: the motion, the aligned images, and what it refuses."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as displaced

from napari_voxreg import Grid, Image, load_series
from napari_voxreg.cli.main import main
from napari_voxreg.io.images import read_image, write_image

WAYS = ((0.0, 0.0), (2.5, -1.0), (4.0, 3.0), (-3.0, 1.5))


@pytest.fixture(scope="module")
def movie() -> np.ndarray:
    scene = gaussian_filter(np.random.default_rng(0).standard_normal((72, 80)), 3).astype(np.float32)
    scene = np.pad(scene, 12, mode="reflect")
    return np.stack([displaced(scene, way, order=3)[12:-12, 12:-12] for way in WAYS])


def test_a_movie_in_one_file(movie: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    affine = np.diag([0.5, 0.2, 0.2, 1.0])
    series = Image(movie, Grid(movie.shape, affine, ("second", "micrometer", "micrometer")))
    write_image(series, tmp_path / "movie.tif")
    out = tmp_path / "out"
    words = ["stack", tmp_path / "movie.tif", "-o", out, "--reference", "frame", "--motion", "translation"]
    assert main([str(word) for word in words]) == 0
    assert "4 frames aligned" in capsys.readouterr().out
    found = load_series(out)
    assert np.abs(found.translations / 0.2 - WAYS).max() < 0.05
    aligned = read_image(out / "aligned.tif")
    assert aligned.grid.same_as(series.grid)
    inner = aligned.data[:, 10:-10, 10:-10]
    assert np.abs(inner - inner[0]).max() < 0.1 * movie.std()
    rows = list(csv.reader((out / "series.csv").open(encoding="utf-8")))
    assert rows[0][:4] == ["frame", "name", "problem", "correlation"]
    assert rows[0][4] == "translation axis 0 (µm)"
    assert float(rows[2][4]) == pytest.approx(0.5, abs=0.01)
    assert (out / "motion.png").stat().st_size > 5_000


def test_frames_of_one_name_in_two_folders(movie: np.ndarray, tmp_path: Path) -> None:
    for k, frame in enumerate(movie[:3]):
        write_image(Image(frame, Grid.from_spacing(frame.shape)), tmp_path / f"f{k}" / "im.tif")
    words = ["stack", *(tmp_path / f"f{k}" / "im.tif" for k in range(3)), "-o", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    names = sorted(path.name for path in (tmp_path / "out" / "aligned").iterdir())
    assert names == ["im 2.tif", "im 3.tif", "im.tif"]


def test_aligned_images_are_not_written_over_their_frames(
    movie: np.ndarray, tmp_path: Path, refused: Callable[..., str]
) -> None:
    folder = tmp_path / "out" / "aligned"
    for k, frame in enumerate(movie[:3]):
        write_image(Image(frame, Grid.from_spacing(frame.shape)), folder / f"{k}.tif")
    inputs = {path: path.read_bytes() for path in folder.iterdir()}
    for series in (folder, folder / "*.tif"):
        assert "is an input" in refused("stack", series, "-o", tmp_path / "out")
    assert {path: path.read_bytes() for path in folder.iterdir()} == inputs


def test_other_files_of_a_folder_are_left_alone(movie: np.ndarray, tmp_path: Path) -> None:
    for k, frame in enumerate(movie[:3]):
        write_image(Image(frame, Grid.from_spacing(frame.shape)), tmp_path / "in" / f"{k}.tif")
    (tmp_path / "in" / "notes.txt").write_text("seen")
    assert main(["stack", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--no-images"]) == 0
    assert len(load_series(tmp_path / "out").transforms) == 3


def test_files_give_files_of_the_same_names(movie: np.ndarray, tmp_path: Path) -> None:
    for k, frame in enumerate(movie):
        write_image(Image(frame, Grid.from_spacing(frame.shape)), tmp_path / f"section {k}.tif")
    files = [str(tmp_path / f"section {k}.tif") for k in range(4)]
    assert main(["stack", *files, "-o", str(tmp_path / "out"), "-m", "diffeo"]) == 0
    names = sorted(path.name for path in (tmp_path / "out" / "aligned").iterdir())
    assert names == [Path(file).name for file in files]


def test_what_is_refused(movie: np.ndarray, tmp_path: Path, refused: Callable[..., str]) -> None:
    write_image(Image(movie[0], Grid.from_spacing(movie[0].shape)), tmp_path / "one.tif")
    out = tmp_path / "out"
    assert "has no frames" in refused("stack", tmp_path / "one.tif", "-o", out)
    assert "no file" in refused("stack", tmp_path / "absent.tif", "-o", out)
    assert "motion cannot be" in refused("stack", tmp_path / "one.tif", "-o", out, "--motion", "warp")
    assert not out.exists()
