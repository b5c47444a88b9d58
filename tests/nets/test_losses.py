"""Losses: known values, what they ignore, gradients, and robustness."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_voxreg.nets import losses
from napari_voxreg.nets.architectures.affine import STN
from napari_voxreg.tensor import affine as affines
from napari_voxreg.tensor.warp import warp_batch

SHAPES = [(40, 48), (18, 20, 22)]


def _scene(shape, count=2, seed=0, dtype=torch.float32):
    """Smooth textures in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, 1, *[n // 3 for n in shape], generator=generator, dtype=dtype)
    mode = "bicubic" if len(shape) == 2 else "trilinear"
    return F.interpolate(noise, size=shape, mode=mode, align_corners=True).clamp(0, 1)


def _field(shape, count=2, seed=0, size=1.0):
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(count, len(shape), *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("cost", [losses.ncc, losses.lncc, losses.mk_lncc])
@pytest.mark.parametrize("shape", [*SHAPES, (70, 66), (130, 128)])
def test_correlations_ignore_brightness_contrast_and_flat_images(cost, shape):
    image, other = _scene(shape), _scene(shape, seed=1)
    assert float(cost(image, 0.2 + 0.5 * image)) < 0.03
    assert float(cost(image, other)) > 0.7
    flat = torch.full_like(image, 0.3).requires_grad_()
    value = cost(image, flat)
    value.backward()
    assert float(value.detach()) > 0.9
    assert torch.isfinite(flat.grad).all()
    assert torch.isfinite(cost(torch.zeros_like(image), torch.zeros_like(image)))


@pytest.mark.parametrize("cost", [losses.lncc, losses.mk_lncc])
def test_local_correlations_ignore_inverted_contrast(cost):
    image = _scene((40, 48))
    assert float(cost(image, 1 - image)) < 0.03
    assert float(losses.ncc(image, 1 - image)) == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize("cost", [losses.mse, losses.ncc, losses.lncc, losses.mk_lncc])
def test_each_pair_of_a_batch_counts_on_its_own(cost):
    a, b = _scene((40, 48), 3), _scene((40, 48), 3, seed=1)
    b[1] *= 0.2
    alone = [float(cost(a[i : i + 1], b[i : i + 1])) for i in range(3)]
    assert float(cost(a, b)) == pytest.approx(np.mean(alone), rel=1e-4)


def _reference(a, b):
    """mk-LNCC of two 2D arrays, window by window."""
    side = min(a.shape)
    kernels = [(side // 2, 1.0, 1)]
    if side >= 64:
        kernels = [(side // 4, 0.3, 2), (side // 2, 0.7, 2)]
    if side >= 128:
        kernels = [(side // 16, 0.1, 2), (side // 8, 0.3, 2), (side // 4, 0.6, 2)]
    floor_a, floor_b = 1e-3 * a.var() + 1e-6, 1e-3 * b.var() + 1e-6
    total = 0.0
    for size, weight, dilation in kernels:
        span = dilation * (size - 1) + 1
        counts = [-(-(n - span) // (size // 4)) + 1 for n in a.shape]
        ends = zip(a.shape, counts, strict=True)
        rows, columns = (np.round(np.linspace(0, n - span, c)).astype(int) for n, c in ends)
        squares = []
        for r in rows:
            for c in columns:
                at = np.s_[r : r + span : dilation, c : c + span : dilation]
                x, y = a[at] - a[at].mean(), b[at] - b[at].mean()
                squares.append(
                    (x * y).mean() ** 2 / (((x * x).mean() + floor_a) * ((y * y).mean() + floor_b))
                )
        total += weight * (1 - np.mean(squares))
    return total


@pytest.mark.parametrize("shape", [(40, 52), (64, 90), (128, 140)])
def test_mk_lncc_is_its_definition(shape):
    a, b = _scene(shape, 1, dtype=torch.float64), _scene(shape, 1, seed=1, dtype=torch.float64)
    mixed = 0.5 * a + 0.5 * b
    expected = _reference(a[0, 0].numpy(), mixed[0, 0].numpy())
    assert 0.05 < expected < 0.95
    assert float(losses.mk_lncc(a, mixed)) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("shape", [(14, 17), (9, 10, 8), (64, 65), (128, 129)])
def test_the_gradient_of_mk_lncc_agrees_with_finite_differences(shape):
    a, b = (_scene(shape, 2, seed, torch.float64).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(losses.mk_lncc, (a, b), fast_mode=True)


@pytest.mark.parametrize("shape", [(7, 8), (5, 6, 7)])
def test_gradients_agree_with_finite_differences(shape):
    a, b = (_scene(shape, 2, seed, torch.float64).requires_grad_() for seed in (0, 1))
    u, v = (_field(shape, seed=seed, size=0.2).requires_grad_() for seed in (0, 1))
    for cost, arguments in (
        (losses.ncc, (a, b)),
        (losses.edge_aware, (a, b, u)),
        (losses.kl, (u, v)),
        (losses.probabilistic, (a, b, u, v)),
        (losses.bending, (u,)),
        (losses.diffusion, (u,)),
        (losses.endpoint_error, (u, v)),
        (losses.dice, (a, b)),
    ):
        assert torch.autograd.gradcheck(cost, arguments, fast_mode=True), cost.__name__
    moved = (0.3 + u.detach() / 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s, t: losses.overlap_ncc(a.detach(), s, t), (b, moved), fast_mode=True
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_smoothness_has_the_documented_units(shape):
    d = len(shape)
    affine = affines.identities(1, d, torch.zeros(1).double()).clone()
    affine[0, 0, 1] = 0.5
    shear = affines.displacement(affine, shape)
    assert float(losses.diffusion(shear)) == pytest.approx(0.25 / d)
    assert float(losses.bending(shear)) == pytest.approx(0, abs=1e-20)
    index = torch.arange(shape[0]).double().view(-1, *(1,) * (d - 1))
    curve = torch.zeros_like(shear)
    curve[:, 0] = index**2  # second derivative 2 in one component
    assert float(losses.bending(curve)) == pytest.approx(4 / d)
    twist = torch.zeros_like(shear)
    twist[:, 0] = index * torch.arange(shape[-1])  # mixed derivative 1, counted twice
    assert float(losses.bending(twist)) == pytest.approx(2 / d)


def test_dice_ignores_labels_that_neither_image_has():
    first = torch.zeros(1, 3, 8, 8)
    first[0, 0, :4], first[0, 1, 4:] = 1, 1
    second = first.roll(2, 2)
    assert float(losses.dice(first, first)) == pytest.approx(0, abs=1e-6)
    assert float(losses.dice(first, second)) == pytest.approx(0.5)
    assert float(losses.dice(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8))) == 1


def test_end_points_are_compared_in_pixels_where_the_weight_is_positive():
    truth = torch.zeros(2, 2, 6, 6)
    field = torch.zeros(2, 2, 6, 6)
    field[:, 0, :3], field[:, 1, :3] = 3, 4
    assert float(losses.endpoint_error(field, truth)) == pytest.approx(2.5, abs=1e-5)
    weight = torch.zeros(2, 1, 6, 6)
    weight[:, :, :2] = 0.5
    assert float(losses.endpoint_error(field, truth, weight)) == pytest.approx(5, abs=1e-5)


def test_edge_aware_loss_counts_intensity_edges_and_slope():
    image = _scene((20, 20), 1)
    still = torch.zeros(1, 2, 20, 20)
    brighter = image + 10 / 255
    least = 1e-3  # Charbonnier's norm of nothing
    assert float(losses.edge_aware(image, image, still)) == pytest.approx(23 * least, rel=0.01)
    assert float(losses.edge_aware(image, brighter, still)) == pytest.approx(10 + 22 * least, rel=0.01)
    slope = still.clone()
    slope[:, 0] = torch.arange(20.0)[:, None]
    more = losses.edge_aware(image, image, slope) - losses.edge_aware(image, image, still)
    assert float(more) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 3)])
def test_kl_is_that_of_normal_distributions_up_to_a_constant(shape):
    average, log_variance = _field(shape, 1, 0)[0], 0.3 * _field(shape, 1, 1)[0]
    count, prior = int(np.prod(shape)), 25.0
    index = np.arange(count).reshape(shape)
    laplacian = np.zeros((count, count))
    for axis in range(len(shape)):
        low, high = (np.delete(index, k, axis).ravel() for k in (-1, 0))
        for i, j in zip(low, high, strict=True):
            laplacian[[i, j], [i, j]] += 1
            laplacian[i, j] -= 1
            laplacian[j, i] -= 1
    total = 0.0
    for mu, log_var in zip(average.flatten(1).numpy(), log_variance.flatten(1).numpy(), strict=True):
        precision = prior * laplacian
        total += np.trace(precision @ np.diag(np.exp(log_var))) - log_var.sum() + mu @ precision @ mu
    assert float(losses.kl(average[None], log_variance[None])) == pytest.approx(total / 2 / count)


def test_affine_symmetry_and_deviation_are_zero_only_where_they_should_be():
    forward = affines.identities(2, 2, torch.zeros(1).double()) + 0.1 * _field((3,), 1)[0, 0, 0]
    forward = forward.clone()
    forward[:, :, 2] = 4.0
    shape = (41, 31)
    assert float(losses.affine_symmetry(forward, affines.invert(forward), shape)) == pytest.approx(
        0, abs=1e-12
    )
    translation = affines.identities(1, 2, forward).clone()
    translation[:, 0, 2] = 10.0  # half of half the longest side
    assert float(losses.affine_deviation(translation, shape)) == pytest.approx(0.25)
    assert float(losses.affine_symmetry(translation, translation, shape)) == pytest.approx(1.0)
    assert losses.affine_weight(0) == pytest.approx(30 / (3 + np.exp(-10 / 3)))
    assert losses.affine_weight(60) == losses.affine_weight(10**6) == 1e-3


def test_map_symmetry_is_zero_for_inverse_maps_and_points_outside_the_image_do_not_count():
    forward = torch.zeros(1, 2, 21, 41)
    forward[:, 1] = 4.0
    assert float(losses.map_symmetry(forward, -forward)) == pytest.approx(0, abs=1e-12)
    assert float(losses.map_symmetry(forward, torch.zeros_like(forward))) == pytest.approx(0.01)
    backward = -forward.clone()
    spoiled = forward.clone()
    spoiled[:, :, :5] += 100.0  # far outside, where the backward displacement is unknown
    assert float(losses.map_symmetry(spoiled, backward)) == pytest.approx(0, abs=1e-9)


def _disc(image):
    """An image with a black surround."""
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in image.shape[2:]], indexing="ij")
    return (0.1 + 0.9 * image) * (rows**2 + columns**2 < 0.8)


def test_pixels_that_are_black_in_either_image_or_out_of_view_do_not_count():
    image = _disc(_scene((48, 48), 1))
    still = torch.zeros(1, 2, 48, 48)
    assert float(losses.overlap_ncc(image, image, still)) == pytest.approx(0, abs=1e-3)
    cut = image.clone()
    cut[..., :14] = 0  # a black band, more than half still overlaps
    assert float(losses.overlap_ncc(image, cut, still)) == pytest.approx(0, abs=1e-3)
    assert float(losses.overlap_ncc(cut, image, still)) == pytest.approx(0, abs=1e-3)
    assert float(losses.ncc(image, cut)) > 0.1
    # Outside the moving image its border would be repeated.
    full = 0.1 + 0.9 * _scene((48, 48), 1)
    displacement = still.clone()
    displacement[:, 0] = 12.0
    fixed = warp_batch(full, displacement)
    assert float(losses.overlap_ncc(fixed, full, displacement)) == pytest.approx(0, abs=1e-3)
    fixed[:, :, -10:] = 0.9
    assert float(losses.overlap_ncc(fixed, full, displacement)) == pytest.approx(0, abs=1e-3)


def test_moving_the_image_out_of_view_does_not_lower_the_loss():
    """Unrelated images: a narrow overlap correlates by chance, and must not win."""
    fixed, moving = (0.1 + 0.9 * _scene((48, 48), 1, seed) for seed in (0, 1))
    middle = float(losses.overlap_ncc(fixed, moving, torch.zeros(1, 2, 48, 48)))
    reach = [-60.0, -46.0, -44.0, -40.0, -34.0, 34.0, 40.0, 44.0, 46.0, 60.0]
    for translation in torch.cartesian_prod(torch.tensor(reach), torch.tensor(reach)):
        away = translation.view(1, 2, 1, 1).expand(1, 2, 48, 48)
        hidden = float(losses.overlap_ncc(fixed, moving, away))
        assert hidden > 0.8  # at most 14^2 of 48^2 pixels overlap
        if float(translation.abs().max()) > 48:
            assert hidden == 1
    assert 0.6 < middle < 1.4
    assert float(losses.overlap_ncc(torch.zeros_like(fixed), moving, torch.zeros(1, 2, 48, 48))) == 1


def test_an_stn_does_not_learn_to_move_the_image_out_of_view():
    """Unrelated images: the minimum of the loss must not be an empty overlap."""
    torch.manual_seed(0)
    fixed, moving = (_disc(_scene((48, 48), 4, seed)) for seed in (0, 1))
    net = STN(2, width=4)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        cost = losses.overlap_ncc(fixed, moving, net(fixed, moving).displacement)
        optimiser.zero_grad()
        cost.backward()
        optimiser.step()
    with torch.no_grad():
        field = net(fixed, moving).displacement
        overlap = (warp_batch((moving > 0.02).float(), field) * losses.inside(field) * (fixed > 0.02)).sum()
    assert float(overlap / (fixed > 0.02).sum()) > 0.4
