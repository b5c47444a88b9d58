"""Correlation at every shift, and the network input channels made from it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from napari_voxreg.nets.architectures.avsm import AVSM
from napari_voxreg.nets.architectures.cost_volume import SIZE, MatchingChannels
from napari_voxreg.nets.architectures.jsm import JSM
from napari_voxreg.nets.architectures.network import Network
from napari_voxreg.nets.architectures.voxelmorph import VoxelMorph
from napari_voxreg.tensor.correlation import _all_at_once, _one_by_one, correlation, soft_argmax


@pytest.mark.parametrize("ndim", (2, 3))
def test_soft_argmax_is_where_the_scores_are_high(ndim: int) -> None:
    scores = torch.zeros(1, 5**ndim, *(2,) * ndim)
    shift = (1, -2, 0)[:ndim]
    index = 0
    for s in shift:
        index = index * 5 + s + 2
    assert torch.allclose(soft_argmax(scores, 2), torch.zeros(1, ndim, *(2,) * ndim), atol=1e-6)
    scores[:, index] = 50
    wanted = torch.tensor(shift, dtype=torch.float32).view(1, ndim, *(1,) * ndim)
    assert torch.allclose(soft_argmax(scores, 2), wanted.expand(1, ndim, *(2,) * ndim), atol=1e-5)


@pytest.mark.parametrize("ndim", (2, 3))
def test_all_translations_at_once_give_the_same_as_one_by_one(ndim: int) -> None:
    here, there = (torch.randn(2, 5, *(6, 7, 8)[:ndim]) for _ in "ab")
    assert torch.allclose(_all_at_once(here, there, 2), _one_by_one(here, there, 2), atol=1e-5)


@pytest.mark.parametrize("ndim", (2, 3))
def test_correlation_is_the_product_with_every_translation(ndim: int) -> None:
    here, there = (torch.randn(2, 5, *(6, 7, 8)[:ndim]) for _ in "ab")
    found = correlation(here, there, 1)
    assert found.shape == (2, 3**ndim, *here.shape[2:])
    middle = (2, 3, 4)[:ndim]
    shift = (1, -1, 0)[:ndim]
    index = 0
    for s in shift:
        index = index * 3 + s + 1
    other = tuple(m + s for m, s in zip(middle, shift, strict=True))
    wanted = (here[(0, slice(None), *middle)] * there[(0, slice(None), *other)]).sum() * 5**0.5
    assert float(found[(0, index, *middle)]) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("ndim", (2, 3))
def test_channels_show_a_translation_by_one_pixel_whatever_the_contrast(ndim: int) -> None:
    shape = (40, 48, 44)[:ndim]
    noise = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    fixed = (F.avg_pool2d if ndim == 2 else F.avg_pool3d)(noise, 3, 1, 1)
    fixed = (fixed - fixed.min()) / (fixed.max() - fixed.min())
    moving = 1 - fixed.roll(1, dims=ndim + 1) ** 2
    found = MatchingChannels(ndim, "images")(fixed, moving)
    inner = (slice(None), slice(None), *(slice(6, -6),) * ndim)
    shift, similarity = found[:, :ndim][inner] / SIZE, found[:, ndim : ndim + 1][inner]
    truth = torch.tensor([0.0] * (ndim - 1) + [1.0]).view(1, ndim, *(1,) * ndim)
    assert float((shift - truth).abs().mean()) < 0.2
    assert float(similarity.mean()) > 0.8
    flat = torch.full_like(fixed, 0.4)
    assert float(MatchingChannels(ndim, "images")(flat, flat).abs().max()) < 1e-4


def test_an_empty_comparison_adds_no_channels_and_unknown_ones_are_refused() -> None:
    image = torch.rand(2, 1, 16, 16)
    assert MatchingChannels(2, "")(image, image).shape == (2, 0, 16, 16)
    assert not list(MatchingChannels(2, "images").parameters())
    with pytest.raises(ValueError, match="choose from: '', 'images', 'pyramid'"):
        VoxelMorph(2, compare="edges")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "net",
    (VoxelMorph(2, compare="images"), JSM(0.1, 64, compare="pyramid"), AVSM(3, 2, 4, 1, compare="images")),
)
def test_networks_with_matching_channels_can_be_rebuilt_and_take_a_pair(net: Network) -> None:
    again = type(net)(**net.arguments)
    again.load_state_dict(net.state_dict())
    images = torch.rand(2, 1, 1, *(32,) * net.ndim, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(net.eval()(*images).displacement, again.eval()(*images).displacement)
