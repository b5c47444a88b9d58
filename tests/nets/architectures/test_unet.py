"""The U-Net's variants: the alignment of each halving, sizes, gradients, refusals."""

import pytest
import torch
from torch.nn import functional as F

from napari_voxreg.nets.architectures.unet import UNet

SMALL = {"encoder": (3, 4), "decoder": (4, 3), "remaining": (3,)}


def unet(ndim=2, seed=0, **options):
    torch.manual_seed(seed)
    return UNet(ndim, 2, **{**SMALL, **options})


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("down", ["pool", "start", "end", "both"])
@pytest.mark.parametrize("half", [False, True])
def test_any_multiple_of_the_stride_keeps_its_size(ndim, down, half):
    net = unet(ndim, down=down, half=half, upsampling="linear", encoder=(3, [4, 5]), decoder=([6, 5], 3))
    shape = (12, 20, 8)[:ndim]
    features = net(torch.rand(2, 2, *shape))
    assert features.shape == (2, net.features, *[n // (2 if half else 1) for n in shape])
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize(("down", "kernel", "first"), [("start", 3, -1), ("end", 3, 0), ("both", 4, -1)])
def test_a_stride_takes_the_right_pixels(down, kernel, first):
    """A kernel whose first entry is 1 and all others 0 picks pixel 2 i + first."""
    net = unet(down=down, encoder=(1,), decoder=(1,), remaining=())
    halving = net.encoder[0][0]
    assert halving.weight.shape[2:] == (kernel, kernel)
    seen = {}
    net.decoder[0][0].register_forward_pre_hook(lambda _, given: seen.update(coarse=given[0]))
    torch.nn.init.zeros_(halving.weight)
    torch.nn.init.zeros_(halving.bias)
    halving.weight.data[0, 0, 0, 0] = 1
    image = torch.rand(1, 2, 8, 8)
    net(image)
    picked = F.pad(image, (1, 1, 1, 1))[0, 0, 1 + first : 9 + first : 2, 1 + first : 9 + first : 2]
    assert torch.equal(seen["coarse"][0, 0], picked)


def test_activations_and_upsamplings_differ():
    image = torch.rand(1, 2, 32, 32)
    kinds = [(a, u) for a in ("relu", "leaky relu") for u in ("nearest", "linear")]
    with torch.inference_mode():
        outputs = [unet(activation=a, upsampling=u)(image) for a, u in kinds]
    for i, one in enumerate(outputs):
        assert all((one - other).abs().max() > 1e-3 for other in outputs[:i])
    assert float(outputs[0].min()) == 0 > float(outputs[2].min())


@pytest.mark.parametrize("down", ["pool", "start", "end", "both"])
def test_features_follow_a_translation_of_the_image_by_the_stride(down):
    image, net = torch.rand(1, 2, 64, 64), unet(down=down)
    with torch.inference_mode():
        first, last = net(torch.roll(image, 4, 2)), torch.roll(net(image), 4, 2)
    middle = (..., slice(28, 36), slice(28, 36))
    assert torch.allclose(first[middle], last[middle], atol=1e-5)
    assert float(last[middle].std()) > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"down": "average"}, "down cannot be 'average'"),
        ({"activation": "tanh"}, "activation cannot be 'tanh'"),
        ({"upsampling": "cubic"}, "upsampling cannot be 'cubic'"),
        ({"decoder": (4,)}, "as many decoder as encoder levels, not 1 for 2"),
    ],
)
def test_unknown_variants_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        unet(**options)
