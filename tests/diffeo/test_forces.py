"""The force of local correlation is its derivative with respect to the warped pixels."""

import pytest
import torch

from napari_voxreg.diffeo.forces import LocalCorrelation
from napari_voxreg.tensor.similarity import lncc


@pytest.mark.parametrize("shape", [(30, 34), (20, 22, 18)])
def test_the_force_is_the_derivative_over_all_windows(shape):
    generator = torch.Generator().manual_seed(0)
    fixed, noise = (torch.rand((1, *shape), generator=generator) for _ in range(2))
    warped = (0.5 * fixed + 0.5 * noise).requires_grad_()
    cost = 0.5 * lncc(warped, fixed, window=5)
    (slope,) = torch.autograd.grad(cost, warped)
    found = LocalCorrelation(fixed, 5)(warped.detach(), None)
    assert float(found.cost) == pytest.approx(float(cost.detach()), rel=1e-5)
    inner = (0, *(slice(6, -6) for _ in shape))  # at the rim windows repeat the border
    expected = -slope[inner] * warped.numel()
    assert float((found.force[inner] - expected).abs().max()) < 1e-4 * float(expected.abs().max()) + 1e-5
    assert float(found.curvature.min()) >= 0


def test_windows_that_do_not_count_do_not_pull():
    generator = torch.Generator().manual_seed(1)
    fixed, warped = (torch.rand((1, 40, 40), generator=generator) for _ in range(2))
    weight = torch.ones(1, 40, 40)
    weight[:, :, 20:] = 0
    force = LocalCorrelation(fixed, 5)(warped, weight).force
    assert float(force[:, :, 23:].abs().max()) < 1e-6
    assert float(force[:, 5:-5, 5:16].abs().mean()) > 0.1
