"""The shipped weights: each registers the pairs it was trained for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_voxreg import Grid, Image
from napari_voxreg.images.task import Task
from napari_voxreg.nets.checkpoints.checkpoint import open_checkpoint, shipped, shipped_names
from napari_voxreg.nets.inference.predict import predict
from napari_voxreg.tensor import affine as affines
from napari_voxreg.train.synthetic.recipes import FAR, RECIPES
from napari_voxreg.train.synthetic.score import score, unseen
from napari_voxreg.train.synthetic.synthetic_pairs import Motion
from napari_voxreg.transforms import displacement_on

AFFINE = ("affine2d", "affine3d")
QUICK = ("pyramid2d", "voxelmorph2d")  # most processors compute bfloat16 slowly


def test_they_are_those_of_the_recipes_and_take_less_than_40_megabytes() -> None:
    recipes = {recipe.name.removesuffix("-begun") for recipe in RECIPES.values()}
    assert set(shipped_names()) == recipes - {"pyramid2d-near"}  # which others began with
    assert sum(shipped(name).stat().st_size for name in shipped_names()) < 40e6


def test_most_unrelated_images_are_left_in_place() -> None:
    net = open_checkpoint(shipped("affine2d")).net.eval()
    fixed, moving = (unseen(16, (128, 128), Motion(), seed=seed, batch=16)[0].fixed for seed in (1, 2))
    with torch.inference_mode():
        moved = net(fixed, moving).displacement.flatten(1).abs().amax(1) > 0
    assert int(moved.sum()) <= 4


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name.startswith("pyramid2d") else pytest.mark.slow)
        for name in shipped_names()
        if name not in AFFINE
    ],
)
def test_the_error_on_unseen_pairs_falls_by_a_third_and_there_is_hardly_any_folding(name: str) -> None:
    recipe, net = RECIPES[name], open_checkpoint(shipped(name)).net
    count = 24 if net.ndim == 2 else 4
    found = score(net, unseen(count, recipe.shape, recipe.motion, seed=5, batch=4))
    assert found.after < 0.65 * found.before
    assert found.folds < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["affine2d", "affine3d"])
def test_seven_passes_align_pairs_with_large_motion(name: str) -> None:
    net = open_checkpoint(shipped(name)).net
    shape, count = ((96, 96), 16) if net.ndim == 2 else ((48, 48, 48), 4)
    grid, near = Grid.from_spacing(shape), 0
    for batch in unseen(count, shape, FAR, seed=5, batch=1):
        fixed, moving = (Image(x[0, 0].numpy(), grid) for x in (batch.fixed, batch.moving))
        found = displacement_on(predict(Task(fixed, moving, device="cpu"), net, steps=7).transform, grid)
        truth = affines.displacement(batch.affine, shape)[0].movedim(0, -1).numpy()
        near += float(np.linalg.norm(found - truth, axis=-1).mean()) < 0.03 * grid.diagonal
    assert near >= 0.75 * count


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=[] if x in QUICK else [pytest.mark.slow], id=x) for x in shipped_names()],
)
def test_bfloat16_gives_nearly_the_same_field_and_repeating_gives_the_same(name: str) -> None:
    recipe, net = RECIPES[name], open_checkpoint(shipped(name)).net
    (batch,) = unseen(2, recipe.shape, recipe.motion.times(0.5), batch=2)
    with torch.inference_mode():
        exact = net(batch.fixed, batch.moving).displacement
        assert torch.equal(exact, net(batch.fixed, batch.moving).displacement)
        with torch.autocast("cpu", torch.bfloat16):
            quick = net(batch.fixed, batch.moving).displacement
    assert quick.dtype == torch.float32
    assert float((exact - quick).norm(dim=1).mean()) < 0.05
