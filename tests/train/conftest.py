"""Small generated pairs on disk, for the tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_voxreg import Grid, Image
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, PairSet
from napari_voxreg.tensor.warp import warp_batch


def write_pairs(folder: Path, count: int, shape: tuple[int, ...] = (32, 32), seed: int = 0) -> list[Pair]:
    """Images with the same contrast, labels and the smooth true displacements, as files."""
    rng, d, grid = np.random.default_rng(seed), len(shape), Grid.from_spacing(shape)
    pairs = []
    for k in range(count):
        moving = ndimage.gaussian_filter(rng.standard_normal(shape), 2.0)
        moving = ((moving - moving.min()) / np.ptp(moving)).astype(np.float32)
        u = ndimage.gaussian_filter(rng.standard_normal((d, *shape)), (0, *(max(shape) / 6,) * d))
        u = (2.0 * u / u.std()).astype(np.float32)
        np.save(_in(folder / "true" / f"{k:02d}.npy"), u)
        for kind, image in (("", moving), ("_labels", 1.0 + (moving > 0.5))):
            fixed = warp_batch(torch.from_numpy(image).float()[None, None], torch.from_numpy(u)[None])[0, 0]
            for side, data in (("fixed", fixed.numpy()), ("moving", image)):
                data = np.rint(data).astype(np.uint8) if kind else data
                write_image(Image(data, grid), folder / f"{side}{kind}" / f"{k:02d}.tif")
        files = {
            f"{side}{kind}": folder / f"{side}{kind}" / f"{k:02d}.tif"
            for side in ("fixed", "moving")
            for kind in ("", "_labels")
        }
        pairs.append(Pair(f"{k:02d}", displacement=folder / "true" / f"{k:02d}.npy", **files))
    return pairs


def _in(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@pytest.fixture
def some_pairs(tmp_path: Path):
    """Makes a set of small pairs."""

    def make(training: int = 6, validation: int = 2, **options) -> PairSet:
        pairs = write_pairs(tmp_path / "in", training + validation, **options)
        return PairSet(tuple(pairs[:training]), tuple(pairs[training:]))

    return make
