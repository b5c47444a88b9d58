"""Batches of affine maps, and the networks that predict one."""

import math

import pytest
import torch

from napari_voxreg.nets.architectures.affine import (
    STN,
    AffineHead,
    DetectorAffine,
    affine_between,
    barycentres,
)
from napari_voxreg.tensor import affine as affines
from napari_voxreg.tensor.warp import warp_batch

SHAPES = [(40, 56), (16, 24, 32)]


def _map(d, degrees=20.0, scale=1.1, translation=(3.0, -2.0, 1.5)):
    """A rotation in the plane of the last two axes, a scale and a translation, (1, d, d + 1)."""
    angle = math.radians(degrees)
    affine = torch.eye(d, d + 1, dtype=torch.float64)
    affine[-2:, d - 2 : d] = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
    )
    affine[:, :d] *= scale
    affine[:, d] = torch.tensor(translation[:d], dtype=torch.float64)
    return affine[None]


def _square(affine):
    """Homogeneous matrices (B, d + 1, d + 1)."""
    last = torch.eye(affine.shape[2], dtype=affine.dtype)[-1:].expand(len(affine), 1, -1)
    return torch.cat([affine, last], 1)


def _random_maps(count, d, seed):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, d, d + 1, generator=generator, dtype=torch.float64)
    return torch.eye(d, d + 1, dtype=torch.float64) + 0.2 * noise


def _blobs(shape, centres, spacing, affine=None):
    """Feature maps (1, K, *shape): round blobs at centres (K, d) in pixels about the middle, optionally
    resampled under an affine map."""
    d = len(shape)
    axes = [(torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * spacing for n in shape]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    if affine is not None:
        places = places @ affine[0, :, :d].T + affine[0, :, d]
    gaps = places[None] - centres.view(-1, *(1,) * d, d)
    return torch.exp(-(gaps**2).sum(-1) / (2 * (1.5 * spacing) ** 2))[None]


@pytest.mark.parametrize("d", [2, 3])
def test_composition_and_inverse_are_those_of_homogeneous_matrices(d):
    first, second = _random_maps(3, d, 0), _random_maps(3, d, 1)
    both = affines.compose(second, first)
    assert torch.allclose(_square(both), _square(second) @ _square(first))
    nothing = affines.identities(3, d, first)
    assert torch.allclose(affines.compose(affines.invert(first), first), nothing)
    assert torch.allclose(affines.compose(nothing, second), second)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_affine_displacement_rotates_about_the_centre(shape):
    d = len(shape)
    affine = _map(d)
    field = affines.displacement(affine, shape)
    index = torch.tensor([n - 3 for n in shape], dtype=torch.float64)
    middle = torch.tensor([(n - 1) / 2 for n in shape], dtype=torch.float64)
    expected = middle + affine[0, :, :d] @ (index - middle) + affine[0, :, d] - index
    assert torch.allclose(field[0][(slice(None), *index.long())], expected)
    assert float(affines.displacement(affines.identities(2, d, affine), shape).abs().max()) == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_a_known_affine_map_is_recovered_from_feature_maps(shape):
    d, spacing = len(shape), 4.0
    length = affines.half_side(tuple(int(n * spacing) for n in shape))
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor(shape, dtype=torch.float64) * spacing * 0.25
    centres = (2 * torch.rand(24, d, generator=generator, dtype=torch.float64) - 1) * spread
    truth = _map(d, degrees=25, scale=1.1, translation=(8.0, -5.0, 3.0))
    fixed, moving = _blobs(shape, centres, spacing, truth), _blobs(shape, centres, spacing)
    found = affine_between(fixed, moving, spacing, length)
    corners = torch.cartesian_prod(*[torch.tensor([-n / 2, n / 2], dtype=torch.float64) for n in shape])
    corners = corners * spacing
    gap = corners @ (found - truth)[0, :, :d].T + (found - truth)[0, :, d]
    assert float(gap.norm(dim=1).max()) < 0.01 * length
    back = affine_between(moving, fixed, spacing, length)
    assert torch.allclose(affines.compose(back, found), affines.identities(1, d, found), atol=0.02 * length)


def test_barycentres_are_in_pixels_about_the_centre_and_powers_are_fractions():
    maps = torch.zeros(1, 3, 5, 7)
    maps[0, 0, 4, 3] = 1
    maps[0, 1, 2, 0] = 3
    points, power = barycentres(maps, spacing=8.0)
    assert torch.allclose(points[0], torch.tensor([[16.0, 0.0], [0.0, -24.0], [0.0, 0.0]]), atol=1e-3)
    assert torch.allclose(power[0], torch.tensor([0.25, 0.75, 0.0]), atol=1e-4)


@pytest.mark.parametrize("case", ["empty", "disjoint", "one point", "a line", "faint"])
@pytest.mark.parametrize("d", [2, 3])
def test_degenerate_features_give_the_identity(case, d):
    shape = (16,) * d
    fixed, moving = torch.zeros(2, 1, 6, *shape)
    if case == "disjoint":
        fixed[:, :3], moving[:, 3:] = 1, 1
    elif case == "one point":
        fixed[(..., *(8,) * d)], moving[(..., *(8,) * d)] = 1, 1
    elif case == "a line":
        for k in range(6):
            fixed[(0, k, *(8,) * (d - 1), 4 + k)], moving[(0, k, *(8,) * (d - 1), 4 + k)] = 1, 1
    elif case == "faint":
        fixed, moving = (
            torch.rand(1, 6, *shape, generator=torch.Generator().manual_seed(s)) * 1e-9 for s in (0, 1)
        )
    fixed, moving = fixed.requires_grad_(), moving.requires_grad_()
    found = affine_between(fixed, moving, 1.0, 8.0)
    change = found - affines.identities(1, d, found)
    assert float(change.detach().abs().max()) < (0.02 if case != "faint" else 0.3)
    found.square().sum().backward()
    assert torch.isfinite(fixed.grad).all() and torch.isfinite(moving.grad).all()


def test_features_that_mirror_the_image_stay_bounded():
    centres = torch.tensor([[10.0, 0.0], [-10.0, 1.0], [0.0, 8.0], [3.0, -9.0]], dtype=torch.float64)
    fixed, moving = _blobs((32, 32), centres, 1.0), _blobs((32, 32), centres * torch.tensor([1e-3, 1.0]), 1.0)
    for found in (affine_between(fixed, moving, 1.0, 16.0), affine_between(moving, fixed, 1.0, 16.0)):
        assert torch.isfinite(found).all() and float(found.abs().max()) < 100


@pytest.mark.parametrize("make", [STN, DetectorAffine])
@pytest.mark.parametrize("shape", [(32, 72), (64, 40), (8, 8), (16, 24, 16)])
def test_any_size_any_batch_and_the_same_prediction_twice(make, shape):
    torch.manual_seed(0)
    net = make(len(shape), width=8)
    fixed, moving = torch.rand(2, 3, 1, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        first, again = net(fixed, moving), net(fixed, moving)
        alone = net(fixed[1:2], moving[1:2])
        torch.manual_seed(0)
        rebuilt = type(net)(**net.arguments)(fixed, moving)
    assert first.displacement.shape == (3, len(shape), *shape)
    assert torch.equal(first.displacement, affines.displacement(first.affine, shape))
    assert torch.equal(first.displacement, again.displacement)
    assert torch.equal(first.displacement, rebuilt.displacement)
    assert torch.allclose(first.affine[1:2], alone.affine, atol=1e-3)


@pytest.mark.parametrize("d", [2, 3])
def test_a_head_begins_near_the_identity_at_any_size(d):
    torch.manual_seed(0)
    head = AffineHead(d, 4)
    for side in (1, 3, 9):
        shape = (8 * side,) * d
        affine = head(torch.rand(2, 4, *(side,) * d), shape).detach()
        moved = affines.displacement(affine, shape).abs().max()
        assert 0 < float(moved) < 0.02 * shape[0]


@pytest.mark.slow  # tests/train trains networks in fewer steps
def test_an_stn_learns_a_translation():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    noise = torch.nn.functional.avg_pool2d(torch.rand(8, 1, 40, 40, generator=generator), 9, 1, 4)
    moving = (noise - noise.amin()) / (noise.amax() - noise.amin())
    translation = affines.identities(8, 2, moving).clone()
    translation[:, :, 2] = torch.linspace(-3, 3, 16).view(8, 2)
    truth = affines.displacement(translation, (40, 40))
    fixed = warp_batch(moving, truth)
    net = STN(2, width=4)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    errors = []
    for _ in range(120):
        error = (net(fixed, moving).displacement - truth).abs().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.4 * errors[0]
