"""The channels that say where the moving image resembles the fixed one."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from napari_voxreg.nets.avsm import AVSM
from napari_voxreg.nets.compare import SCALES, SIZE, channels, compared, mean_shift, shifted
from napari_voxreg.nets.jsm import JSM
from napari_voxreg.nets.network import Network
from napari_voxreg.nets.voxelmorph import VoxelMorph


def _texture(shape: tuple[int, ...]) -> torch.Tensor:
    """Grain of about three pixels."""
    noise = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    pool = F.avg_pool2d if len(shape) == 2 else F.avg_pool3d
    smooth = pool(noise, 3, 1, 1)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


@pytest.mark.parametrize("ndim", (2, 3))
def test_the_mean_shift_is_where_the_scores_are_high(ndim: int) -> None:
    scores = torch.zeros(1, 5**ndim, *(2,) * ndim)
    shift = (1, -2, 0)[:ndim]
    index = 0
    for s in shift:
        index = index * 5 + s + 2
    assert torch.allclose(mean_shift(scores, 2), torch.zeros(1, ndim, *(2,) * ndim), atol=1e-6)
    scores[:, index] = 50
    wanted = torch.tensor(shift, dtype=torch.float32).view(1, ndim, *(1,) * ndim)
    assert torch.allclose(mean_shift(scores, 2), wanted.expand(1, ndim, *(2,) * ndim), atol=1e-5)


@pytest.mark.parametrize("ndim", (2, 3))
def test_the_finest_scale_tells_a_shift_by_one_pixel_whatever_the_contrast(ndim: int) -> None:
    shape = (36, 40, 44)[:ndim]
    fixed = _texture(shape)
    moving = 1 - fixed.roll(1, dims=ndim + 1) ** 2  # along the last axis, inverted and bent
    found = compared(fixed, moving)
    assert found.shape == (1, channels(ndim), *shape)
    inner = (slice(None), slice(None), *(slice(6, -6),) * ndim)
    shift, best = found[:, :ndim][inner] / SIZE, found[:, ndim : ndim + 1][inner]
    truth = torch.tensor([0.0] * (ndim - 1) + [1.0]).view(1, ndim, *(1,) * ndim)
    assert float((shift - truth).abs().mean()) < 0.2
    assert float(best.mean()) > 0.8
    assert float(compared(fixed, _texture(shape).flip(2))[:, ndim : ndim + 1][inner].mean()) < 0.6


def test_coarser_scales_tell_shifts_that_finer_ones_cannot_reach() -> None:
    fixed = F.interpolate(_texture((16, 16)), size=(96, 96), mode="bicubic").clamp(0, 1)
    found = compared(fixed, fixed.roll(6, dims=2))[:, 6:8, 16:-16, 16:-16] / SIZE
    assert SCALES[2] == 4
    assert float((found[:, 0] - 6).abs().median()) < 1.5
    assert float(found[:, 1].abs().median()) < 1.5


def test_flat_images_tell_no_shift() -> None:
    flat = torch.full((1, 1, 17, 23), 0.4)
    assert float(compared(flat, flat).abs().max()) < 1e-4


def test_shifts_come_in_order_and_beyond_the_rim_is_nothing_or_the_border() -> None:
    image = torch.arange(1.0, 7.0).view(1, 1, 2, 3)
    seen = shifted(image, 1)
    assert len(seen) == 9
    assert torch.equal(seen[4], image)
    assert seen[0][0, 0].tolist() == [[0, 0, 0], [0, 1, 2]]
    assert shifted(image, 1, "replicate")[0][0, 0].tolist() == [[1, 1, 2], [1, 1, 2]]


@pytest.mark.parametrize(
    "net", (VoxelMorph(2, compare=True), JSM(0.1, 64, compare=True), AVSM(3, 2, 4, 1, compare=True))
)
def test_networks_that_compare_can_be_built_again_and_take_a_pair(net: Network) -> None:
    again = type(net)(**net.arguments)
    again.load_state_dict(net.state_dict())
    images = torch.rand(2, 1, 1, *(32,) * net.ndim, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(net.eval()(*images).displacement, again.eval()(*images).displacement)
