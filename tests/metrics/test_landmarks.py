"""Landmarks: leave-one-out errors, and partners sought in the moving image."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image
from napari_voxreg.metrics.landmarks import find_partner, leave_one_out
from napari_voxreg.transforms import warp
from napari_voxreg.transforms.fit import fit


def test_leaving_one_out_finds_the_wrong_pair_that_the_residual_hides():
    rng = np.random.default_rng(0)
    fixed = rng.uniform(0, 100, (9, 2))
    moving = fixed @ [[1.1, 0.2], [0.0, 0.9]] + 4
    moving[3] += (0, 12)
    errors = leave_one_out("affine", fixed, moving)
    others = np.arange(9) != 3
    without = fit("affine", fixed[others], moving[others])
    assert errors[3] == pytest.approx(np.linalg.norm(without(fixed[3:4]) - moving[3])) == pytest.approx(12)
    assert np.argmax(errors) == 3
    plate = leave_one_out("thin plate", fixed, moving)
    assert plate[3] > 5  # a thin plate passes through the wrong pair: its residual is 0
    # The closed form for least squares: the residual, divided by one less the leverage.
    design = np.c_[fixed, np.ones(9)]
    leverage = np.diag(design @ np.linalg.pinv(design))
    residual = np.linalg.norm(fit("affine", fixed, moving)(fixed) - moving, axis=1)
    np.testing.assert_allclose(errors, residual / (1 - leverage))


def test_too_few_others_leave_no_error():
    fixed = np.array([[0.0, 0], [9, 1], [3, 8]])
    assert np.isnan(leave_one_out("affine", fixed, fixed + 1)).all()
    np.testing.assert_allclose(leave_one_out("translation", fixed, fixed + 1), 0, atol=1e-12)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("shape", [(90, 100), (40, 44, 48)])
def test_a_partner_is_found_between_pixels_whatever_the_contrast(shape, inverted):
    d = len(shape)
    texture = gaussian_filter(np.random.default_rng(1).random(shape), 2.0).astype(np.float32)
    grid = Grid.from_spacing(shape, 0.5, 10.0)
    moving = Image(1 - texture if inverted else texture, grid)
    turn = np.eye(d + 1)
    turn[:2, :2] = [[0.995, -0.0998], [0.0998, 0.995]]
    turn[:d, d] = grid.centre - turn[:d, :d] @ grid.centre + 1.3
    truth = Affine(turn)
    fixed = Image(warp(Image(texture, grid), truth, grid).data, grid)
    point = grid.centre + 2.2
    start = Affine(np.vstack([np.c_[turn[:d, :d], turn[:d, d:] + 2.0], turn[d]]))  # 4 pixels away
    place, correlation = find_partner(fixed, moving, point, start)
    assert np.linalg.norm(place - truth(point[None])[0]) < 0.15
    assert correlation < -0.9 if inverted else correlation > 0.9


def test_a_place_that_shows_nothing_is_said():
    grid = Grid.from_spacing((60, 60))
    flat = Image(np.ones((60, 60), np.float32), grid)
    textured = Image(np.random.default_rng(0).random((60, 60), np.float32), grid)
    with pytest.raises(ValueError, match=r"The fixed image shows nothing .* by hand"):
        find_partner(flat, textured, grid.centre, Affine.identity(2))
    with pytest.raises(ValueError, match="The moving image shows nothing"):
        find_partner(textured, flat, grid.centre, Affine.identity(2))
