"""By how much the inverse of a transform misses."""

import numpy as np
import pytest

from napari_voxreg import Grid
from napari_voxreg.core.progress import silent
from napari_voxreg.registration.inverse import inverse_consistency
from napari_voxreg.transforms import Affine, Displacement

GRIDS = [
    Grid.from_spacing((40, 50), (0.5, 0.8), units="mm"),
    Grid.from_spacing((16, 20, 18), (2.0, 0.8, 1.0)),
]


def bump(grid, height):
    """A displacement along axis 0 by a Gaussian in the middle, which folds if it is high."""
    away = grid.nodes() - grid.centre
    size = 0.15 * float((grid.spacing * grid.shape).min())
    field = np.zeros((len(away), grid.ndim))
    field[:, 0] = height * size * np.exp(-(away**2).sum(axis=1) / (2 * size**2))
    return Displacement(field.reshape(*grid.shape, -1), grid)


@pytest.mark.parametrize("grid", GRIDS)
def test_an_affine_map_comes_back_and_has_no_error_outside(grid):
    step = 3 * grid.spacing[0]
    error = inverse_consistency(Affine.translation([step] + [0] * (grid.ndim - 1)), grid, grid, silent)
    assert error.shape == grid.shape and error.dtype == np.float32
    assert np.nanmax(error) < 1e-5
    assert np.isnan(error[-3:]).all() and np.isfinite(error[:-3]).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_a_smooth_field_comes_back_and_a_folded_one_does_not(grid):
    spacing = float(grid.spacing.min())
    assert np.nanmax(inverse_consistency(bump(grid, 0.5), grid, grid, silent)) < 0.25 * spacing
    folded = inverse_consistency(bump(grid, 4.0), grid, grid, silent)
    assert np.nanmax(folded) > spacing
    assert folded[(0,) * grid.ndim] < 0.1 * spacing
