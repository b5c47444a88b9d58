"""The affine steps, the momentum network and AVSM as a whole."""

import pytest
import torch
from torch import nn

from napari_voxreg.nets.architectures.avsm import AVSM, AffineSteps, MomentumNet
from napari_voxreg.nets.architectures.network import Prediction
from napari_voxreg.nets.checkpoints.checkpoint import open_checkpoint, shipped
from napari_voxreg.tensor import affine as affines
from napari_voxreg.tensor.warp import warp_batch
from napari_voxreg.train.synthetic.recipes import LED
from napari_voxreg.train.synthetic.score import score, unseen

SHAPES = [(48, 80), (32, 16, 48)]


def _pair(shape, count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2 * count, 1, *[max(n // 6, 2) for n in shape], generator=generator)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    return nn.functional.interpolate(coarse, size=shape, mode=mode, align_corners=True).chunk(2)


def _randomised(net, std):
    """The network with a random last affine layer."""
    torch.manual_seed(1)
    steps = net.affine if isinstance(net, AVSM) else net
    nn.init.normal_(steps.step.head.out.weight, std=std)
    return net


def _square(affine):
    last = torch.eye(affine.shape[2])[-1:].expand(len(affine), 1, -1)
    return torch.cat([affine, last], 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_steps_compose_to_one_affine_map_on_the_original_image(shape):
    torch.manual_seed(0)
    net = _randomised(AffineSteps(len(shape), width=4), 0.05)
    fixed, moving = _pair(shape)
    with torch.no_grad():
        prediction = net(fixed, moving)
        whole = _square(affines.identities(2, len(shape), fixed))
        for k in range(3):
            field = affines.displacement(whole[:, :-1], shape)
            whole = whole @ _square(net.step(fixed, warp_batch(moving, field)))
            if k < 2:
                at = affines.displacement(whole[:, :-1], shape)
                assert torch.allclose(prediction.extras[f"step_{k + 1}"], at, atol=1e-4)
    assert torch.allclose(prediction.affine, whole[:, :-1], atol=1e-4)
    assert torch.allclose(prediction.displacement, affines.displacement(whole[:, :-1], shape), atol=1e-4)
    assert float(prediction.displacement.abs().max()) > 0.5


def test_the_number_of_steps_may_change_after_training():
    torch.manual_seed(0)
    net = _randomised(AffineSteps(2, width=4), 0.05)
    fixed, moving = _pair((32, 32))
    with torch.no_grad():
        three = net.trajectory(fixed, moving)
        net.steps = 7
        seven = net.trajectory(fixed, moving)
    assert len(three) == 3 and len(seven) == 7
    assert all(torch.equal(a, b) for a, b in zip(three, seven[:3], strict=True))
    net.steps = 0
    with pytest.raises(ValueError, match="1 step or more, not 0"):
        net(fixed, moving)


@pytest.mark.parametrize("shape", [(9, 50), (33, 17), (12, 20, 9)])
def test_affine_steps_take_any_size_and_begin_near_the_identity(shape):
    torch.manual_seed(0)
    net = AffineSteps(len(shape), width=4)
    with torch.no_grad():
        prediction = net(*_pair(shape))
    assert prediction.displacement.shape == (2, len(shape), *shape)
    assert float(prediction.displacement.abs().max()) < 0.03 * max(shape)


def test_the_momentum_network_has_the_published_size():
    assert sum(p.numel() for p in MomentumNet(3).parameters()) == 5_938_515


@pytest.mark.parametrize("shape", SHAPES)
def test_avsm_predicts_its_parts_and_begins_near_the_identity(shape):
    d = len(shape)
    torch.manual_seed(0)
    net = AVSM(d, width=2, affine_width=4)
    fixed, moving = _pair(shape)
    with torch.no_grad():
        prediction, again = net(fixed, moving), net(fixed, moving)
        torch.manual_seed(0)
        rebuilt = AVSM(**net.arguments)(fixed, moving)
    assert torch.equal(prediction.displacement, again.displacement)
    assert torch.equal(prediction.displacement, rebuilt.displacement)
    assert float(prediction.displacement.abs().max()) < 0.03 * max(shape)
    assert prediction.displacement.shape == (2, d, *shape)
    extras = prediction.extras
    assert {name: x.shape[1] for name, x in extras.items()} == {
        "affine_displacement": d,
        "affine_warped": 1,
        "momentum": d,
        "velocity": d,
    }
    assert all(x.shape[2:] == shape for x in extras.values())
    assert torch.equal(extras["affine_displacement"], affines.displacement(prediction.affine, shape))
    assert torch.equal(extras["affine_warped"], warp_batch(moving, extras["affine_displacement"]))


@pytest.mark.parametrize("shape", [(96, 112), (80, 80, 96)])
def test_without_momentum_only_the_affine_part_is_left_and_with_it_the_inverse_is_found(shape):
    d = len(shape)
    torch.manual_seed(0)
    net = _randomised(AVSM(d, width=2, affine_width=4, steps=2), 0.03)
    fixed, moving = _pair(shape, 1)
    with torch.no_grad():
        nn.init.zeros_(net.momentum.out.weight)
        plain = net(fixed, moving)
        assert torch.allclose(plain.displacement, plain.extras["affine_displacement"], atol=1e-3)
        nn.init.normal_(net.momentum.out.weight, std=0.02)
        deformed = net(fixed, moving)
        scale = 0.04 * max(shape) / float(deformed.extras["velocity"].abs().max())
        net.momentum.out.weight *= scale
        deformed = net(fixed, moving)
        back = net.inverse(deformed)
    gap = (deformed.displacement + warp_batch(back, deformed.displacement))[(..., *[slice(10, -10)] * d)]
    assert float((deformed.displacement - plain.displacement).abs().max()) > 0.03 * max(shape)
    assert float(gap.norm(dim=1).max()) < 0.1
    # The flow of the velocity deforms; it is in pixels of the images.
    assert float(deformed.extras["velocity"].abs().max()) == pytest.approx(0.04 * max(shape), rel=0.02)


def test_a_residual_momentum_begins_with_what_its_pyramid_finds():
    """Where the layers add nothing, error and folding are the pyramid's; layers alone never came near it."""
    pyramid = open_checkpoint(shipped("pyramid2d")).net
    net = AVSM(2, width=2, affine_width=4, steps=1, compare="pyramid", residual=True)
    net.momentum.comparison.pyramid.load_state_dict(pyramid.state_dict())
    for layer in (net.momentum.out, net.affine.step.head.out):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    batches = unseen(2, (96, 96), LED)
    found, wanted = score(net, batches), score(pyramid, batches)
    assert wanted.after < 0.3 * wanted.before
    assert found.after < 1.03 * wanted.after
    with pytest.raises(ValueError, match="set compare to 'pyramid'"):
        AVSM(2, compare="images", residual=True)


def test_only_a_prediction_with_its_parts_is_inverted():
    with pytest.raises(ValueError, match="pass one made by AVSM"):
        AVSM(2, width=2, affine_width=4).inverse(Prediction(torch.zeros(1, 2, 16, 16)))


def test_every_part_of_avsm_learns():
    torch.manual_seed(0)
    net = AVSM(2, width=2, affine_width=4, steps=2)
    net(*_pair((32, 48))).displacement.square().mean().backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert still == []
    assert float(net.affine.step.shared[0].weight.grad.abs().max()) > 0
    assert float(net.momentum.first.weight.grad.abs().max()) > 0
