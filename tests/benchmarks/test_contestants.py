"""The direction, axis order and geometry of everybody who takes part in the benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import contestants
from napari_voxreg.core.geometry import Grid, Image

CELLS = [("SyN", 2), ("SyN", 3), ("SyN-quick", 2), ("ConvexAdam", 3)]
CELLS += [pytest.param("elastix", 2, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("name", "d"), CELLS)
def test_a_known_translation_comes_out_right(name, d):
    if name in contestants.missing():
        pytest.skip(contestants.missing()[name])
    shape = (48, 42, 44) if d == 3 else (110, 130)
    translation = np.array([3, -2, 1])[:d]  # pixels; another one along each axis
    scene = ndimage.gaussian_filter(np.random.default_rng(4).random([n + 10 for n in shape]), 2.5)
    scene = (scene - scene.min()) / np.ptp(scene)
    # moving(x + translation) = fixed(x)
    fixed = scene[tuple(slice(5, 5 + n) for n in shape)]
    moving = scene[tuple(slice(5 - s, 5 - s + n) for s, n in zip(translation, shape, strict=True))]
    flipped = np.diag([1.0] * (d - 1) + [-1.0])
    offset = np.array([6.0, -4.0, 3.0])[:d]  # world units between the grids
    origin = np.array([30.0, -20.0, 7.0])[:d]
    grids = [
        Grid.from_spacing(shape, (2.0, 1.5, 1.0)[:d], o, flipped, "mm") for o in (origin, origin + offset)
    ]
    pair = [Image(x.astype(np.float32), grid) for x, grid in zip((fixed, moving), grids, strict=True)]
    found = contestants.registered(name, *pair)
    places = np.array([grids[0].centre, grids[0].centre + 3])
    expected = grids[0].affine[:-1, :-1] @ translation + offset
    # Less than the smallest translation: no two axes can be exchanged, no sign flipped.
    assert np.abs(found.transform(places) - places - expected).max() < 0.9
