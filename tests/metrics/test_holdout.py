"""Held-out blocks separate a real deformation from noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Displacement, Grid, Image, warp
from napari_voxreg.core.progress import silent
from napari_voxreg.metrics.holdout import Copies, Trial
from napari_voxreg.metrics.pair import PairMetrics


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
    trials = Copies(fixed, on_pixels(scene), None, None).held_out(candidates, silent)
    assert list(trials) == list(candidates)
    assert trials["true"].gain > 0.3
    assert max(trials["wild"].gain, trials["none"].gain) < 0.01


def test_a_deformation_sees_only_its_own_blocks():
    fitted = []

    def spy(fixed, moving, fixed_mask, moving_mask, progress):
        fitted.append(fixed_mask.data)
        return Affine.identity(2)

    image = on_pixels(texture((200, 120), 0))
    Copies(image, image, None, None).held_out({"only": spy}, silent)
    assert len(fitted) == 2
    assert not (fitted[0] & fitted[1]).any()
    assert (fitted[0] | fitted[1]).all()


def test_smoothing_by_interpolation_is_no_gain():
    # Up to half a pixel off, interpolation averages the noise of neighbours: LNCC rises though nothing moved.
    rng = np.random.default_rng(3)
    scene = texture((256, 256), 1, sigma=4.0)
    scene /= scene.std()
    fixed, moving = (on_pixels(scene + 0.8 * rng.normal(size=scene.shape)) for _ in range(2))
    larger = Affine(np.array([[1.004, 0, -0.5], [0, 1.004, -0.5], [0, 0, 1]]))
    pair = PairMetrics(fixed, moving)
    assert pair.lncc(larger) > pair.lncc(None) + 0.01
    trial = Copies(fixed, moving, None, None).held_out({"larger": lambda *images: larger}, silent)["larger"]
    assert trial.gain < 0.002


def test_what_a_free_deformation_gains_beyond_chance():
    scene = texture((128, 128), 4)
    grid = Grid.from_spacing(scene.shape)
    rows = np.arange(128)[:, None] * np.ones(128)
    truth = Displacement(np.stack([3 * np.sin(rows / 20), np.zeros_like(rows)], axis=-1), grid)
    fixed = warp(on_pixels(scene), truth, grid)
    trial = Trial("true", 0.0, 0.0)
    related = Copies(fixed, on_pixels(scene), None, None)
    assert related.with_excess(trial, lambda *images: truth, silent).excess > 0.3
    other = Copies(fixed, on_pixels(texture((128, 128), 5)), None, None)
    assert other.with_excess(trial, lambda *images: truth, silent).excess < 0
