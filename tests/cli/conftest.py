"""A pair of files, and what `register` made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg.cli.main import main
from napari_voxreg.core.geometry import Grid, Image
from napari_voxreg.io.images import write_image


@pytest.fixture(scope="session")
def shift() -> tuple[float, float]:
    """The translation of `pair` in world units (millimetres), fixed to moving."""
    return (3.0, -4.5)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two images of one scene, translated in the world, as NIfTI."""
    folder = tmp_path_factory.mktemp("pair")
    noise = np.random.default_rng(0).standard_normal((110, 120))
    scene = gaussian_filter(noise, 4).astype(np.float32)
    grid = Grid.from_spacing((80, 90), spacing=(1.0, 1.5), origin=(5.0, -7.0), units="mm")
    write_image(Image(scene[10:90, 10:100], grid), folder / "fixed.nii.gz")
    # What lies at index i of the fixed image lies at i + (3, -3) of the moving one.
    write_image(Image(scene[7:87, 13:103], grid), folder / "moving.nii.gz")
    return folder


@pytest.fixture(scope="session")
def images(pair: Path) -> list[str]:
    """The two files of the pair."""
    return [str(pair / f"{which}.nii.gz") for which in ("fixed", "moving")]


@pytest.fixture(scope="session")
def registered(images: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `register` wrote for the pair."""
    folder = tmp_path_factory.mktemp("run") / "new" / "result"
    words = ["register", *images, "-o", str(folder), "--method", "affine", "--levels", "2"]
    assert main([*words, "--metric", "correlation", "--seed", "3"]) == 0
    return folder


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run words that are refused; returns the one sentence on stderr."""

    def run(*words: object) -> str:
        assert main([str(word) for word in words]) == 2
        complaint = capsys.readouterr().err.strip()
        assert complaint.startswith("napari-voxreg: ")
        assert "\n" not in complaint
        assert complaint.endswith((".", ")"))
        return complaint

    return run
