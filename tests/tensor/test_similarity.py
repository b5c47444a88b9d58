"""Similarities: what they ignore, what they detect, and their gradients."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, uniform_filter

from napari_voxreg.diffeo.prepare import pooled
from napari_voxreg.tensor.similarity import (
    box_mean,
    joint_histogram,
    lncc,
    mind_ssc,
    mse,
    nmi,
    pooled_mind_ssc,
)

SHAPES = [(48, 52), (20, 24, 22)]


def _scene(shape, seed=0):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return torch.from_numpy(((noise - noise.min()) / np.ptp(noise)).astype(np.float32))[None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 5, 7, 9, 13])
def test_box_mean_is_the_uniform_filter(shape, size):
    image = _scene(shape)
    expected = uniform_filter(image[0].numpy(), size, mode="nearest")
    assert np.abs(box_mean(image, size)[0].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_local_correlation_ignores_contrast_brightness_and_flat_regions(shape):
    image = _scene(shape)
    assert float(lncc(image, 5 - 3 * image)) < 0.02
    assert float(lncc(image, _scene(shape, 1))) > 0.7
    flat = torch.zeros_like(image).requires_grad_()
    cost = lncc(image, flat)
    cost.backward()
    assert torch.isfinite(cost) and torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_mutual_information_ignores_relabelling(shape):
    image, other = _scene(shape), _scene(shape, 1)
    folded = (image - 0.5).abs() * 2
    assert float(nmi(image, folded)) < 0.6 < float(nmi(image, other)) - 0.2
    p = joint_histogram(image, other)
    assert float(p.sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_self_similarity_is_the_same_in_inverted_contrast(shape):
    image = _scene(shape)
    a, b, c = mind_ssc(image), mind_ssc(1 - image), mind_ssc(_scene(shape, 1))
    assert a.shape == ((4 if len(shape) == 2 else 12), *shape)
    assert float(a.min()) >= 0 and float(a.max()) <= 1
    assert float(mse(a, b)) < 1e-6 < 0.01 < float(mse(a, c))


@pytest.mark.parametrize("cost", [mse, lncc, nmi])
def test_gradients_agree_with_finite_differences_and_weights_exclude_pixels(cost):
    # Off the ends of the range, where a histogram has a kink.
    a, b = (0.1 + 0.8 * _scene((24, 26), seed).double() for seed in (0, 1))
    b.requires_grad_()
    cost(a, b).backward()
    direction = torch.randn(b.shape, generator=torch.Generator().manual_seed(0)).double() * 1e-5
    numeric = cost(a, b.detach() + direction) - cost(a, b.detach() - direction)
    assert float(numeric) == pytest.approx(2 * float((b.grad * direction).sum()), rel=0.1)
    weight = torch.zeros(24, 26).double()
    weight[4:12, 4:12] = 1
    spoiled = b.detach().clone()
    spoiled[:, 20:] = 0.9
    if cost is not lncc:  # its variance floor is the whole image's
        assert float(cost(a, b.detach(), weight)) == pytest.approx(float(cost(a, spoiled, weight)))


@pytest.mark.parametrize(
    ("shape", "pool"), [((97, 40), (2, 2)), ((41, 12, 10), (1, 2, 2)), ((50, 30), (4, 4))]
)
def test_self_similarity_in_strips_is_that_of_the_whole(shape, pool):
    # Half is even, so that each strip's own floor would be another one.
    image = _scene(shape, 0)
    image[:, : shape[0] // 2] = 0.5 + 1e-4 * image[:, : shape[0] // 2]
    whole = pooled(mind_ssc(image), pool)
    strips = pooled_mind_ssc(image, partial(pooled, factors=pool), pool[0], image.numel() // 3)
    torch.testing.assert_close(strips, whole, atol=1e-5, rtol=0)
