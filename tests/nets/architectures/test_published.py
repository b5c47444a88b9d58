"""The parameters and layers of each architecture against its paper or its authors' code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from napari_voxreg.nets.architectures.avsm import AVSM, AffineNet
from napari_voxreg.nets.architectures.jsm import JSM
from napari_voxreg.nets.architectures.network import Network
from napari_voxreg.nets.architectures.unet import UNet
from napari_voxreg.nets.checkpoints.checkpoint import build
from napari_voxreg.train.pairs.networks import arguments_of

Layers = Sequence[tuple[int, int, int]]  # features before and after, and the stride

# Balakrishnan et al., CVPR 2018, VoxelMorph-2: strided convolutions down, two levels of two at the end.
CVPR_2018 = (
    *((2, 16, 2), (16, 32, 2), (32, 32, 2), (32, 32, 2)),
    *((32, 32, 1), (64, 32, 1), (64, 32, 1), (48, 32, 1), (32, 32, 1), (34, 16, 1), (16, 16, 1)),
)
# SAR-VoxelMorph: twice at half resolution, once at full.
SAR = (
    *((2, 32, 2), (32, 32, 2), (32, 32, 2), (32, 32, 2)),
    *((32, 32, 1), (64, 32, 1), (64, 32, 1), (64, 32, 1), (32, 32, 1), (34, 16, 1)),
)
# Balakrishnan et al., IEEE TMI 2019, as release 0.2 has it: pooling, the last three at full resolution.
TMI_2019 = (
    *((2, 16, 1), (16, 32, 1), (32, 32, 1), (32, 32, 1)),
    *((32, 32, 1), (64, 32, 1), (64, 32, 1), (64, 32, 1), (48, 32, 1), (32, 16, 1), (16, 16, 1)),
)
# Shen et al., CVPR 2019: the affine step, after the layer that both images share.
AVSM_AFFINE = (
    *((32, 32, 1), (32, 32, 2), (32, 32, 1), (32, 32, 1)),
    *((32, 16, 2), (16, 16, 1), (16, 4, 2)),
)
# Global to local, with the joint saliency map between: features before and after, kernel, stride.
JSM_ENCODER = (
    *((2, 128, 7, 1), (128, 128, 5, 1), (128, 256, 5, 2), (256, 256, 3, 1)),
    *((256, 512, 3, 2), (512, 512, 3, 1), (512, 1024, 3, 2), (1024, 1024, 3, 1)),
)
# Beside the features there are those of the encoder and the displacement of the coarser level.
JSM_DECODER = ((1024, 512, 4, 2), (512 + 512 + 2, 256, 4, 2), (256 + 256 + 2, 128, 4, 2))
JSM_HEADS = tuple((n, 2, 3, 1) for n in (1024, 512 + 512 + 2, 256 + 256 + 2, 128 + 128 + 2))
JSM_LOCAL = ((1 + 2, 128, 3, 1), (128, 64, 3, 1), (64, 32, 3, 1))


# Plain spatial transformers on both images (Jaderberg et al., NIPS 2015), pooled by 2 after each layer.
STN = ((2, 16, 1), (16, 32, 1), (32, 32, 1), (32, 32, 1))
# Hoffmann et al., 2024, by their code: one image, four levels of 256 features, four more, 64 points.
DETECTOR = ((1, 256, 1), *((256, 256, 1),) * 7, (256, 64, 1))


def layers_of(modules: Iterable[nn.Module]) -> Layers:
    """Features and stride of the convolutions, in order."""
    convolutions = (m for m in modules if isinstance(m, nn.Conv2d | nn.Conv3d))
    return tuple((m.in_channels, m.out_channels, m.stride[0]) for m in convolutions)


def trained(name: str, ndim: int) -> Network:
    """The network that training begins with where it is to be as published."""
    return build(*arguments_of(name, ndim, compare=False))


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("name", "ndim", "layers", "count"),
    [
        ("voxelmorph cvpr 2018", 3, CVPR_2018, 300_547),
        ("sar-voxelmorph", 2, SAR, 107_442),
    ],
)
def test_u_nets_with_strides(name: str, ndim: int, layers: Layers, count: int) -> None:
    net = trained(name, ndim)
    assert isinstance(net.unet, UNet)
    assert layers_of(net.unet.modules()) == layers
    assert parameters(net) == count
    assert net.unet.down == "end"
    assert net.field_kind == "displacement at full resolution"


def test_release_02() -> None:
    for ndim, count in ((2, 109_170), (3, 327_331)):
        net = build("voxelmorph", {"ndim": ndim})
        assert layers_of(net.unet.modules()) == TMI_2019
        assert parameters(net) == count
    # The head at half resolution omits the last doubling and what follows from it.
    half = trained("voxelmorph", 3)
    assert layers_of(half.unet.modules()) == (*TMI_2019[:8], (32, 32, 1), *TMI_2019[9:])


def test_the_stn_of_the_tutorial() -> None:
    net = trained("tutorial stn", 2)
    convolutions = [m for m in net.localization if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.kernel_size[0]) for m in convolutions] == [
        (2, 8, 7),
        (8, 10, 5),
    ]
    assert (net.hidden.in_features, net.hidden.out_features, net.out.out_features) == (90, 32, 6)
    assert parameters(net) == 5_912
    images = torch.rand(2, 1, 40, 20)  # narrower than the tutorial's images
    assert not net(images, images.flip(3)).displacement.any()  # it begins with the identity
    assert parameters(trained("tutorial stn", 3)) == 24_574  # the same layers with 3D kernels


def test_the_plain_stn() -> None:
    for ndim, count in ((2, 40_054), (3, 136_060)):
        net = trained("stn", ndim)
        assert layers_of(net.localise.modules()) == STN
        # Sixteen cells (in 3D 64) of the last features, then two fully connected layers.
        assert net.head.hidden.in_features == 32 * 4**ndim
        assert net.head.out.out_features == ndim * (ndim + 1)
        assert parameters(net) == count


def test_the_detector_of_affine_maps() -> None:
    with torch.device("meta"):
        net = build("detector affine", {"ndim": 3, "width": 256, "features": 64, "levels": 4})
    assert layers_of(net.detector.modules()) == DETECTOR
    assert sum(isinstance(m, nn.MaxPool3d) for m in net.detector.modules()) == 4
    assert parameters(net) == 12_837_696  # the fit to the points has none
    # What training begins with is narrower and one level shallower.
    small = trained("detector affine", 3)
    assert layers_of(small.detector.modules()) == ((1, 32, 1), *((32, 32, 1),) * 6, (32, 64, 1))


def test_the_pyramid_has_the_layers_that_its_page_lists() -> None:
    text = (Path(__file__).parents[3] / "docs" / "networks.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| (stem|down|refine|parameters) \| (.*) \|$", text, re.MULTILINE))
    for k, ndim in enumerate((2, 3)):
        net = trained("pyramid", ndim)
        for part in ("stem", "down", "refine"):
            listed = table[part].split(" | ")[k].split(", ")
            assert listed == [f"{before} to {after}" for before, after, _ in layers_of(getattr(net, part))]
        assert table["parameters"].split(" | ")[k] == f"{parameters(net):,}"


def test_avsm() -> None:
    net = trained("avsm", 3)
    assert isinstance(net, AVSM)
    assert parameters(net.momentum) == 5_938_515
    assert net.affine.steps == 3
    step = net.affine.step
    assert isinstance(step, AffineNet)
    assert layers_of(step.shared.modules()) == ((1, 16, 1),)
    assert layers_of(step.joint.modules()) == AVSM_AFFINE
    assert (step.head.hidden.out_features, step.head.out.out_features) == (32, 12)


def test_joint_saliency() -> None:
    with torch.device("meta"):
        net = JSM()
    assert net.side == 128

    def kernels(modules: nn.Module) -> tuple[tuple[int, ...], ...]:
        layers = (m for m in modules.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
        return tuple((m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0]) for m in layers)

    assert kernels(net.coarse.encoder) == JSM_ENCODER
    assert kernels(net.coarse.decoder) == JSM_DECODER
    assert kernels(net.coarse.heads) == JSM_HEADS
    assert kernels(net.local) == JSM_LOCAL
    assert kernels(net.correction) == ((32, 2, 3, 1),)
    assert parameters(net) == 33_321_622
    # The guided refinement has the same layers; its own input and the filling are no part of the paper.
    with torch.device("meta"):
        guided = JSM(guidance="fill")
    assert kernels(guided.coarse) == kernels(net.coarse)
    assert kernels(guided.local)[1:] == JSM_LOCAL[1:]
