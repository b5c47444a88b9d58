"""`napari-voxreg large`: registered, saved, warped into all levels, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_voxreg import Cancelled, load_result
from napari_voxreg.cli.commands import large
from napari_voxreg.cli.main import main
from napari_voxreg.large import open_large

SHIFT = (6, -9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiled fixed image and a plain moving one, translated by some pixels."""
    found = tmp_path_factory.mktemp("large")
    scene = gaussian_filter(np.random.default_rng(0).standard_normal((1140, 220)), 3)
    scene = (1000 * (scene - scene.min())).astype(np.uint16)
    tifffile.imwrite(found / "fixed.tif", scene[20:1100, 20:200], tile=(128, 128), compression="zlib")
    moving = scene[20 - SHIFT[0] : 1100 - SHIFT[0], 20 - SHIFT[1] : 200 - SHIFT[1]]
    tifffile.imwrite(found / "moving.tif", moving)
    return found


def test_a_pair_is_registered_and_warped(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "warped.ome.zarr"
    words = ["large", folder / "fixed.tif", folder / "moving.tif", "-o", out, "-m", "translation"]
    assert main([str(word) for word in words]) == 0
    printed = capsys.readouterr().out
    assert "Better" in printed
    assert "Registered on level 0" in printed
    assert f"Wrote {out}, 2 levels." in printed
    result = load_result(tmp_path / "warped.ome.zarr-transform")
    np.testing.assert_allclose(result.transform([[0.0, 0.0]]), [SHIFT], atol=0.05)
    warped = open_large(out)
    fixed = tifffile.imread(folder / "fixed.tif").astype(float)
    inner = np.asarray(warped.levels[0].data).astype(float)[30:-30, 30:-30]
    assert np.abs(inner - fixed[30:-30, 30:-30]).mean() < 5


def test_a_saved_transform_is_applied(folder: Path, tmp_path: Path) -> None:
    images = [str(folder / "fixed.tif"), str(folder / "moving.tif")]
    assert main(["large", *images, "-o", str(tmp_path / "a.ome.zarr"), "-m", "translation"]) == 0
    saved = str(tmp_path / "a.ome.zarr-transform")
    words = ["-o", str(tmp_path / "b.ome.tif"), "--transform", saved, "--labels"]
    assert main(["large", *images, *words]) == 0
    labels = np.asarray(open_large(tmp_path / "b.ome.tif").levels[0].data)
    assert set(np.unique(labels)) <= {0, *np.unique(tifffile.imread(folder / "moving.tif"))}


@pytest.fixture
def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: object, moving: str = "moving.tif") -> str:
        pair = [folder / "fixed.tif", folder / moving]
        assert main([str(word) for word in ("large", *pair, *words)]) == 2
        return capsys.readouterr().err

    return run


def test_what_is_refused_before_the_work(tmp_path: Path, refused: Callable[..., str]) -> None:
    out = tmp_path / "a.ome.zarr"
    assert "leave out --interpolation" in refused("-o", out, "--labels", "--interpolation", "cubic")
    assert "The memory cannot be 0 GB" in refused("-o", out, "--memory", 0)
    assert "The level cannot be 7" in refused("-o", out, "--level", 7)
    assert "ends in .ome.zarr or .ome.tif" in refused("-o", tmp_path / "a.png")
    out.mkdir()
    assert "is there already" in refused("-o", out)
    assert "There is no image" in refused("-o", tmp_path / "b.zarr", "--level", 0, moving="no.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]


@pytest.mark.parametrize("stopped", [Cancelled, KeyboardInterrupt])
def test_cancel_while_warping_keeps_the_transform(
    stopped: type[BaseException],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def cancelled(*_: object, **__: object) -> None:
        raise stopped

    monkeypatch.setattr(large, "apply_large", cancelled)
    words = ["large", folder / "fixed.tif", folder / "moving.tif", "-o", tmp_path / "a.zarr"]
    assert main([str(word) for word in (*words, "-m", "translation")]) == 130
    assert f"go on with --transform {tmp_path / 'a.zarr-transform'}" in capsys.readouterr().err
    assert (tmp_path / "a.zarr-transform" / "transform.h5").exists()
