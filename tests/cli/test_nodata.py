"""Pixels without data and unusual channels on the command line: said once, and refused before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_voxreg.cli.main import main
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.registration import apply_files

KNOWN = np.ones((90, 100), bool)
KNOWN[:15, 20:] = False


def scenes() -> list[np.ndarray]:
    scene = 500 * gaussian_filter(np.random.default_rng(0).standard_normal((110, 120)), 3)
    return [np.clip(scene[s] + 128, 1, 255) for s in (np.s_[8:98, 10:110], np.s_[5:95, 14:114])]


@pytest.fixture
def maps(tmp_path: Path) -> list[str]:
    """Two TIFF files with GDAL's nodata."""
    files = []
    for name, data in zip(("fixed.tif", "moving.tif"), scenes(), strict=True):
        extra = [(42113, "s", 0, "-9999", True)]
        pixels = np.where(KNOWN, data, -9999).astype("f4")
        tifffile.imwrite(tmp_path / name, pixels, extratags=extra, metadata=None)
        files.append(str(tmp_path / name))
    return files


def test_register_and_compare_say_it_once(
    maps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", *maps, "-o", str(tmp_path / "out"), "-m", "translation"]) == 0
    said = capsys.readouterr().out
    assert said.count("without data") == 1 and said.startswith("Better")
    warped = read_image(tmp_path / "out" / "warped.tif").data
    shown = np.ma.filled(warped, np.nan)
    assert np.nanmin(shown) > 0 and np.isnan(shown).any()
    assert main(["compare", *maps, "-m", "translation", "rigid"]) == 0
    assert capsys.readouterr().out.count("without data") == 1


def test_evaluate_says_it_once(maps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(f"fixed,moving\n{maps[0]},{maps[1]}\n{maps[1]},{maps[0]}\n")
    assert main(["evaluate", str(table), "-o", str(tmp_path / "out"), "-m", "translation"]) == 0
    assert capsys.readouterr().out.count("without data") == 1


def test_grey_with_opacity_is_registered_and_written_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, data in zip(("fixed.png", "moving.png"), scenes(), strict=True):
        iio.imwrite(tmp_path / name, np.dstack([np.where(KNOWN, data, 0), 255 * KNOWN]).astype("u1"))
    files = [str(tmp_path / name) for name in ("fixed.png", "moving.png")]
    assert main(["register", *files, "-o", str(tmp_path / "out"), "-m", "translation"]) == 0
    assert "without data" in capsys.readouterr().out
    assert iio.imread(tmp_path / "out" / "warped.png").shape == (90, 100, 2)


@pytest.mark.parametrize("channels", [3, 5])
def test_what_the_moving_format_cannot_hold_goes_into_another(tmp_path: Path, channels: int) -> None:
    for name, data in zip(("fixed.tif", "moving.tif"), scenes(), strict=True):
        bands = np.repeat(100 * data[..., None], channels, axis=-1).astype("u2")
        tifffile.imwrite(tmp_path / name, bands, planarconfig="contig", photometric="minisblack")
    files = [str(tmp_path / name) for name in ("fixed.tif", "moving.tif")]
    assert main(["register", *files, "-o", str(tmp_path / "out"), "-m", "translation"]) == 0
    assert read_image(tmp_path / "out" / "warped.tif").channels == channels


@pytest.mark.parametrize(("name", "channels"), [("a.png", 5), ("a.jpg", 4), ("a.png", 2)])
def test_apply_refuses_before_it_warps(
    pair: Path,
    registered: Path,
    tmp_path: Path,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    channels: int,
) -> None:
    moving = read_image(pair / "moving.nii.gz")
    bands = np.zeros((*moving.grid.shape, channels), "u1")
    write_image(moving.with_data(bands), tmp_path / "bands.mha")
    monkeypatch.setattr(apply_files, "apply", lambda *a, **k: pytest.fail("it was warped"))
    words = ["apply", registered, tmp_path / "bands.mha", "-o", tmp_path / name]
    assert f"{name} cannot be written" in refused(*words)
