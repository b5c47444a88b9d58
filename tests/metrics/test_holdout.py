"""Held-out blocks separate a real deformation from noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Displacement, Grid, Image, warp
from napari_voxreg.core.progress import silent
from napari_voxreg.metrics.holdout import best_held_out


def on_pixels(data):
    return Image(np.asarray(data, np.float32), Grid.from_spacing(data.shape))


def texture(shape, seed, sigma=2.0):
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)


def test_held_out_blocks_tell_motion_from_noise():
    # Candidates of the test's own: the true motion, none, and noise that moves every pixel.
    scene = texture((256, 256), 4)
    grid = Grid.from_spacing(scene.shape)
    rows = np.arange(256)[:, None] * np.ones(256)
    field = np.stack([3 * np.sin(rows / 40), np.zeros_like(rows)], axis=-1)
    truth = Displacement(field, grid)
    fixed = warp(on_pixels(scene), truth, grid)
    wild = Displacement(4 * np.random.default_rng(2).normal(size=field.shape), grid)
    candidates = {
        "wild": lambda *images: wild,
        "true": lambda *images: truth,
        "none": lambda *images: Affine.identity(2),
    }
    trial = best_held_out(fixed, on_pixels(scene), None, None, candidates, silent)
    assert trial.name == "true"
    assert trial.gain > 0.3
    del candidates["true"]
    assert best_held_out(fixed, on_pixels(scene), None, None, candidates, silent).gain < 0.01


def test_a_deformation_sees_only_its_own_blocks():
    fitted = []

    def spy(fixed, moving, fixed_mask, moving_mask, progress):
        fitted.append(fixed_mask.data)
        return Affine.identity(2)

    image = on_pixels(texture((200, 120), 0))
    best_held_out(image, image, None, None, {"only": spy}, silent)
    assert len(fitted) == 2
    assert not (fitted[0] & fitted[1]).any()
    assert (fitted[0] | fitted[1]).all()
