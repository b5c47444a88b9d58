"""VoxelMorph: published sizes, the velocity's flow, the probabilistic variant, precision, refusals."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg import Grid
from napari_voxreg.nets.architectures.voxelmorph import VoxelMorph
from napari_voxreg.tensor.warp import resize, warp_batch
from napari_voxreg.transforms import StationaryVelocity

SHAPES = {2: (48, 64), 3: (32, 16, 48)}
SMALL = {"encoder": (6, 8, 8, 8), "decoder": (8, 8, 8, 8), "remaining": (8, 6)}
RELEASE_03 = {
    "encoder": (16,) * 5,
    "decoder": (16,) * 5,
    "remaining": (16,),
    "activation": "relu",
    "upsampling": "linear",
    "narrow": True,
    "int_steps": 5,
    "int_downsize": 1,
}


def pair(ndim, seed=0):
    rng = np.random.default_rng(seed)
    images = [gaussian_filter(rng.normal(size=SHAPES[ndim]), 3.0, mode="wrap") for _ in range(2)]
    return [torch.from_numpy(((i - i.min()) / np.ptp(i)).astype(np.float32))[None, None] for i in images]


def randomised(ndim=2, longest=3.0, **options):
    """An untrained network whose prediction for `pair` is at most `longest` pixels long."""
    torch.manual_seed(0)
    net = VoxelMorph(ndim, **{**SMALL, **options}).eval()
    torch.nn.init.normal_(net.flow.weight)
    with torch.inference_mode():
        found = net(*pair(ndim))
    field = found.displacement if found.velocity is None else found.velocity
    net.flow.weight.data *= longest / float(field.abs().max())
    return net


@pytest.mark.parametrize(
    ("ndim", "options", "count"), [(3, {}, 327_331), (2, {}, 109_170), (3, RELEASE_03, 105_017)]
)
def test_parameters_are_those_of_the_releases(ndim, options, count):
    net = VoxelMorph(ndim, **options)
    assert sum(p.numel() for p in net.parameters()) == count
    again = VoxelMorph(**net.arguments)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in net.state_dict().items()
    }


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("options", [{}, {"half": True}, {"int_downsize": 1}])
def test_the_displacement_is_the_flow_of_the_velocity(ndim, options):
    """The same map as the transform that is saved, on the velocity's own lattice."""
    net = randomised(ndim, **options)
    with torch.inference_mode():
        found = net(*pair(ndim))
    shape, coarse = SHAPES[ndim], tuple(found.velocity.shape[2:])
    assert coarse == tuple(n // net.int_downsize for n in shape)
    spacing = [(n - 1) / (m - 1) for n, m in zip(shape, coarse, strict=True)]
    velocity = np.moveaxis(found.velocity[0].double().numpy(), 0, -1)
    transform = StationaryVelocity(velocity, Grid.from_spacing(coarse, spacing), net.int_steps)
    expected = torch.from_numpy(np.moveaxis(transform.displacement.field, -1, 0).copy())[None]
    assert float(expected.abs().max()) > 1
    assert float((found.displacement - resize(expected, shape)).abs().max()) < 1e-3


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_opposite_velocity_gives_the_inverse(ndim):
    net = randomised(ndim, half=True)
    with torch.inference_mode():
        there = net(*pair(ndim))
        net.flow.weight.neg_()
        net.flow.bias.neg_()
        back = net(*pair(ndim))
    assert torch.equal(there.velocity, -back.velocity)
    left = there.displacement + warp_batch(back.displacement, there.displacement)
    inner = (slice(None), slice(None), *[slice(4, -4)] * ndim)
    assert float(there.displacement[inner].abs().max()) > 1
    assert float(left[inner].square().mean().sqrt()) < 0.05


@pytest.mark.parametrize("half", [False, True])
def test_without_steps_the_field_is_the_displacement(half):
    net = randomised(2, half=half, int_steps=0)
    fixed, moving = pair(2)
    with torch.inference_mode():
        found = net(fixed, moving)
        other = net(moving, fixed)
    assert found.velocity is None and found.displacement.shape == (1, 2, *SHAPES[2])
    assert float((found.displacement - other.displacement).abs().max()) > 0.1


def test_a_new_network_hardly_moves_anything_and_the_same_pair_gives_the_same_field():
    torch.manual_seed(0)
    net = VoxelMorph(2).eval()
    images = pair(2)
    with torch.inference_mode():
        first, second = net(*images), net(*images)
    assert 0 < float(first.displacement.abs().max()) < 1e-3
    assert torch.equal(first.displacement, second.displacement)


def test_shift_is_added_to_both_images():
    net, images = randomised(2), pair(2)
    shifted = VoxelMorph(**{**net.arguments, "shift": -1.0}).eval()
    shifted.load_state_dict(net.state_dict())
    with torch.inference_mode():
        assert torch.allclose(
            shifted(*[i + 1 for i in images]).displacement, net(*images).displacement, atol=1e-4
        )


def test_the_probabilistic_network_samples_while_training_only():
    net, images = randomised(2, half=True, probabilistic=True), pair(2)
    torch.nn.init.constant_(net.log_sigma.bias, 2 * math.log(0.5))
    with torch.inference_mode():
        settled = net(*images)
        net.train()
        torch.manual_seed(1)
        samples = [net(*images) for _ in range(20)]
    assert torch.equal(settled.velocity, 2 * settled.extras["mean"])
    assert settled.extras["log_sigma"].shape == settled.velocity.shape
    drawn = torch.cat([s.velocity for s in samples])
    assert float((drawn - settled.velocity).std()) == pytest.approx(2 * 0.5, rel=0.05)
    assert torch.allclose(samples[0].extras["mean"], settled.extras["mean"], atol=1e-5)


def test_every_parameter_learns_and_training_fits_one_pair():
    torch.manual_seed(0)
    net = VoxelMorph(2, **SMALL, half=True)
    fixed, _ = pair(2)
    moving = torch.roll(fixed, 2, 3)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    losses = []
    for _ in range(30):
        loss = (warp_batch(moving, net(fixed, moving).displacement) - fixed)[..., 4:-4, 4:-4].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("ndim", [2, 3])
def test_bfloat16_convolutions_agree_to_a_twentieth_of_a_pixel(ndim):
    net, images = randomised(ndim, half=True), pair(ndim)
    with torch.inference_mode():
        exact = net(*images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(*images)
    assert rough.displacement.dtype == rough.velocity.dtype == torch.float32
    difference = (rough.displacement - exact.displacement).abs().max()
    assert 0 < float(difference) < 0.05


@pytest.mark.parametrize(
    ("shape", "other"), [((48, 60), (48, 60)), ((48, 64), (48, 48)), ((16, 16, 16), (16, 16, 16))]
)
def test_images_that_do_not_fit_are_refused(shape, other):
    net = VoxelMorph(2, **SMALL)
    with pytest.raises(ValueError, match="two 2D images of one shape with sides that are multiples of 16"):
        net(torch.zeros(1, 1, *shape), torch.zeros(1, 1, *other))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ndim": 4}, "not on 4D"),
        ({"int_steps": 1000}, "int_steps cannot be 1000"),
        ({"int_steps": "many"}, "int_steps cannot be 'many'"),
        ({"int_downsize": 0}, "int_downsize cannot be 0"),
        ({"half": True, "int_downsize": 1}, "an int_downsize of 2, not 1"),
    ],
)
def test_invalid_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VoxelMorph(**options)
