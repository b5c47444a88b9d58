"""Errors are told where they can be judged: on texture, and where both images show the place."""

from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from napari_voxreg.train.pairs.endpoint_error import distance, error, is_known, textured
from napari_voxreg.train.pairs.prepare import TRUTH

SHAPE = (48, 64)


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    """Texture in the left half, speckle alone in the right one; all is three pixels further right."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 1, *SHAPE, generator=generator)
    fixed = 0.5 + 0.07 * noise
    fixed[..., :32] += (
        0.3 * torch.from_numpy(ndimage.gaussian_filter(noise.numpy(), (0, 0, 4, 4)) * 12)[..., :32]
    )
    truth = torch.zeros(1, 2, *SHAPE)
    truth[:, 1] = 3.0
    return {"fixed": fixed.clamp(0, 1), TRUTH: truth}


def test_texture_is_more_than_speckle(tensors: dict[str, torch.Tensor]) -> None:
    found = textured(tensors["fixed"])
    assert found[..., :26].float().mean() > 0.8
    assert found[..., 40:].float().mean() < 0.05


def test_what_is_wrong_where_nothing_is_seen_does_not_count(tensors: dict[str, torch.Tensor]) -> None:
    answer = tensors[TRUTH].clone()
    answer[..., 44:] = 50.0
    assert float(error(tensors, answer)) == pytest.approx(0, abs=1e-5)
    assert float(distance(tensors, answer)) > 10
    still = torch.zeros_like(answer)
    assert float(error(tensors, still)) == pytest.approx(3) == float(distance(tensors, still))


def test_places_that_the_moving_image_does_not_show_do_not_count(tensors: dict[str, torch.Tensor]) -> None:
    tensors[TRUTH][..., :10] = -20.0  # out of the image
    tensors[TRUTH][..., 10:12] = torch.nan
    right = torch.nan_to_num(tensors[TRUTH])
    wrong = right.clone()
    wrong[..., :12] += 9
    assert float(error(tensors, wrong)) == pytest.approx(0, abs=1e-5)


def test_where_nothing_can_be_judged_there_is_no_error(tensors: dict[str, torch.Tensor]) -> None:
    still = torch.zeros_like(tensors[TRUTH])
    assert error({"fixed": tensors["fixed"]}, still) is None
    assert error({**tensors, "fixed": torch.full((1, 1, *SHAPE), 0.5)}, still) is None
    unknown = {**tensors, TRUTH: torch.full_like(still, torch.nan)}
    assert error(unknown, still) is None
    assert is_known(tensors) and not is_known(unknown)
