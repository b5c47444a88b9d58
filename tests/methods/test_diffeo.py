"""The method around the optimiser: parameters, presets, landmarks, a start that is not affine."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Grid, Image, StationaryVelocity, register


def _image(seed=0, shape=(96, 90)):
    data = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return Image(data.astype(np.float32), Grid.from_spacing(shape, (0.5, 0.8), units="millimeter"))


def test_every_parameter_is_a_setting():
    from napari_voxreg.diffeo.settings import Settings

    method = METHODS["diffeo"]
    for preset in method.presets:
        assert Settings(**method.parameters(preset).as_dict()) is not None
    assert Settings(**method.params().as_dict()) == Settings()


@pytest.mark.parametrize(("name", "value"), [("smoothness", 0.0), ("levels", 0), ("similarity", "guess")])
def test_bad_parameters_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        METHODS["diffeo"].parameters(params={name: value})


def test_masks_that_do_not_meet_are_refused():
    image = _image()
    left, right = np.zeros(image.grid.shape, bool), np.zeros(image.grid.shape, bool)
    left[:, :20], right[:, 60:] = True, True
    with pytest.raises(ValueError, match="do not overlap"):
        register(image, image, method="diffeo", fixed_mask=left, moving_mask=right)


def test_the_outcome_includes_a_start_that_is_not_affine():
    from napari_voxreg import warp

    moving = _image()
    coarse = Grid.from_spacing((14, 14), (4.0, 6.0), (-2.0, -2.0), units="millimeter")
    velocity = 1.2 * gaussian_filter(np.random.default_rng(1).normal(size=(14, 14, 2)), (2, 2, 0))
    truth = StationaryVelocity(8 * velocity, coarse)
    fixed = warp(moving, truth, moving.grid)
    start = StationaryVelocity(6 * velocity, coarse)
    result = register(fixed, moving, method="diffeo", initial=start)
    nodes = moving.grid.nodes()
    inner = nodes[np.all((nodes > 8) & (nodes < nodes.max(axis=0) - 8), axis=1)]
    before = np.linalg.norm(start(inner) - truth(inner), axis=1).mean()
    after = np.linalg.norm(result.transform(inner) - truth(inner), axis=1).mean()
    assert after < 0.4 * before
    assert result.notes and result.trace
