"""Numerical inverses of rough fields: found where there is one, and honest about the error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from napari_voxreg import Displacement, Grid

GRID = Grid.from_spacing((64, 72))


def rough(seed, size, length):
    """A random field of some pixels in the mean, which folds in places."""
    rng = np.random.default_rng(seed)
    field = np.stack([gaussian_filter(rng.normal(size=GRID.shape), size) for _ in "ab"], axis=-1)
    return Displacement(field * length / np.linalg.norm(field, axis=-1).mean(), GRID)


def reached(transform):
    """Nodes on which the transform maps a point around which it does not fold."""
    fine = np.moveaxis(np.mgrid[10:54:0.25, 10:62:0.25], 0, -1).reshape(-1, 2)
    clear = np.all(
        [
            np.linalg.det(transform.jacobian(fine + step)) > 0.2
            for step in ((0, 0), (1, 1), (-1, -1), (1, -1))
        ],
        axis=0,
    )
    nodes = GRID.nodes()
    gaps = cKDTree(transform(fine[clear])).query(nodes)[0]
    return nodes[gaps < 0.2]


@pytest.mark.parametrize("size, length", [(2, 1.5), (3, 3.0), (4, 5.0), (6, 8.0)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_inverse_is_found_where_there_is_one(seed, size, length):
    transform = rough(seed, size, length)
    nodes = reached(transform)
    assert len(nodes) > 100
    missed = np.linalg.norm(transform(transform.inverse(GRID)(nodes)) - nodes, axis=1)
    assert missed.max() < 0.5


@pytest.mark.parametrize("size, length", [(1, 0.5), (2, 1.0), (4, 3.0)])
def test_the_stated_error_holds_between_the_nodes(size, length):
    transform = rough(3, size, length)
    back = transform.inverse(GRID)
    error = next(m.inverse_error for m in getattr(back, "members", (back,)) if isinstance(m, Displacement))
    points = np.random.default_rng(4).uniform((12, 12), (52, 60), (500, 2))
    assert np.linalg.norm(transform(back(points)) - points, axis=1).max() <= error


def test_a_smooth_inverse_states_a_small_error():
    rim = np.minimum(*(np.minimum(i, n - 1 - i) for i, n in zip(np.indices((64, 72)), (64, 72), strict=True)))
    field = rough(5, 8, 2.0).field * np.clip((rim - 4) / 12, 0, 1)[..., None]
    back = Displacement(field, GRID).inverse(GRID)
    error = next(m.inverse_error for m in getattr(back, "members", (back,)) if isinstance(m, Displacement))
    assert error < 0.1


def test_a_field_into_a_larger_unit_is_inverted():
    """From micrometres to metres, where all slopes are a millionth."""
    small = Grid.from_spacing(GRID.shape, 1e-6)
    smooth = rough(5, 8, 2.0)
    nodes = GRID.nodes()
    moved = 1e-6 * smooth(nodes) - nodes
    shrunk = Displacement(moved.reshape(*GRID.shape, 2), GRID)
    back = shrunk.inverse(small)
    targets = small.to_world(np.random.default_rng(4).uniform((16, 16), (48, 56), (200, 2)))
    assert np.linalg.norm(shrunk(back(targets)) - targets, axis=1).max() < 0.1e-6
