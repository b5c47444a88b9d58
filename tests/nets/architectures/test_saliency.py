"""The saliency map against its definition and finite differences, and its purpose."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d, gaussian_filter

from napari_voxreg.nets.architectures.saliency import distance, joint_saliency, saliency, structure_tensor


def _texture(shape, seed=0, smooth=1.5, dtype=torch.float64):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), smooth)
    return torch.from_numpy((noise - noise.min()) / np.ptp(noise)).to(dtype)[None, None]


def _square(dtype=torch.float32):
    image = torch.zeros(1, 1, 48, 56, dtype=dtype)
    image[..., 14:34, 16:40] = 1
    return image


@pytest.mark.parametrize(("sigma", "size"), [(1.0, 9), (1.5, 13)])
def test_structure_tensor_is_that_of_its_definition(sigma, size):
    image = _texture((23, 31))
    offsets = np.arange(size) - size // 2
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    pixels = image[0, 0].numpy()
    down, right = np.zeros((2, *pixels.shape))
    down[:-1], right[:, :-1] = np.diff(pixels, axis=0), np.diff(pixels, axis=1)
    for entry, product in zip(
        structure_tensor(image, sigma)[0], (down * down, down * right, right * right), strict=True
    ):
        for axis in (0, 1):
            product = correlate1d(product, kernel, axis, mode="nearest")
        assert np.abs(entry.numpy() - product).max() < 1e-12


def test_distance_and_saliency_are_those_of_their_definition():
    tensors = structure_tensor(torch.cat([_texture((9, 11)), _texture((9, 11), seed=1)]))
    full = tensors[:, [0, 1, 1, 2]].movedim(1, -1).reshape(2, 9, 11, 2, 2)

    def apart(a, b):
        square = (a - b) @ (a - b)
        return math.sqrt(8 * math.pi / 15 * (square.trace() - (a - b).trace() ** 2 / 3))

    found = distance(tensors[:1], tensors[1:])[0, 0]
    assert float(found[4, 7]) == pytest.approx(apart(full[0, 4, 7], full[1, 4, 7]))
    for row, column in ((4, 7), (0, 5), (8, 10), (3, 0)):  # inside, at borders and in a corner
        around = [
            full[1, r, c]
            for r in range(max(0, row - 1), min(9, row + 2))
            for c in range(max(0, column - 1), min(11, column + 2))
            if (r, c) != (row, column)
        ]
        expected = sum(apart(full[1, row, column], t) for t in around) / 9
        assert float(saliency(tensors)[1, 0, row, column]) == pytest.approx(expected)


@pytest.mark.parametrize("norm", ["range", "mean"])
@pytest.mark.parametrize("which", ["fixed", "moving", "joint"])
def test_gradients_agree_with_finite_differences(which, norm):
    fixed = _texture((9, 8), seed=2).requires_grad_()
    moving = _texture((9, 8), seed=3).requires_grad_()
    weight = torch.randn(1, 1, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(
        lambda a, b: (getattr(joint_saliency(a, b, norm=norm), which) * weight).sum(),
        (fixed, moving),
        atol=1e-7,
    )


def test_edges_and_corners_are_salient_and_flat_regions_are_not():
    found = saliency(structure_tensor(_square()))[0, 0]
    edge, corner = found[12:16, 28].max(), found[12:16, 14:18].max()
    inside, outside = found[24, 28], found[4, 4]
    assert float(edge) > 1e-2
    assert float(corner) > 1e-2
    assert max(float(inside), float(outside)) < 1e-10


@pytest.mark.parametrize("norm", ["range", "mean"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 30), (40, 33)])
def test_flat_and_tiny_images_have_no_saliency_and_finite_gradients(shape, norm):
    # Rounding of a resampled constant must not be stretched to the full range.
    fixed = torch.full((1, 1, *shape), 0.3).requires_grad_()
    moving = (torch.full((1, 1, *shape), 0.3) + 3e-8 * torch.arange(shape[1])).requires_grad_()
    found = joint_saliency(fixed, moving, norm=norm)
    assert all(m.shape == (1, 1, *shape) and float(m.detach().abs().max()) < 1e-3 for m in found)
    sum(m.sum() for m in found).backward()
    assert torch.isfinite(fixed.grad).all()
    assert torch.isfinite(moving.grad).all()


def test_an_object_in_one_image_only_has_little_joint_saliency():
    fixed = _square()
    moving = fixed.clone()
    moving[..., 2:10, 44:54] = 1  # added
    moving[..., 30:38, 36:44] = 0  # and a corner missing
    found = joint_saliency(fixed, moving)
    missing = (..., slice(32, 36), slice(38, 42))
    added = (slice(None), slice(None), slice(0, 12), slice(42, 56))
    kept = (slice(None), slice(None), slice(12, 26), slice(14, 30))
    assert float(found.moving[added].max()) > 0.9 * float(found.moving[kept].max())
    assert float(found.joint[kept].max()) > 0.9
    assert float(found.joint[added].max()) < 0.05
    assert float(found.joint[missing].max()) < 0.1 * float(joint_saliency(fixed, fixed).joint[missing].max())


def test_joint_saliency_ranges_from_0_to_1_and_ignores_the_contrast():
    fixed, moving = _texture((40, 30), 4), _texture((40, 30), 5)
    found = joint_saliency(fixed, moving).joint
    assert float(found.min()) == 0
    assert float(found.max()) == 1
    assert torch.allclose(joint_saliency(0.2 * fixed + 0.5, 0.2 * moving).joint, found, atol=1e-6)


def test_each_pair_of_a_batch_counts_for_itself():
    fixed = torch.cat([_texture((20, 20), 6), 100 * _texture((20, 20), 7)])
    moving = torch.cat([_texture((20, 20), 8), 100 * _texture((20, 20), 9)])
    together = joint_saliency(fixed, moving)
    for k in (0, 1):
        alone = joint_saliency(fixed[k : k + 1], moving[k : k + 1])
        assert all(torch.allclose(a[k : k + 1], b) for a, b in zip(together, alone, strict=True))


def test_by_the_mean_a_textured_object_is_separated_more_clearly_than_by_the_range():
    fixed = _texture((64, 64), 10, dtype=torch.float32)
    moving = fixed.clone()
    rows, columns = np.indices((64, 64))
    inside = torch.from_numpy(np.hypot(rows - 30, columns - 36) < 12)
    moving[0, 0][inside] = _texture((64, 64), 11, dtype=torch.float32)[0, 0][inside]
    maps = [joint_saliency(fixed, moving, norm=norm).joint[0, 0] for norm in ("range", "mean")]
    by_range, by_mean = (float(joint[inside].mean() / joint[~inside].mean()) for joint in maps)
    assert by_mean < 0.25
    assert by_range > 0.5
    assert 0 <= float(maps[1].min()) <= float(maps[1].max()) <= 1
