"""The scores of a pair, and its LNCC: inside the fields of view, on the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_voxreg import Affine, Grid, Homography, Image
from napari_voxreg.images.field_of_view import field_of_view
from napari_voxreg.images.preprocess import block_mean, steps_to
from napari_voxreg.metrics.pair import SCARCE, PairMetrics


def texture(shape, seed=0):
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2).astype(np.float32)


def on_pixels(data):
    return Image(data.astype(np.float32), Grid.from_spacing(data.shape))


def disc(shape, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < radius


def test_the_true_pose_of_round_images_wins_over_the_common_border():
    # Two cuts of one scene, 30 px apart, through the same round window: the windows meet at the identity.
    scene = texture((300, 300))
    scene = 0.4 + 0.05 * scene / scene.std()
    window = disc((240, 240), 110)
    fixed, moving = scene[30:270, 30:270] * window, scene[30:270, 60:300] * window
    metrics, truth = PairMetrics(on_pixels(fixed), on_pixels(moving)), Affine.translation([0, -30])
    assert metrics.lncc(None) < 0.15
    assert metrics.lncc(truth, truth) > 0.8
    assert metrics.lncc(truth) > 0.6  # of the first overlap a fifth is lost
    assert metrics.overlap(None) > 0.99 > metrics.overlap(truth) > 0.7


def test_lost_pixels_keep_their_value_and_gained_ones_do_not_count():
    # Equal on the left, unrelated on the right.
    fixed = texture((120, 120))
    moving = fixed.copy()
    moving[:, 60:] = texture((120, 60), 1)
    left, right = np.zeros((2, 120, 120), bool)
    left[:, :60], right[:, 60:] = True, True
    away = Affine.translation([0, 60])  # its right half has no data, its left one is unrelated

    def lncc(transform, before=None, mask=None):
        mask = None if mask is None else Image(mask, Grid.from_spacing(mask.shape))
        return PairMetrics(on_pixels(fixed), on_pixels(moving), mask).lncc(transform, before)

    # Of all pixels the left half is measured anew, the right one keeps its value.
    kept, found = lncc(None, mask=right), lncc(away, mask=left)
    assert kept < 0.2 and found < 0.2 < 0.4 < lncc(None)
    assert lncc(away) == pytest.approx((kept + found) / 2, abs=0.02)  # windows at the seam differ
    # Of the pixels of `away` only the left half counts.
    assert lncc(None, before=away) == pytest.approx(lncc(None, mask=left), abs=0.02)
    assert lncc(away, before=away) == pytest.approx(found, abs=0.02)


def test_without_overlap_before_the_whole_field_of_view_counts():
    fixed = texture((100, 100))
    away = on_pixels(fixed).with_grid(Grid.from_spacing((100, 100), 1.0, (0.0, 500.0)))
    metrics = PairMetrics(on_pixels(fixed), away)
    truth, half = Affine.translation([0.0, 500.0]), Affine.translation([0.0, 550.0])
    assert np.isnan(metrics.lncc(None)) and metrics.overlap(None) == 0
    assert metrics.lncc(truth) > 0.8
    assert metrics.lncc(half) == pytest.approx(0.5 * metrics.lncc(half, half), abs=1e-3)
    # A rim is as little to compare with as nothing.
    rim = Affine.translation([0.0, 500.0 + 100 * (1 - 0.8 * SCARCE)])
    assert 0 < metrics.overlap(rim) < SCARCE
    assert np.isnan(metrics.lncc(rim, rim))
    assert metrics.lncc(truth, rim) == metrics.lncc(truth)


def test_masks_count_and_no_common_pixel_is_nan():
    fixed = texture((100, 100))
    moving = fixed.copy()
    moving[:50] = texture((50, 100), 3)
    lower = np.zeros((100, 100), bool)
    lower[55:] = True
    mask = Image(lower, Grid.from_spacing(lower.shape))
    assert PairMetrics(on_pixels(fixed), on_pixels(moving), fixed_mask=mask).lncc(None) > 0.8
    metrics = PairMetrics(on_pixels(fixed), on_pixels(moving), mask, mask)
    away = Affine.translation([60.0, 0.0])
    assert metrics.lncc(None) > 0.8
    assert np.isnan(metrics.lncc(away)) and metrics.overlap(away) == 0


def test_a_large_pair_is_compared_as_a_small_one():
    big = np.kron(texture((400, 400)), np.ones((4, 4)))
    moved = shift(big, (0, 6), order=1, mode="nearest")
    metrics = PairMetrics(on_pixels(big), on_pixels(moved))
    assert metrics.coarse_grid.shape == (800, 800)
    assert metrics.lncc(Affine.translation([0.0, 6.0])) > 0.6 > metrics.lncc(None) + 0.1


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
    levels = [PairMetrics(on_pixels(grain), on_pixels(grain)).unrelated(None) for grain in grains]
    assert levels[0] == pytest.approx(0.08, abs=0.03)
    assert levels[1] > 1.5 * levels[0]
    apart = PairMetrics(on_pixels(grains[0]), on_pixels(grains[0])).unrelated(Affine.translation([0, 200]))
    assert np.isnan(apart)


def test_overlap_scores_leave_out_what_comes_from_outside_and_from_masks():
    image = texture((64, 64))
    grid = Grid.from_spacing((64, 64))
    metrics = PairMetrics(on_pixels(image), on_pixels(image))
    scores = metrics.scores(Affine.translation([16.0, 0.0]))
    assert scores.overlap_fraction == pytest.approx(0.75)
    same = metrics.scores(None)
    assert same.overlap["ncc"] == pytest.approx(1.0, abs=1e-5) and same.whole["l1"] == 0.0
    half = np.zeros((64, 64), bool)
    half[:32] = True
    masked = PairMetrics(on_pixels(image), on_pixels(image), fixed_mask=Image(half, grid))
    assert masked.scores(None).overlap_fraction == 1.0
    away = metrics.scores(Affine.translation([500.0, 0.0]))
    assert away.overlap_fraction == 0 and np.isnan(away.overlap["ncc"])


@pytest.fixture
def counted():
    """A map of the plane, and how many points it has mapped."""
    points = []

    class Counted(Homography):
        def __call__(self, where):
            points.append(len(where))
            return super().__call__(where)

    return Counted([[1.0, 0.01, 2.0], [0.0, 1.0, -3.0], [1e-5, 0.0, 1.0]]), lambda: sum(points)


@pytest.mark.parametrize(("side", "passes"), [(90, (1, 0)), (1500, (1, 1))])
def test_a_transform_is_evaluated_once_at_each_resolution(side, passes, counted):
    transform, mapped = counted
    image = on_pixels(np.kron(texture((side // 10, side // 10)), np.ones((10, 10))))
    metrics = PairMetrics(image, image)
    coarse = np.prod(metrics.coarse_grid.shape)
    expected = passes[0] * image.data.size + passes[1] * coarse
    first = metrics.scores(transform), metrics.lncc(transform), metrics.overlap(transform)
    assert mapped() == expected
    metrics.warped(transform)
    assert (metrics.scores(transform), metrics.lncc(transform), metrics.overlap(transform)) == first
    assert mapped() == expected


def test_what_is_kept_belongs_to_its_transform():
    image = on_pixels(texture((64, 64)))
    translations = [Affine.translation([k, 0.0]) for k in range(6)]
    metrics = PairMetrics(image, image)
    found = [(metrics.lncc(t), metrics.scores(t)) for t in (*translations, *translations)]
    assert found[:6] == found[6:]
    assert len({value for value, _ in found}) == 6
    assert found[0][0] == metrics.lncc(None)


def test_images_are_scaled_once_each_by_its_own_range():
    data = texture((64, 64))
    metrics = PairMetrics(on_pixels(data), on_pixels(7 - 300 * data))
    assert metrics.fixed is metrics.fixed and metrics.moving is metrics.moving
    assert metrics.fixed.data.min() == 0 and metrics.moving.data.max() == 1
    plain = PairMetrics(on_pixels(data), on_pixels(data))
    assert metrics.lncc(None) == pytest.approx(plain.lncc(None), rel=1e-3)
    assert metrics.scores(None).overlap["ncc"] == pytest.approx(-1, abs=1e-3)
