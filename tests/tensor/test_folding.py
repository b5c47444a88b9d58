"""Folding of displacements, detected and smoothed away."""

from __future__ import annotations

import pytest
import torch

from napari_voxreg.tensor.folding import MIN_DETERMINANT, jacobian_determinant, without_folding
from napari_voxreg.train.synthetic.noise import smooth_noise


def test_a_mirrored_image_is_folded_and_an_unmoved_one_is_not() -> None:
    rows = torch.arange(16.0).view(1, 1, 16, 1).expand(1, 1, 16, 16)
    mirrored = torch.cat([15 - 2 * rows, torch.zeros_like(rows)], dim=1)
    assert bool((jacobian_determinant(mirrored) < 0).all())
    assert bool((jacobian_determinant(torch.zeros_like(mirrored)) == 1).all())


@pytest.mark.parametrize("ndim", (2, 3))
def test_folding_is_removed_and_the_rest_stays(ndim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (48,) * 2 if ndim == 2 else (28,) * 3
    smooth = 2 * smooth_noise(1, ndim, shape, 16.0, generator)
    rough = smooth.clone()
    corner = (slice(None), slice(None), *(slice(4, 14),) * ndim)
    rough[corner] += 4 * torch.randn(rough[corner].shape, generator=generator)
    assert bool((jacobian_determinant(rough) < 0).any())
    found = without_folding(rough)
    assert float(jacobian_determinant(found).min()) >= MIN_DETERMINANT
    far = (slice(None), slice(None), *(slice(22, None),) * ndim)
    assert torch.equal(found[far], rough[far])


def test_a_displacement_without_folding_is_returned_as_it_is() -> None:
    smooth = smooth_noise(2, 2, (40, 40), 20.0, torch.Generator().manual_seed(1))
    assert without_folding(smooth) is smooth
