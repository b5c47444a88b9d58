"""`napari-voxreg cohort`: the template, the table, the aligned images, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as displaced

from napari_voxreg import Grid, Image
from napari_voxreg.cli.main import main
from napari_voxreg.io.images import read_image, write_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of one scene, a few pixels apart."""
    folder = tmp_path_factory.mktemp("cohort")
    scene = gaussian_filter(np.random.default_rng(0).standard_normal((96, 104)), 3).astype(np.float32)
    for k, way in enumerate(((0, 0), (2, -3), (-2, 1))):
        pixels = displaced(scene, way, order=3)[12:-12, 12:-12]
        coloured = np.stack([pixels, 2 * pixels, -pixels], axis=-1)
        write_image(Image(coloured, Grid.from_spacing(pixels.shape)), folder / f"visit {k}.tif")
    return folder


def test_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cohort", folder, "-o", tmp_path / "out", "--template", "image", "--linear", "rigid"]
    assert main([str(word) for word in [*words, "--deform", "none", "--channel", "0"]]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split()[:2] == ["image", "verdict"]
    assert "visit 1.tif" in printed
    warped = [read_image(tmp_path / "out" / "images" / f"visit {k}" / "warped.tif").data for k in range(3)]
    assert warped[1].shape == (72, 80, 3)
    inner = [image[8:-8, 8:-8] for image in warped]
    assert np.abs(inner[1] - inner[0]).mean() < 0.15 * np.abs(inner[0]).mean()


def test_a_template_of_ones_own(folder: Path, tmp_path: Path) -> None:
    images = [str(folder / f"visit {k}.tif") for k in (1, 2)]
    words = [*images, "--onto", str(folder / "visit 0.tif"), "-o", str(tmp_path / "out"), "--no-images"]
    assert main(["cohort", *words, "--linear", "rigid", "--deform", "none", "--channel", "0"]) == 0
    names = sorted(path.name for path in (tmp_path / "out" / "images").iterdir())
    assert names == ["visit 1", "visit 2"]
    assert not (tmp_path / "out" / "images" / "visit 1" / "warped.tif").exists()


def test_rounds_of_staining_become_one_image(folder: Path, tmp_path: Path) -> None:
    words = [str(folder), "-o", str(tmp_path / "out"), "--template", "all pairs", "--no-images", "--merge"]
    assert main(["cohort", *words, "--linear", "rigid", "--deform", "none", "--channel", "0"]) == 0
    merged = read_image(tmp_path / "out" / "merged.tif")
    assert merged.channels == 9
    first, second = (merged.data[8:-8, 8:-8, channel] for channel in (0, 3))
    assert np.abs(second - first).mean() < 0.15 * np.abs(first).mean()
    table = (tmp_path / "out" / "merged.csv").read_text().splitlines()
    assert table[0] == "channel,image,channel of the image"
    assert table[5] == "4,visit 1.tif,1"


def test_nothing_of_the_users_is_written_over(
    folder: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    inputs = {path: path.read_bytes() for path in folder.iterdir()}
    assert "choose another output" in refused("cohort", folder, "-o", folder)
    assert "choose another output" in refused("stack", folder, "-o", folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == inputs
    own = tmp_path / "out" / "template.tif"
    own.parent.mkdir()
    own.write_text("mine")
    assert "template.tif is there and not of a cohort" in refused("cohort", folder, "-o", own.parent)
    assert own.read_text() == "mine"


def test_what_is_refused(folder: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    out = tmp_path / "out"
    assert "needs two or more" in refused("cohort", folder / "visit 0*.tif", "-o", out)
    assert "is not a scheduler" in refused("cohort", folder, "-o", out, "--scheduler", "cluster")
    assert "cannot have 0 threads" in refused("cohort", folder, "-o", out, "--threads", 0)
    assert "template cannot be" in refused("cohort", folder, "-o", out, "--template", "median")
    assert not out.exists()
