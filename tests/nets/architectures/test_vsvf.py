"""Flows of velocities against known ones, the smoother against its definition, gradients."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.ndimage import gaussian_filter

from napari_voxreg.nets.architectures import vsvf
from napari_voxreg.nets.architectures.vsvf import advect, energy, smooth, transport
from napari_voxreg.tensor.affine import displacement, identities
from napari_voxreg.tensor.integrate import integrate_batch
from napari_voxreg.tensor.warp import warp_batch

SHAPES = [(40, 48), (20, 24, 22)]


def _noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _inner(field, rim=8):
    return field[(..., *[slice(rim, -rim)] * (field.ndim - 2))]


def _linear(shape, seed=0):
    """A generator (d + 1, d + 1) of affine maps about the middle, and its velocity (1, d, *shape)."""
    d = len(shape)
    generator = np.zeros((d + 1, d + 1))
    generator[:d] = np.random.default_rng(seed).uniform(-0.15, 0.15, (d, d + 1))
    generator[:d, d] *= 10
    velocity = displacement(
        identities(1, d, torch.zeros(1).double()) + torch.from_numpy(generator[:d]), shape
    )
    return generator, velocity


def _affine_field(matrix, shape):
    d = len(shape)
    return displacement(torch.from_numpy(matrix[:d])[None], shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_constant_velocity_is_a_translation(shape):
    d = len(shape)
    velocity = torch.tensor([1.5, -2.25, 0.5][:d]).double().view(1, d, *(1,) * d).expand(1, d, *shape)
    still = torch.zeros_like(velocity)
    assert torch.allclose(advect(still, velocity), -velocity, atol=1e-10)
    assert torch.allclose(transport(still, velocity), velocity, atol=1e-10)
    assert torch.allclose(integrate_batch(velocity, 7), velocity, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_linear_velocity_is_the_matrix_exponential(shape):
    generator, velocity = _linear(shape)
    still = torch.zeros_like(velocity)
    there, back = (_affine_field(expm(sign * generator), shape) for sign in (1, -1))
    assert float((advect(still, velocity) - back).abs().max()) < 1e-3
    assert float(_inner(transport(still, velocity) - there).abs().max()) < 1e-3
    # Scaling and squaring begins with one Euler step of 2^-12.
    assert float(_inner(integrate_batch(velocity, 12) - there).abs().max()) < 1e-2
    assert float(there.abs().max()) > 2


@pytest.mark.parametrize("shape", SHAPES)
def test_a_flow_from_an_affine_map_is_that_map_after_the_flow(shape):
    generator, velocity = _linear(shape)
    start = np.eye(len(shape) + 1)
    start[: len(shape)] += np.random.default_rng(1).uniform(-0.2, 0.2, (len(shape), len(shape) + 1))
    found = advect(_affine_field(start, shape), velocity)
    assert float((found - _affine_field(start @ expm(-generator), shape)).abs().max()) < 5e-3
    back = transport(_affine_field(np.linalg.inv(start), shape), velocity)
    expected = _affine_field(expm(generator) @ np.linalg.inv(start), shape)
    assert float(_inner(back - expected, 9).abs().max()) < 5e-3


@pytest.mark.parametrize("shape", [(48, 56), (20, 16, 18)])
def test_the_flow_agrees_with_points_followed_in_fine_steps(shape):
    """Points go along the exact cosine series of the velocity, in float64 and 60 steps, on no lattice."""
    d = len(shape)
    nodes = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1).reshape(-1, d)
    generator = np.random.default_rng(5)
    waves = [(k, generator.normal(size=d)) for k in np.ndindex(*(5 - d,) * d) if any(k)]

    def velocity(points):
        """Even about the lattice's ends, as `smooth` makes them."""
        phases = [np.pi * (points[:, i] + 0.5) / n for i, n in enumerate(shape)]
        products = [np.prod([np.cos(k * p) for k, p in zip(ks, phases, strict=True)], 0) for ks, _ in waves]
        return scale * np.stack(products, 1) @ np.stack([size for _, size in waves])

    scale = 1.0
    scale = 0.05 * max(shape) / np.abs(velocity(nodes)).max()
    followed, steps = nodes.astype(float), 60
    for _ in range(steps):  # backward in time: `advect` gives the map of the flow of -v
        half = followed - velocity(followed) / (2 * steps)
        followed = followed - velocity(half) / steps
    field = torch.from_numpy(velocity(nodes).T.reshape(1, d, *shape)).float()
    found = advect(torch.zeros_like(field), field)
    truth = torch.from_numpy((followed - nodes).T.reshape(1, d, *shape)).float()
    gap = _inner(found - truth, 4).norm(dim=1)
    assert float(truth.norm(dim=1).max()) > 0.04 * max(shape)
    assert float(gap.mean()) < 0.01 and float(gap.max()) < 0.1


def test_a_momentum_is_found_for_a_smooth_velocity():
    velocity = smooth(_noise(1, 2, 48, 60, dtype=torch.float32))
    again = smooth(vsvf.momentum_of(velocity))
    assert float((again - velocity).norm() / velocity.norm()) < 0.01


@pytest.mark.slow
def test_fast_velocities_are_stable():
    velocity = smooth(_noise(1, 2, 160, 160, dtype=torch.float32))
    velocity = velocity * (50 / velocity.abs().max())
    still = torch.zeros_like(velocity)
    gap = _inner(advect(still, velocity) - transport(still, -velocity), 40)
    assert float(gap.abs().max()) < 0.1
    assert not torch.isfinite(advect(still, velocity * torch.nan)).any()


@pytest.mark.parametrize("shape", [(40, 48), (36, 44, 40)])
def test_advection_and_transport_are_inverse(shape):
    velocity = smooth(_noise(1, len(shape), *shape))
    velocity = velocity * (2 / velocity.abs().max())
    still = torch.zeros_like(velocity)
    there, back = advect(still, velocity), transport(still, velocity)
    gap = _inner(there + warp_batch(back, there), 5)
    assert float(there.abs().max()) > 1.5
    assert float(gap.abs().max()) < 0.05
    assert torch.equal(there, advect(still, velocity))


def test_the_smoother_is_the_sum_of_gaussians_with_reflected_borders():
    shape = (48, 60)
    momentum = _noise(1, 2, *shape)
    found = smooth(momentum)[0].numpy()
    pairs = list(zip(vsvf.SIGMAS, vsvf.WEIGHTS, strict=True))
    for channel, image in zip(found, momentum[0].numpy(), strict=True):
        widths = [[sigma * n for n in shape] for sigma, _ in pairs]
        parts = [
            w * gaussian_filter(image, s, mode="reflect", truncate=8)
            for s, (_, w) in zip(widths, pairs, strict=True)
        ]
        assert np.abs(channel - sum(parts)).max() < 2e-3 * np.abs(channel).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_smoother_keeps_constants_is_symmetric_and_its_energy_is_positive(shape):
    d = len(shape)
    assert torch.allclose(smooth(torch.ones(2, d, *shape)), torch.ones(2, d, *shape), atol=1e-5)
    m, n = _noise(1, d, *shape), _noise(1, d, *shape, seed=1)
    assert float((smooth(m) * n).sum()) == pytest.approx(float((m * smooth(n)).sum()), abs=1e-9)
    assert float(energy(smooth(m), m)) > 0
    sides = torch.tensor([k - 1 for k in shape]).view(-1, *(1,) * d)
    assert float(energy(smooth(m) * sides, m * sides)) == pytest.approx(float((smooth(m) * m).sum(1).mean()))


@pytest.mark.parametrize("shape", [(7, 9), (5, 6, 7)])
def test_gradients_agree_with_finite_differences(shape):
    d = len(shape)
    # Away from the nodes, where linear interpolation has a kink.
    velocity = (0.35 + 0.05 * _noise(2, d, *shape)).requires_grad_()
    start = (0.3 + 0.05 * _noise(2, d, *shape, seed=1)).requires_grad_()
    assert torch.autograd.gradcheck(smooth, (velocity,), fast_mode=True)
    assert torch.autograd.gradcheck(advect, (start, velocity), fast_mode=True)
    assert torch.autograd.gradcheck(transport, (start, velocity), fast_mode=True)
    assert torch.autograd.gradcheck(lambda v: integrate_batch(v, 3), (velocity,), fast_mode=True)
    assert torch.autograd.gradcheck(energy, (velocity, start), fast_mode=True)
