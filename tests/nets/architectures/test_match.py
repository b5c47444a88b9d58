"""The affine network that matches features."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from napari_voxreg.nets.architectures.match import MatchAffine, Matches, fit_affine
from napari_voxreg.tensor import affine as affines
from napari_voxreg.tensor.warp import identity


def _pair(ndim: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(2, 1, *(side,) * ndim, generator=generator) for _ in "ab")  # type: ignore[return-value]


def _small(ndim: int) -> MatchAffine:
    torch.manual_seed(0)
    return MatchAffine(ndim, steps=2, features=8).eval()


@pytest.mark.parametrize("ndim", (2, 3))
def test_the_same_pair_gives_the_same_map_twice_and_equal_images_the_identity(ndim: int) -> None:
    net = _small(ndim)
    fixed, moving = _pair(ndim, 48)
    with torch.inference_mode():
        found = net(fixed, moving)
        assert found.affine.shape == (2, ndim, ndim + 1)
        assert torch.equal(found.affine, net(fixed, moving).affine)
        assert torch.equal(found.displacement, affines.displacement(found.affine, (48,) * ndim))
        assert float(net(fixed, fixed).displacement.abs().max()) < 1


@pytest.mark.parametrize("ndim", (2, 3))
def test_the_fit_follows_the_matches_that_agree(ndim: int) -> None:
    """Exact matches for most nodes, random ones for a third of them."""
    shape, coarse = (48, 40, 32)[:ndim], (12, 10, 8)[:ndim]
    generator = torch.Generator().manual_seed(0)
    # A translation by whole nodes, which matches represent exactly.
    truth = affines.identities(1, ndim, torch.zeros(1)).clone()
    truth[0, :, -1] = torch.tensor([4.0, -8.0, 4.0])[:ndim]
    pool = F.avg_pool2d if ndim == 2 else F.avg_pool3d
    lattice = identity(coarse, truth)
    where = (lattice + pool(affines.displacement(truth, shape), 4)[0] / 4).flatten(1).T
    gaps = torch.cdist(where, lattice.flatten(1).T)
    scores = -20 * gaps**2
    wrong = torch.rand(len(scores), generator=generator) < 0.33
    others = torch.randperm(len(scores), generator=generator)
    scores[wrong] = scores[others[wrong]]
    found, agreed = fit_affine(Matches(scores[None], coarse), shape)
    error = affines.displacement(found, shape) - affines.displacement(truth, shape)
    assert float(error.abs().max()) < 0.2
    _, before = fit_affine(Matches(torch.rand(1, *scores.shape, generator=generator), coarse), shape)
    assert float(agreed) > 3 * float(before)


def test_without_matches_the_map_stays_the_identity() -> None:
    flat = torch.full((1, 1, 48, 48), 0.5)
    with torch.inference_mode():
        assert float(_small(2)(flat, flat).displacement.abs().max()) < 0.5
