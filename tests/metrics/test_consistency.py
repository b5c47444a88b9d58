"""How far transforms forward and back agree."""

from __future__ import annotations

import numpy as np
import pytest

from napari_voxreg import Affine, Displacement, Grid
from napari_voxreg.metrics.consistency import agreement, sure


def test_agreement_counts_the_points_that_come_back():
    grid = Grid.from_spacing((100, 100), 0.5)
    forward = Affine.translation([3.0, -2.0])
    assert agreement(forward, forward.inverse(), grid, grid) == 1
    assert agreement(forward, forward, grid, grid) == 0
    assert agreement(Affine.translation([900.0, 0.0]), forward, grid, grid) == 0
    # Half of the way back is wrong.
    field = np.zeros((100, 100, 2))
    field[50:] = 5.0
    half = agreement(Affine.identity(2), Displacement(field, grid), grid, grid)
    assert half == pytest.approx(0.5, abs=0.03)


def test_an_affine_prediction_is_sure_by_agreement_after_a_large_motion():
    grid = Grid.from_spacing((100, 80))
    identity, near, far = (Affine.translation(t) for t in ([0.0, 0.0], [1.0, 2.0], [12.0, -9.0]))
    assert sure(far, identity, 0.7, grid)
    assert not sure(far, identity, 0.5, grid)
    assert not sure(near, identity, 1.0, grid)  # so near, similarity decides
