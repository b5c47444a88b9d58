"""Filling in: what is trusted stays, what is not comes from around."""

import pytest
import torch

from napari_voxreg.nets.architectures.filling import Filling


def _wrong_in_the_middle(shape=(40, 48)):
    """A displacement of (2, -1) that is (-6, 5) in a block, the confidence, and the block."""
    flow = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).expand(1, 2, *shape).clone()
    block = torch.zeros(1, 1, *shape)
    block[..., 14:26, 16:30] = 1
    flow = torch.where(block > 0, torch.tensor([-6.0, 5.0]).view(1, 2, 1, 1), flow)
    return flow, 1 - block, block > 0


def test_what_has_no_confidence_comes_from_around_and_the_rest_stays():
    flow, confidence, block = _wrong_in_the_middle()
    filled = Filling(3)(flow, confidence, torch.zeros(1, 3, 40, 48))
    off = (filled - torch.tensor([2.0, -1.0]).view(1, 2, 1, 1)).norm(dim=1, keepdim=True).detach()
    assert float(off[block].max()) < 0.5
    assert float(off[~block].max()) < 0.1
    # With the same confidence everywhere it is plain smoothing, and the block stays wrong.
    smoothed = Filling(3)(flow, torch.ones_like(confidence), torch.zeros(1, 3, 40, 48)).detach()
    assert float((smoothed - flow).norm(dim=1, keepdim=True)[block].mean()) < 4
    assert float((smoothed - filled.detach()).norm(dim=1, keepdim=True)[block].mean()) > 5


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (16, 61)])
def test_a_constant_displacement_stays_whatever_the_confidence(shape):
    generator = torch.Generator().manual_seed(0)
    flow = torch.full((2, 2, *shape), 1.5)
    confidence = torch.rand(2, 1, *shape, generator=generator)
    features = torch.rand(2, 4, *shape, generator=generator)
    for some in (confidence, torch.zeros_like(confidence)):
        assert torch.allclose(Filling(4)(flow, some, features), flow, atol=1e-4)


def test_everything_that_it_uses_is_trained():
    filling = Filling(4)
    torch.nn.init.normal_(filling.widths.weight)
    flow, confidence, _ = _wrong_in_the_middle()
    inputs = [flow, confidence * 0.9, torch.rand(1, 4, 40, 48)]
    inputs = [x.requires_grad_() for x in inputs]
    filling(*inputs).square().sum().backward()
    for tensor in (*inputs, *filling.parameters()):
        assert torch.isfinite(tensor.grad).all()
        assert float(tensor.grad.abs().max()) > 0
