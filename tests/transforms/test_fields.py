"""Strain and curl of displacements, against maps whose derivatives are known."""

import numpy as np
import pytest

from napari_voxreg import Grid
from napari_voxreg.transforms import Affine, curl, displacement_on, principal_strain, without_affine

SHAPES = {2: (30, 40), 3: (14, 16, 18)}


def oblique(ndim):
    """A grid that is anisotropic, rotated and sheared."""
    rng = np.random.default_rng(3)
    affine = np.eye(ndim + 1)
    rotation = np.linalg.qr(rng.normal(size=(ndim, ndim)))[0]
    affine[:-1, :-1] = rotation @ np.diag([0.5, 2.0, 0.8][:ndim]) + 0.05 * rng.normal(size=(ndim, ndim))
    affine[:-1, -1] = 7
    return Grid(SHAPES[ndim], affine, ("millimeter",) * ndim)


def plain(ndim):
    return Grid.from_spacing(SHAPES[ndim], 1.0)


def rotation(ndim, degrees):
    """A rotation from axis 0 towards axis 1 of the world."""
    t = np.radians(degrees)
    matrix = np.eye(ndim + 1)
    matrix[:2, :2] = [[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]
    return Affine(matrix)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("make", [plain, oblique])
def test_a_rotation_has_no_strain_and_a_constant_curl(make, ndim):
    grid = make(ndim)
    field = displacement_on(rotation(ndim, 25), grid)
    assert np.abs(principal_strain(field, grid)).max() < 1e-5
    np.testing.assert_allclose(curl(field, grid), 2 * np.sin(np.radians(25)), atol=1e-5)


def test_curl_has_the_sign_of_a_rotation_on_the_screen():
    grid = plain(2)
    # Axis 0 points down and axis 1 to the right: from down to the right is counter-clockwise.
    assert (curl(displacement_on(rotation(2, 25), grid), grid) > 0).all()
    assert (curl(displacement_on(rotation(2, -25), grid), grid) < 0).all()


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("make", [plain, oblique])
def test_an_affine_map_has_the_strain_of_its_largest_stretch(make, ndim):
    grid = make(ndim)
    matrix = np.eye(ndim + 1)
    matrix[:-1, :-1] += 0.2 * np.random.default_rng(4).normal(size=(ndim, ndim))
    field = displacement_on(Affine(matrix), grid)
    stretch = np.linalg.svd(matrix[:-1, :-1], compute_uv=False).max()
    np.testing.assert_allclose(principal_strain(field, grid), (stretch**2 - 1) / 2, atol=2e-5)
    # None of it is left without the affine part.
    left = without_affine(field, grid)
    assert np.abs(principal_strain(left, grid)).max() < 1e-5 and np.abs(curl(left, grid)).max() < 1e-5


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_same_shrinkage_in_all_directions_is_negative(ndim):
    grid = oblique(ndim)
    field = displacement_on(Affine(np.diag([0.9] * ndim + [1.0])), grid)
    np.testing.assert_allclose(principal_strain(field, grid), (0.81 - 1) / 2, atol=1e-5)
    assert np.abs(curl(field, grid)).max() < 1e-5


@pytest.mark.parametrize("ndim", [2, 3])
def test_strain_and_curl_of_a_smooth_field(ndim):
    grid = Grid.from_spacing([64, 48, 32][:ndim], [0.25, 0.4, 0.5][:ndim])
    x = grid.nodes().reshape(*grid.shape, ndim)
    field = np.zeros_like(x)
    field[..., 0] = 0.3 * np.sin(0.7 * x[..., 1])  # a shear that changes along axis 1
    slope = 0.21 * np.cos(0.7 * x[..., 1])
    inner = (slice(1, -1),) * ndim
    expected = -slope if ndim == 2 else np.abs(slope)
    np.testing.assert_allclose(curl(field, grid)[inner], expected[inner], atol=0.004)
    # Of E = [[0, s/2], [s/2, s^2/2]].
    largest = slope**2 / 4 + np.sqrt(slope**4 / 16 + slope**2 / 4)
    np.testing.assert_allclose(principal_strain(field, grid)[inner], largest[inner], atol=0.004)


def test_an_axis_of_one_pixel_does_not_count():
    grid = Grid.from_spacing((1, 12, 12), 1.0)
    field = np.zeros((1, 12, 12, 3))
    field[..., 1] = 0.1 * np.arange(12)[:, None]
    np.testing.assert_allclose(principal_strain(field, grid), (1.21 - 1) / 2, atol=1e-5)
    np.testing.assert_allclose(curl(field, grid), 0, atol=1e-6)
