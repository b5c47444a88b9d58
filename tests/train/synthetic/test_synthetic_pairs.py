"""Synthetic pairs: the known map really joins the images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_voxreg.tensor import affine as affines
from napari_voxreg.tensor.warp import warp_batch
from napari_voxreg.train.synthetic.noise import smooth_noise
from napari_voxreg.train.synthetic.recipes import FAR
from napari_voxreg.train.synthetic.scenes import Objects
from napari_voxreg.train.synthetic.synthetic_pairs import Batch, Motion, make_batch, warp_at

SHAPES = {2: (72, 88), 3: (32, 28, 36)}


def _batch(ndim: int, motion: Motion | None = None, seed: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return make_batch(4, SHAPES[ndim], Motion() if motion is None else motion, generator)


def _agreement(batch: Batch, displacement: Tensor) -> float:
    """Part of the pixels whose label is that of the moving image at x + u(x)."""
    shape = tuple(batch.fixed.shape[2:])
    here = torch.stack(torch.meshgrid(*[torch.arange(n) for n in shape], indexing="ij"))[None].float()
    # A label counts as shown where linear interpolation gives it most of the weight.
    shown = torch.zeros_like(batch.fixed)
    for label in range(int(batch.labels[0].max()) + 1):
        there = warp_at((batch.labels[1] == label).float(), here + displacement)
        shown += (there > 0.5) * (batch.labels[0] == label)
    return float((shown * batch.seen).sum() / batch.seen.sum())


@pytest.mark.parametrize("ndim", (2, 3))
@pytest.mark.parametrize("motion", (Motion(), FAR), ids=("near", "far"))
def test_the_known_map_joins_what_both_images_show(ndim: int, motion: Motion) -> None:
    batch = _batch(ndim, motion)
    still = _agreement(batch, torch.zeros_like(batch.displacement))
    # What is left lies on the borders between labels, narrower than a pixel.
    assert 1 - _agreement(batch, batch.displacement) < min(0.2, 0.5 * (1 - still))


@pytest.mark.parametrize("ndim", (2, 3))
def test_the_affine_part_is_most_of_a_far_motion(ndim: int) -> None:
    batch = _batch(ndim, FAR)
    affine = affines.displacement(batch.affine, SHAPES[ndim])
    rest = (affine - batch.displacement).norm(dim=1).mean()
    assert rest < 0.2 * batch.displacement.norm(dim=1).mean()


def test_images_are_in_range_and_differ_in_contrast() -> None:
    batch = _batch(2)
    for image in (batch.fixed, batch.moving):
        assert image.shape == (4, 1, *SHAPES[2])
        assert image.dtype == torch.float32
        assert float(image.min()) == 0
        assert float(image.max()) == 1
    assert batch.fixed.std() > 0.05


def test_the_same_state_gives_the_same_pairs_and_another_gives_others() -> None:
    one, same, other = _batch(2), _batch(2), _batch(2, seed=4)
    assert torch.equal(one.fixed, same.fixed)
    assert torch.equal(one.displacement, same.displacement)
    assert not torch.equal(one.fixed, other.fixed)


def test_motion_grows_with_its_factor() -> None:
    small, large = (_batch(2, Motion().times(f)).displacement.norm(dim=1).mean() for f in (0.3, 1.0))
    assert small < 0.6 * large


@pytest.mark.parametrize("scale", (2.0, 7.5, 40.0))
def test_noise_is_as_smooth_as_asked(scale: float) -> None:
    field = smooth_noise(2, 3, (64, 80), scale, torch.Generator().manual_seed(0))
    assert field.shape == (2, 3, 64, 80)
    assert float(field.std()) == pytest.approx(1)
    assert float(field.diff(dim=-1).pow(2).mean().sqrt()) < 2.0 / scale


def test_images_that_are_alike_differ_where_only_one_shows_an_object() -> None:
    generator = torch.Generator().manual_seed(3)
    objects = Objects(chance=0.7, largest=0.25)
    batch = make_batch(8, (72, 88), Motion(), generator, objects, alike=True)
    difference = (batch.fixed - warp_batch(batch.moving, batch.displacement)).abs()
    matched = batch.seen * (1 - batch.unmatched)
    assert 0.05 < float(batch.unmatched.mean()) < 0.4
    unlike = float((difference * batch.unmatched).sum() / batch.unmatched.sum())
    assert float((difference * matched).sum() / matched.sum()) < 0.05 < 0.15 < unlike
    assert 0 <= float(batch.fixed.min()) <= float(batch.fixed.max()) <= 1


def test_without_objects_everything_is_matched() -> None:
    for alike in (False, True):
        generator = torch.Generator().manual_seed(3)
        batch = make_batch(2, (40, 40), Motion(), generator, Objects(chance=0.0), alike=alike)
        assert not batch.unmatched.any()
