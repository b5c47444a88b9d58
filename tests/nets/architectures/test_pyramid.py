"""The correlation pyramid."""

from __future__ import annotations

import pytest
import torch

from napari_voxreg.nets.architectures.pyramid import SHIPPED, Pyramid


def _pair(ndim: int, side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(2, 1, *(side,) * ndim, generator=generator) for _ in "ab")  # type: ignore[return-value]


def _small(ndim: int) -> Pyramid:
    torch.manual_seed(0)
    return Pyramid(ndim=ndim, features=8, hidden=12, context=4, radius=1).eval()


@pytest.mark.parametrize("ndim", (2, 3))
def test_the_same_pair_gives_the_same_field_twice(ndim: int) -> None:
    net = _small(ndim)
    fixed, moving = _pair(ndim)
    with torch.inference_mode():
        found = net(fixed, moving).displacement
        assert found.shape == (2, ndim, *fixed.shape[2:])
        assert bool(torch.isfinite(found).all())
        assert torch.equal(found, net(fixed, moving).displacement)


def test_sides_may_be_any_multiple_of_the_stride_and_levels_follow_the_size() -> None:
    net = _small(2)
    with torch.inference_mode():
        for shape, levels in (((8, 8), 1), ((16, 24), 2), ((64, 40), 3), ((256, 512), 6)):
            image = torch.rand(1, 1, *shape)
            found = net.levels(image, image)
            assert len(found) == levels
            assert {tuple(f.shape[2:]) for f in found} == {shape}


@pytest.mark.parametrize("ndim", (2, 3))
def test_the_mean_feature_does_not_count(ndim: int) -> None:
    torch.manual_seed(0)
    net = Pyramid(**SHIPPED[ndim]).eval().double()
    # One level: coarser ones get features through a leaky ReLU. Rounding of single precision would count.
    fixed, moving = (image.double() for image in _pair(ndim, 8))
    with torch.inference_mode():
        before = net(fixed, moving).displacement
        net.stem[-1].bias += 1.0
        after = net(fixed, moving).displacement
    assert torch.allclose(before, after, atol=1e-9)
