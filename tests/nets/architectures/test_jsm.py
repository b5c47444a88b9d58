"""The global-to-local network: any size, gradients through the saliency, learning, reproducibility."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg.nets.architectures.jsm import JSM
from napari_voxreg.nets.architectures.saliency import joint_saliency
from napari_voxreg.tensor.warp import resize, warp_batch
from napari_voxreg.train.synthetic.objectives import OBJECTIVES

MAPS = ("saliency of fixed", "saliency of moving", "joint saliency")
LEVELS = ("displacement at 1/8", "displacement at 1/4", "displacement at 1/2")


def _small_net(seed=0):
    torch.manual_seed(seed)
    return JSM(width=1 / 16, side=64)


def _pair(shape=(64, 80), size=4.0, seed=0):
    """Fixed, moving and the smooth displacement between them."""
    rng = np.random.default_rng(seed)
    image = gaussian_filter(rng.normal(size=shape), 1.5)
    field = np.stack([gaussian_filter(rng.normal(size=shape), 12.0) for _ in range(2)])
    field *= size / np.abs(field).max()
    field[0] += 1.5
    moving = torch.from_numpy((image - image.min()) / np.ptp(image)).float()[None, None]
    truth = torch.from_numpy(field).float()[None]
    return warp_batch(moving, truth), moving, truth


def _error(found, truth):
    return float((found.detach() - truth).norm(dim=1).mean())


@pytest.fixture(scope="module")
def learnt():
    """A net that has learnt one pair from its images alone, and that pair."""
    fixed, moving, truth = _pair()
    net = _small_net().train()
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(60):
        found = net(fixed, moving)
        fields = (found.displacement, found.extras["coarse displacement"])
        cost = sum(((warp_batch(moving, u) - fixed) ** 2).mean() for u in fields)
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
    return net.eval(), fixed, moving, truth


def test_it_overfits_one_pair_in_a_few_dozen_steps(learnt):
    net, fixed, moving, truth = learnt
    with torch.inference_mode():
        found = net(fixed, moving)
    assert _error(torch.zeros_like(truth), truth) > 2
    assert _error(found.displacement, truth) < 0.25
    assert float(((warp_batch(moving, found.displacement) - fixed) ** 2).mean()) < 2e-4


@pytest.mark.parametrize("shape", [(33, 57), (200, 16), (16, 301), (5, 3), (1, 1), (130, 129)])
def test_any_size_and_aspect(shape):
    net = _small_net().eval()
    assert net.stride == 1
    generator = torch.Generator().manual_seed(0)
    pair = [torch.rand(2, 1, *shape, generator=generator) for _ in range(2)]
    with torch.inference_mode():
        found = net(*pair)
    assert found.displacement.shape == (2, 2, *shape)
    assert found.extras["coarse displacement"].shape == (2, 2, *shape)
    assert all(found.extras[name].shape == (2, 1, *shape) for name in MAPS)
    assert all(torch.isfinite(t).all() for t in (found.displacement, *found.extras.values()))
    # An untrained net leaves the moving image where it is.
    assert float(found.displacement.abs().max()) < 0.01


def test_the_prediction_is_in_pixels_of_the_images_at_any_size(learnt):
    net, fixed, moving, _ = learnt
    # Outermost pixels stay, so two new pixels make an old one, and the coarse pair is as large as before.
    larger = (2 * 63 + 1, 2 * 79 + 1)
    with torch.inference_mode():
        before = net(fixed, moving).extras["coarse displacement"]
        after = net(resize(fixed, larger), resize(moving, larger)).extras["coarse displacement"]
    assert float((resize(before, larger) - after / 2).norm(dim=1).mean()) < 0.1


class _Constant(torch.nn.Module):
    """A global network that predicts (1, 2) and records its input."""

    def forward(self, pairs):
        self.seen = pairs
        return [torch.tensor([1.0, 2.0]).view(1, 2, 1, 1).expand_as(pairs)]


def test_the_coarse_pair_is_aligned_with_the_images_and_its_prediction_is_rescaled():
    net = _small_net().eval()
    net.coarse = _Constant()
    rows, columns = torch.meshgrid(torch.arange(127.0), torch.arange(300.0), indexing="ij")
    with torch.inference_mode():
        found = net(rows[None, None], columns[None, None]).extras["coarse displacement"]
    seen = net.coarse.seen
    assert seen.shape == (1, 2, 24, 64)
    steps = 126 / 23, 299 / 63  # pixels to a coarse one
    # At the borders, means over windows count the border twice.
    assert torch.allclose(seen[0, 0, 1:-1, 5], steps[0] * torch.arange(1.0, 23), atol=1e-3)
    assert torch.allclose(seen[0, 1, 5, 1:-1], steps[1] * torch.arange(1.0, 63), atol=1e-3)
    assert torch.allclose(found, torch.tensor([steps[0], 2 * steps[1]]).view(1, 2, 1, 1), atol=1e-4)


def test_extras_match_their_names(learnt):
    net, fixed, moving, _ = learnt
    with torch.inference_mode():
        found = net(fixed, moving).extras
    expected = joint_saliency(fixed, warp_batch(moving, found["coarse displacement"]))
    assert all(torch.allclose(found[name], e) for name, e in zip(MAPS, expected, strict=True))
    assert set(found) == {*MAPS, "coarse displacement"}


def test_in_training_every_level_predicts_in_pixels_of_the_images(learnt):
    net, fixed, moving, truth = learnt
    try:
        found = net.train()(fixed, moving).extras
    finally:
        net.eval()
    errors = [_error(found[name], truth) for name in (*LEVELS, "coarse displacement")]
    assert all(found[name].shape == truth.shape for name in LEVELS)
    # The coarser levels already know most of the motion.
    assert errors[-1] < 0.5
    assert max(errors) < 2


def test_every_level_passes_its_displacement_on_in_pixels_of_the_finest():
    net = _small_net().eval()
    with torch.inference_mode():
        for head in net.coarse.heads:
            head.weight.zero_()
        net.coarse.heads[0].bias.copy_(torch.tensor([1.0, -2.0]))  # pixels of eight pixels
        net.coarse.heads[2].bias.copy_(torch.tensor([0.5, 0.0]))  # pixels of two pixels
        found = net.coarse(torch.rand(1, 2, 24, 32))
    for flow, rows in zip(found, (8.0, 8.0, 9.0, 9.0), strict=True):
        assert torch.equal(flow, torch.tensor([rows, -16.0]).view(1, 2, 1, 1).expand(1, 2, 24, 32))


def test_the_correction_trains_the_global_network_through_the_saliency_alone():
    fixed, moving, truth = _pair((40, 56))
    net = _small_net().train()
    made = []
    # Detach the displacement beside the saliency, which is the direct way.
    net.local.register_forward_pre_hook(
        lambda _, seen: (torch.cat([seen[0][:, :1], seen[0][:, 1:].detach()], 1),)
    )
    net.correction.register_forward_hook(lambda _, seen, correction: made.append(correction))
    net(fixed, moving)
    (made[0] - truth).square().sum().backward()
    gradients = [p.grad for p in net.coarse.parameters()]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    assert all(float(g.abs().max()) > 0 for g in gradients)


def test_flat_images_have_finite_gradients():
    net = _small_net().train()
    flat = torch.full((1, 1, 40, 48), 0.5)
    net(flat, flat).displacement.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_the_same_pair_gives_the_same_field_alone_and_in_a_batch(learnt):
    net, fixed, moving, _ = learnt
    other = _pair(seed=1)
    with torch.inference_mode():
        once, twice = (net(fixed, moving).displacement for _ in range(2))
        together = net(torch.cat([other[0], fixed]), torch.cat([other[1], moving])).displacement
    assert torch.equal(once, twice)
    assert float((together[1:] - once).abs().max()) < 1e-4


def test_bfloat16_and_float32_agree(learnt):
    net, fixed, moving, _ = learnt
    with torch.inference_mode():
        full = net(fixed, moving)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(fixed, moving)
    assert all(t.dtype == torch.float32 for t in (half.displacement, *half.extras.values()))
    apart = float((half.displacement - full.displacement).norm(dim=1).max())
    assert 0 < apart < 0.05  # of three pixels of motion


def test_arguments_build_the_same_network_again(learnt):
    net, fixed, moving, _ = learnt
    again = JSM(**net.arguments).eval()
    again.load_state_dict(net.state_dict())
    with torch.inference_mode():
        assert torch.equal(again(fixed, moving).displacement, net(fixed, moving).displacement)


@pytest.mark.parametrize(("width", "millions"), [(1.0, 33.32), (0.25, 2.10)])
def test_number_of_parameters(width, millions):
    with torch.device("meta"):
        count = sum(p.numel() for p in JSM(width).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


class _Pulled(torch.nn.Module):
    """A global network that an object pulls: 3 pixels off where the images differ, none elsewhere."""

    def forward(self, pairs):
        differ = (pairs[:, :1] - pairs[:, 1:]).abs() > 0.3
        return [torch.cat([3.0 * differ, -3.0 * differ], 1)]


def _with_object(seed=0):
    """The same texture twice, with a bright disc in the moving image, and where that is."""
    fixed, _, _ = _pair((64, 64), seed=seed)
    fixed = 0.6 * fixed
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    inside = (torch.hypot(rows - 28, columns - 36) < 9)[None, None]
    return fixed, torch.where(inside, 1.0, fixed), inside


def _guided(guidance, seed=0):
    torch.manual_seed(seed)
    return JSM(width=1 / 16, side=64, guidance=guidance).eval()


def _mirrored(net):
    """The network with its joint saliency map mirrored."""
    original = net._maps
    net._maps = lambda *images: original(*images)._replace(joint=original(*images).joint.flip(2, 3))
    return net


def test_guided_an_object_moves_with_its_surroundings_because_of_the_map():
    fixed, moving, inside = _with_object()
    off = {}
    for name, net in (
        ("map", _guided("fill")),
        ("ones", _guided("ones")),
        ("mirrored", _mirrored(_guided("fill"))),
    ):
        net.coarse = _Pulled()
        with torch.inference_mode():
            off[name] = net(fixed, moving).displacement.norm(dim=1, keepdim=True)[inside].mean()
    # The global network is wrong by 4.2 pixels there.
    assert float(off["map"]) < 1.5
    assert float(off["ones"]) > 2.5
    assert float(off["mirrored"]) > 2.5


def test_guided_an_object_has_little_weight_in_the_gradient_of_the_loss():
    fixed, moving, inside = _with_object()
    batch = SimpleNamespace(fixed=fixed, moving=moving)
    shares = {}
    for guidance in ("fill", "ones"):
        net, made = _guided(guidance), []
        net.register_forward_hook(lambda _, seen, found, made=made: made.append(found.displacement))
        # A global network at rest, whose displacement differs from zero.
        net.coarse = _Constant()
        OBJECTIVES["similarity"](net, batch)
        pull = torch.autograd.grad(OBJECTIVES["similarity"](net, batch), made[-1])[0].norm(
            dim=1, keepdim=True
        )
        shares[guidance] = float(pull[inside].sum() / pull.sum())
    assert shares["fill"] < 0.5 * shares["ones"]


@pytest.mark.parametrize("guidance", ["fill", "ones"])
@pytest.mark.parametrize("shape", [(33, 57), (16, 301), (5, 3), (1, 1)])
def test_guided_networks_accept_any_size_and_train_every_layer(guidance, shape):
    net = _guided(guidance).train()
    generator = torch.Generator().manual_seed(0)
    fixed, moving = (torch.rand(2, 1, *shape, generator=generator) for _ in range(2))
    found = net(fixed, moving)
    assert found.displacement.shape == (2, 2, *shape)
    weight = net.loss_weight(fixed, moving)
    assert weight.shape == (2, 1, *shape)
    assert not weight.requires_grad
    assert bool((weight == 1).all()) == (guidance == "ones")
    found.displacement.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_without_guidance_the_layers_are_those_of_earlier_checkpoints():
    names = set(_small_net().state_dict())
    assert not any(name.startswith(("filling", "comparison")) for name in names)
    assert _small_net().loss_weight(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8)) is None
    assert {name.partition(".")[0] for name in _guided("fill").state_dict()} == {
        *("coarse", "local", "correction", "filling")
    }


@pytest.mark.parametrize(
    "arguments", [{"side": 100}, {"side": 0}, {"side": -64}, {"width": 0.0}, {"width": 9}]
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"JSM network cannot be .*choose"):
        JSM(**arguments)


def test_unknown_guidance_is_refused():
    with pytest.raises(ValueError, match=r"guidance cannot be 'zeros'; choose from: 'input'"):
        JSM(guidance="zeros")
