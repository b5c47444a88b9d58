"""Optical flow: known motions on awkward grids, the initial transform, masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_voxreg.geometry import Grid, Image
from napari_voxreg.method import silent
from napari_voxreg.methods import ilk, tvl1
from napari_voxreg.transforms import Affine, Displacement, Sequence, warp

METHODS = {"tvl1": tvl1.METHOD, "ilk": ilk.METHOD}
OBLIQUE = np.array([[0.8, -0.6], [0.6, 0.8]])


def texture(shape, seed=0):
    """A smooth random picture from 0 to 1."""
    image = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 2.5)
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def swirl(grid, pixels):
    """A smooth displacement of at most about `pixels`, as world vectors."""
    index = np.indices(grid.shape, dtype=float)
    waves = [pixels * np.sin(2 * np.pi * index[(k + 1) % grid.ndim] / 90 + k) for k in range(grid.ndim)]
    return Displacement(np.stack(waves, axis=-1) @ grid.affine[:-1, :-1].T, grid)


def run(method, fixed, moving, **changes):
    given = {"initial": None, "fixed_mask": None, "moving_mask": None, "points": None}
    params = method.params(**changes.pop("params", {}))
    return method.run(fixed, moving, params, **{**given, **changes}, seed=0, device="cpu", progress=silent)


def error(transform, truth, grid, border=6):
    """Mean distance between two maps over the inner nodes, in coarsest pixels."""
    inner = np.zeros(grid.shape, dtype=bool)
    inner[(slice(border, -border),) * grid.ndim] = True
    nodes = grid.nodes()[inner.ravel()]
    return np.linalg.norm(transform(nodes) - truth(nodes), axis=1).mean() / grid.spacing.max()


@pytest.fixture(params=list(METHODS))
def method(request):
    return METHODS[request.param]


def moved_pair(grid, pixels=2.0):
    """A fixed image, a moving image of which it is a warp, and that warp."""
    moving = Image(texture(grid.shape), grid)
    truth = swirl(grid, pixels)
    return warp(moving, truth, grid), moving, truth


@pytest.mark.parametrize(
    "grid",
    [
        Grid.from_spacing((96, 110)),
        Grid.from_spacing((96, 110), (0.002, 0.001), (5, -3), OBLIQUE, "mm"),
        Grid.from_spacing((40, 44, 48), (30, 10, 10), (500, -3, 8), np.diag([1, -1, 1]), "um"),
    ],
    ids=["plain 2D", "oblique 2D", "flipped 3D"],
)
def test_a_known_motion_is_recovered_in_world_units(method, grid):
    fixed, moving, truth = moved_pair(grid)
    before = error(Affine.identity(grid.ndim), truth, grid)
    after = error(run(method, fixed, moving).transform, truth, grid)
    assert before > 1 and after < 0.5 * min(1, before), (before, after)


def test_a_finer_shifted_moving_grid_is_honoured(method):
    grid = Grid.from_spacing((96, 110), 0.5)
    fixed, moving, truth = moved_pair(grid)
    finer = Grid.from_spacing((250, 260), 0.25, (-3, -4))
    elsewhere = warp(moving, None, finer)
    inside = error(run(method, fixed, elsewhere).transform, truth, grid, border=12)
    assert inside < 0.5


def test_the_initial_transform_is_part_of_the_outcome(method):
    grid = Grid.from_spacing((96, 110), 0.5)
    fixed, moving, truth = moved_pair(grid)
    shift = Affine.translation([3.0, -2.0])
    far = moving.with_grid(moving.grid.moved(shift.matrix))
    initial = Sequence((swirl(grid, 0.5), shift))
    outcome = run(method, fixed, far, initial=initial)
    whole = Sequence((truth, shift))
    assert error(outcome.transform, whole, grid, 12) < 0.5
    assert error(shift, whole, grid, 12) > 1


def test_outside_the_masks_nothing_pulls(method):
    grid = Grid.from_spacing((96, 110))
    fixed, moving, truth = moved_pair(grid)
    spoilt = moving.data.copy()
    spoilt[:, 80:] = np.random.default_rng(5).random((96, 30))
    mask = np.ones(grid.shape, dtype=bool)
    mask[:, 76:] = False
    masked = Image(mask, grid)
    outcome = run(method, fixed, moving.with_data(spoilt), fixed_mask=masked, moving_mask=masked)
    left = Grid.from_spacing((96, 70))
    assert error(outcome.transform, truth, left) < 0.5
    far = np.array([[40.0, 104.0], [60.0, 104.0]])
    assert np.abs(outcome.transform(far) - far).max() < 4
    assert any("masks" in note for note in outcome.notes)


def test_no_overlap_is_refused_with_its_remedy(method):
    grid = Grid.from_spacing((32, 32))
    image = Image(texture(grid.shape), grid)
    with pytest.raises(ValueError, match="start from centres"):
        run(method, image, image.with_grid(Grid.from_spacing((32, 32), origin=500)))


def test_presets_are_parameters(method):
    for preset in method.presets:
        method.parameters(preset)
