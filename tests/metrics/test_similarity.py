import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift
from skimage.metrics import normalized_mutual_information, structural_similarity

from napari_voxreg import Affine, Cancelled, Displacement, Grid
from napari_voxreg.images.preprocess import unit_range
from napari_voxreg.metrics import similarity as m


def _picture(shape=(60, 70), seed=0):
    return unit_range(gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2))


def test_simple_measures_by_hand():
    a, b = np.array([0.0, 1.0, 0.5]), np.array([0.5, 1.0, 0.0])
    assert m.l1(a, b) == pytest.approx(1 / 3) and m.rmse(a, b) == pytest.approx(np.sqrt(0.5 / 3))
    assert m.ncc(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert m.ncc(a, np.ones(3)) == 0.0


def test_nmi_agrees_with_scikit_image_and_ignores_inversion():
    a, b = _picture(), _picture(seed=1)
    # scikit-image bins from minimum to maximum, which is [0, 1] for these images.
    assert m.nmi(a, b) == pytest.approx(normalized_mutual_information(a, b, bins=64), abs=0.01)
    assert m.nmi(a, 1 - a) > 1.8 and m.nmi(a, b) < 1.3


@pytest.mark.parametrize("shape", [(60, 70), (20, 24, 22), (1500, 900)])
def test_ssim_agrees_with_scikit_image(shape):
    a, b = _picture(shape), _picture(shape, 1)
    expected, full = structural_similarity(a, b, data_range=1.0, full=True)
    ours = m.ssim_map(a, b)
    inner = tuple(slice(3, -3) for _ in shape)
    assert np.allclose(ours[inner], full[inner], atol=2e-3)
    assert ours[inner].mean() == pytest.approx(expected, abs=1e-3)


def test_ssim_takes_axes_shorter_than_its_window_and_can_be_cancelled():
    a = _picture((2, 30, 30))
    assert np.allclose(m.ssim_map(a, a), 1, atol=1e-4)

    def cancel(fraction, message, metric=None):
        raise Cancelled

    with pytest.raises(Cancelled):
        m.ssim_map(a, a, cancel)


def test_lncc_sees_structure_and_neither_contrast_nor_outline():
    a, b = _picture((90, 80)), _picture((90, 80), 1)
    everywhere = np.ones(a.shape, bool)
    assert m.lncc(a, a, everywhere) > 0.8
    assert m.lncc(a, 1 - 0.5 * a, everywhere) > 0.6
    chance = m.lncc(a, b, everywhere)
    assert chance < 0.25
    disc = np.hypot(*np.mgrid[-45:45, -40:40]) < 35
    assert m.ncc(np.where(disc, a, 0), np.where(disc, b, 0)) > 0.6
    assert m.lncc(a, b, disc) == pytest.approx(chance, abs=0.06)


def test_lncc_is_the_same_slab_by_slab_and_ignores_what_lies_outside():
    a, b = _picture((1500, 900)), _picture((1500, 900), 1)
    inside = np.ones(a.shape, bool)
    assert m.lncc(a, b, inside) == pytest.approx(m.lncc(a.T, b.T, inside.T), rel=1e-4)
    a, b, inside = a[:80, :80], b[:80, :80].copy(), inside[:80, :80].copy()
    inside[:, 40:] = False
    value = m.lncc(a, b, inside)
    b[:, 40:] = 1.0
    assert m.lncc(a, b, inside) == pytest.approx(value, rel=1e-5)
    assert not m.lncc_map(a, b, inside)[:, 40:].any()


def test_dice():
    a = np.zeros((40, 40), int)
    a[10:20, 10:20] = 1
    a[25:30, 25:30] = 2
    b = shift(a, (2, 0), order=0)
    assert m.dice(a, a) == 1.0 and m.dice(a, b, 1) == pytest.approx(0.8)
    assert m.dice(a, b) == pytest.approx((0.8 + 0.6) / 2)


def test_landmarks_and_folding():
    points = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert m.landmark_errors(Affine.identity(2), points, points + np.array([3, 4])).tolist() == [5.0, 5.0]
    grid = Grid.from_spacing((20, 20))
    field = np.zeros((20, 20, 2))
    assert m.folded_percentage(Displacement(field, grid), grid) == 0.0
    field[10:, :, 0] = -3.0
    assert m.folded_percentage(Displacement(field, grid), grid) == pytest.approx(10.0)
    assert m.folded_percentage(Affine(np.diag([-1.0, 1.0, 1.0])), grid) == 0.0
