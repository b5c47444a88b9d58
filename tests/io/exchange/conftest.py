"""Oblique, flipped and anisotropic grids in 2D and 3D, and transforms between their worlds."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_voxreg import Affine, BSpline, Displacement, Grid
from napari_voxreg.transforms import chain


def grid(ndim, seed, flip=False, units="millimeter"):
    """A grid with another spacing along each axis, whose axes are rotated, and mirrored with `flip`."""
    rng = np.random.default_rng(seed)
    if ndim == 3:
        direction = Rotation.from_euler("xyz", rng.uniform(-0.5, 0.5, 3)).as_matrix()
    else:
        angle = rng.uniform(0.2, 0.6)
        direction = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if flip:
        direction = direction * ([-1] + [1] * (ndim - 1))
    shape, spacing = (9, 12, 14)[-ndim:], (2.5, 0.7, 1.1)[-ndim:]
    return Grid.from_spacing(shape, spacing, rng.uniform(-30, 30, ndim), direction, units)


def affine(ndim, seed):
    """A map that rotates, scales, shears and moves."""
    rng = np.random.default_rng(seed)
    matrix = np.eye(ndim + 1)
    matrix[:ndim] += np.hstack([0.15 * rng.normal(size=(ndim, ndim)), 4 * rng.normal(size=(ndim, 1))])
    return Affine(matrix)


def field(where, seed):
    """A rough field of displacements."""
    return Displacement(np.random.default_rng(seed).normal(size=(*where.shape, where.ndim)), where)


def spline(where, seed):
    """A B-spline whose control points surround a grid, rotated as that is."""
    d = where.ndim
    step = 3.0
    shape = tuple(int(np.ceil(n / step)) + 4 for n in where.shape)
    first = where.to_world(np.full((1, d), -step - 1.0))[0]
    control = Grid.from_spacing(shape, where.spacing * step, first, where.direction, where.units)
    return BSpline(np.random.default_rng(seed).normal(size=(d, *shape)), control)


def points(where, count=200, seed=5):
    """Random places well inside a grid, in the world, array-axis order."""
    high = np.array(where.shape) - 1.6
    return where.to_world(np.random.default_rng(seed).uniform(0.6, high, (count, where.ndim)))


CASES = [(2, False), (2, True), (3, False), (3, True)]


@pytest.fixture(params=CASES, ids=["2D", "2D flipped", "3D", "3D flipped"])
def case(request):
    """A fixed and a moving grid."""
    ndim, flip = request.param
    return grid(ndim, 1, flip), grid(ndim, 2)


@pytest.fixture
def warped(case):
    """A field on the fixed grid followed by an affine map, as ANTs has it."""
    return chain(field(case[0], 3), affine(case[0].ndim, 4))
