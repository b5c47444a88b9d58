"""Sampling against SciPy, separable interpolation against its definition."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from napari_voxreg import Grid
from napari_voxreg.tensor.integrate import integrate, squarings
from napari_voxreg.tensor.warp import apply_along, interpolation, warp
from napari_voxreg.transforms import StationaryVelocity

SHAPES = [(21, 17), (11, 9, 13)]


def _smooth(shape, size, seed=0):
    coarse = torch.randn(1, len(shape), *[4] * len(shape), generator=torch.Generator().manual_seed(seed))
    mode = "bicubic" if len(shape) == 2 else "trilinear"
    return size * torch.nn.functional.interpolate(coarse, size=shape, mode=mode, align_corners=True)[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_warp_is_linear_interpolation_and_the_border_is_repeated(shape):
    rng = np.random.default_rng(1)
    image = rng.normal(size=(2, *shape)).astype(np.float32)
    displacement = _smooth(shape, 3.0).numpy()
    warped = warp(torch.from_numpy(image), torch.from_numpy(displacement)).numpy()
    at = np.indices(shape) + displacement
    expected = np.stack([map_coordinates(c, at, order=1, mode="nearest") for c in image])
    assert np.abs(warped - expected).max() < 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_interpolation_by_matrices_is_exact_for_linear_fields_and_has_an_adjoint(shape):
    axes = [torch.linspace(0, n - 1, 2 * n + 3, dtype=torch.float64) for n in shape]
    matrices = [interpolation(a, n) for a, n in zip(axes, shape, strict=True)]
    slope = torch.arange(1.0, len(shape) + 1)
    here = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"), -1)
    there = torch.stack(torch.meshgrid(*[a.float() for a in axes], indexing="ij"), -1)
    assert torch.allclose(apply_along((here @ slope)[None], matrices)[0], there @ slope, atol=1e-4)
    x, y = torch.randn(1, *shape), torch.randn(1, *[len(a) for a in axes])
    adjoint = apply_along(y, [m.T for m in matrices])
    assert float((apply_along(x, matrices) * y).sum() - (x * adjoint).sum()) == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_flow_is_that_of_the_transform_and_is_undone_by_the_opposite_velocity(shape):
    velocity = _smooth(shape, 0.5)
    steps = squarings(float(velocity.abs().max()))
    field = integrate(velocity, steps)
    grid = Grid.from_spacing(shape)
    transform = StationaryVelocity(np.moveaxis(velocity.double().numpy(), 0, -1), grid, steps)
    assert np.abs(np.moveaxis(transform.displacement.field, -1, 0) - field.numpy()).max() < 1e-4
    back = integrate(-velocity, steps)
    inner = (slice(None), *[slice(3, -3)] * len(shape))
    there_and_back = (field + warp(back, field))[inner]
    assert float(there_and_back.abs().max()) < 0.15 * float(field.abs().max())


def test_squarings_keep_the_first_step_below_half_a_node():
    for longest in (0.0, 0.3, 1.0, 7.0, 40.0):
        assert longest / 2 ** squarings(longest) <= 0.5
