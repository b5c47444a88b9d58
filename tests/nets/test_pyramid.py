"""The correlation pyramid."""

from __future__ import annotations

import pytest
import torch

from napari_voxreg.nets.checkpoint import open_checkpoint, shipped, shipped_names
from napari_voxreg.nets.pyramid import Pyramid
from napari_voxreg.train.score import score, unseen
from napari_voxreg.train.synth import Motion


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


@pytest.mark.parametrize("name", [name for name in shipped_names() if name.startswith("pyramid")])
def test_shipped_weights_give_nearly_the_same_field_in_bfloat16(name: str) -> None:
    net = open_checkpoint(shipped(name)).net
    (batch,) = unseen(2, (64,) * net.ndim if net.ndim == 2 else (32,) * 3, Motion(), batch=2)
    with torch.inference_mode():
        exact = net(batch.fixed, batch.moving).displacement
        with torch.autocast("cpu", torch.bfloat16):
            quick = net(batch.fixed, batch.moving).displacement
    assert quick.dtype == torch.float32
    assert float((exact - quick).norm(dim=1).mean()) < 0.05


@pytest.mark.parametrize("name", [name for name in shipped_names() if name.startswith("pyramid")])
def test_shipped_weights_bring_unseen_pairs_nearer(name: str) -> None:
    loaded = open_checkpoint(shipped(name))
    side, count = (96, 16) if loaded.net.ndim == 2 else (48, 4)
    found = score(loaded.net, unseen(count, (side,) * loaded.net.ndim, Motion(), seed=5, batch=4))
    assert found.after < 0.65 * found.before
    assert found.folds < 1e-3
