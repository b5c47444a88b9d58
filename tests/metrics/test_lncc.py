"""The local correlation inside the fields of view, and what makes a pair ready for it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_voxreg import Affine, Grid, Image
from napari_voxreg.images.field_of_view import field_of_view
from napari_voxreg.images.preprocess import block_mean, steps_to
from napari_voxreg.metrics.lncc import LNCC


def texture(shape, seed=0):
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2).astype(np.float32)


def on_pixels(data):
    return Image(data.astype(np.float32), Grid.from_spacing(data.shape))


def disc(shape, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < radius


def test_the_true_pose_of_round_pictures_wins_over_the_common_border():
    # Two cuts of one scene, 30 px apart, through the same round window: the windows meet at the identity.
    scene = texture((300, 300))
    scene = 0.4 + 0.05 * scene / scene.std()
    window = disc((240, 240), 110)
    fixed, moving = scene[30:270, 30:270] * window, scene[30:270, 60:300] * window
    (start, truth), overlaps = LNCC(on_pixels(fixed), on_pixels(moving)).compare(
        None, Affine.translation([0, -30])
    )
    assert start < 0.15
    assert truth > 0.8
    assert overlaps[0] > 0.99 > overlaps[1] > 0.7


def test_transforms_are_compared_on_the_same_pixels():
    fixed = texture((120, 120))
    moving = fixed.copy()
    moving[:, :60] = texture((120, 60), 1)
    likeness = LNCC(on_pixels(fixed), on_pixels(moving))
    alone = likeness.compare(None)[0][0]
    beside_half = likeness.compare(None, Affine.translation([0, 60]))[0][0]  # only the left half is common
    assert alone > 0.4
    assert beside_half < 0.15


def test_masks_count_and_no_common_pixel_is_nan():
    fixed = texture((100, 100))
    moving = fixed.copy()
    moving[:50] = texture((50, 100), 3)
    lower = np.zeros((100, 100), bool)
    lower[55:] = True
    mask = Image(lower, Grid.from_spacing(lower.shape))
    assert LNCC(on_pixels(fixed), on_pixels(moving), fixed_mask=mask).compare(None)[0][0] > 0.8
    values, overlaps = LNCC(on_pixels(fixed), on_pixels(moving), mask, mask).compare(
        None, Affine.translation([60.0, 0.0])
    )
    assert np.isnan(values).all()
    assert overlaps[1] == 0


def test_a_large_pair_is_compared_as_a_small_one():
    big = np.kron(texture((400, 400)), np.ones((4, 4)))
    moved = shift(big, (0, 6), order=1, mode="nearest")
    (before, after), _ = LNCC(on_pixels(big), on_pixels(moved)).compare(None, Affine.translation([0.0, 6.0]))
    assert after > 0.6 > before + 0.1


def test_block_means_lie_in_the_middle_of_their_blocks():
    grid = Grid.from_spacing((5, 6), (2.0, 0.5), (10.0, 20.0))
    image = Image(np.arange(30, dtype=np.float32).reshape(5, 6), grid)
    small = block_mean(image, (2, 3))
    assert small.grid.shape == (3, 2)
    assert small.data[0] == pytest.approx([4.0, 7.0])  # means of 0 1 2 6 7 8 and of 3 4 5 9 10 11
    assert small.data[2, 0] == pytest.approx(25.0)  # the last row repeated
    assert small.grid.to_world([[0, 0]])[0] == pytest.approx([11.0, 20.5])
    assert small.grid.spacing == pytest.approx([4.0, 1.5])


def test_blocks_make_anisotropic_grids_nearly_isotropic():
    assert steps_to(Grid.from_spacing((40, 512, 512), (5.0, 0.5, 0.5)), 128) == (1, 4, 4)
    assert steps_to(Grid.from_spacing((100, 90)), 640) == (1, 1)


def test_field_of_view():
    inside = disc((200, 200), 80)
    found = field_of_view((0.2 + 0.5 * np.abs(texture((200, 200)))) * inside)
    assert np.mean(found == inside) > 0.97
    assert field_of_view(0.3 + 0.2 * np.abs(texture((64, 64)))).all()
    assert field_of_view(np.zeros((64, 64))).all()


def test_smoother_textures_agree_more_where_nothing_belongs_together():
    grains = [(gaussian_filter(np.random.default_rng(k).normal(size=(120, 160)), k)) for k in (1, 4)]
    levels = [LNCC(on_pixels(grain), on_pixels(grain)).unrelated(None) for grain in grains]
    assert levels[0] == pytest.approx(0.08, abs=0.03)
    assert levels[1] > 1.5 * levels[0]
    apart = LNCC(on_pixels(grains[0]), on_pixels(grains[0])).unrelated(Affine.translation([0, 200]))
    assert np.isnan(apart)
