"""Large images are registered on a coarse level and refined by blocks, without folding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import (
    Affine,
    BSpline,
    Cancelled,
    Composite,
    Displacement,
    Grid,
    Image,
    load_transform,
    save_transform,
    warp,
)
from napari_voxreg.large import image, open_large, refine, register_large
from napari_voxreg.large.control import Control, control_grid, is_small
from napari_voxreg.metrics.similarity import folded_percentage
from napari_voxreg.registration.pair_transform import open_transform
from napari_voxreg.transforms.fields import jacobian_determinant

SIDE = 520


@pytest.fixture(autouse=True)
def small_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pyramids down to 300 pixels, so that the images of the tests have two levels."""
    monkeypatch.setattr(image, "SIDES", {2: 300, 3: 128})


def textured(side: int, seed: int = 0) -> np.ndarray:
    """Structure of every size."""
    from scipy.ndimage import gaussian_filter, zoom

    rng = np.random.default_rng(seed)
    found = np.zeros((side, side), np.float32)
    for step in (1, 4, 16):
        noise = gaussian_filter(rng.standard_normal((side // step + 8,) * 2), 1.5)
        found += (step**0.5 * zoom(noise, step, order=1)[:side, :side]).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def pair() -> tuple[Image, Image, Displacement]:
    """A fixed and a moving image of half a micrometre, and the smooth deformation between them."""
    grid = Grid.from_spacing((SIDE, SIDE), 0.5, (3.0, -7.0), units="micrometer")
    coarse = Grid.from_spacing((7, 7), 70.0, -80.0, units="micrometer")
    truth = BSpline(np.random.default_rng(1).normal(0, 6, (2, 7, 7)), coarse)
    moving = Image(textured(SIDE), grid, "moving")
    return warp(moving, truth, grid, fill=None), moving, truth


def errors(found, truth, grid: Grid) -> np.ndarray:
    """Distances in pixels of full resolution, away from the edges."""
    points = grid.coarsened(20).nodes()
    index = grid.to_index(points)
    points = points[np.all((index > 60) & (index < SIDE - 60), axis=1)]
    return np.linalg.norm(found(points) - truth(points), axis=1) / grid.spacing[0]


def test_a_coarse_level_gives_full_resolution(pair, tmp_path: Path) -> None:
    fixed, moving, truth = pair
    result = register_large(fixed, moving, method="diffeo", memory=2e7)
    assert any("level 1, 260 x 260 pixels of 1 µm" in note for note in result.notes)
    assert result.verdict.outcome == "better"
    found = errors(result.transform, truth, fixed.grid)
    assert np.median(found) <= 0.3
    assert np.percentile(found, 95) <= 1
    assert result.fixed.same_as(fixed.grid)
    saved = result.save(tmp_path / "result")
    assert saved.stat().st_size < 500_000  # a field of all pixels has 4 MB
    points = fixed.grid.coarsened(97).nodes()
    np.testing.assert_array_equal(load_transform(saved)(points), result.transform(points))


@pytest.mark.slow
def test_blocks_refine_what_a_coarse_level_left(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving, truth = pair
    monkeypatch.setattr(refine, "BLOCKS", {2: 300})
    result = register_large(fixed, moving, method="by hand", memory=2e7, refine=0)
    found = errors(result.transform, truth, fixed.grid)
    assert np.median(errors(Affine.identity(2), truth, fixed.grid)) > 4
    assert np.median(found) <= 0.3
    assert np.percentile(found, 95) <= 1
    assert "On level 0, 4 of 4 blocks improved the match; the others kept it." in result.notes
    assert result.verdict.outcome == "better"
    assert result.after.folded == 0


def test_unrelated_blocks_are_rejected(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, _, _ = pair
    monkeypatch.setattr(refine, "BLOCKS", {2: 1000})
    small = Image(fixed.data[:400, :400], Grid.from_spacing((400, 400)))
    other = Image(textured(400, seed=7), small.grid)
    options = refine.Options(None, 0, "cpu")
    found, note = refine.refined(
        Affine.identity(2), open_large(small), open_large(other), 0, options, lambda *_: None
    )
    assert isinstance(found, Affine)
    assert note == "On level 0, 0 of 1 blocks improved the match; the others kept it."


def blended(shape: tuple[int, int], displacement) -> tuple[np.ndarray, Grid]:
    """The field of blocks, in each of which `displacement(number)` was found."""
    level = Grid.from_spacing(shape)
    control = control_grid(level, level)
    blend = refine._Blend(control, level)
    for k, box in enumerate(refine.overlapping(shape)):
        blend.add(box, displacement(k))
    return blend.field, control


def test_blocks_that_agree_are_blended_without_a_trace() -> None:
    field, _ = blended((1700, 1000), lambda k: Affine.translation([3.0, -2.0]))
    np.testing.assert_allclose(field, np.broadcast_to([3.0, -2.0], field.shape), atol=1e-9)


def test_a_rejected_block_fades_smoothly() -> None:
    field, control = blended((1700, 700), lambda k: None if k == 1 else Affine.translation([3.0, 0.0]))
    middle = field[:, field.shape[1] // 2, 0]
    assert middle.min() < 0.01
    assert middle.max() > 2.99
    overlap = refine.OVERLAP * refine.BLOCKS[2]
    assert np.abs(np.diff(middle)).max() < 2 * 3.0 * control.spacing[0] / overlap  # steepest of a smooth step


def test_blocks_cover_the_image_and_overlap() -> None:
    for shape in ((700, 2000), (96, 200, 300)):
        count = np.zeros(shape, int)
        for box in refine.overlapping(shape):
            count[box] += 1
        assert count.min() >= 1
        assert count.max() > 1


def test_folding_across_blocks_is_smoothed() -> None:
    level = Grid.from_spacing((400, 400))
    control = control_grid(level, level)
    nodes = control.nodes().reshape(*control.shape, 2)
    field = np.zeros_like(nodes)
    field[..., 0] = np.where(nodes[..., 0] < 200, 40.0, -40.0)  # two blocks that contradict each other
    field[..., 1] = 2.0
    base = Control.of(Affine.translation([1.0, 2.0]), control, level)
    assert jacobian_determinant(base.after(field).field, control).min() < 0
    found, smoothed = base.unfolded_after(field)
    assert smoothed
    assert folded_percentage(found.transform, level) == 0
    far = np.abs(nodes[..., 0] - 200) > 150
    np.testing.assert_allclose(found.field[far], field[far], atol=1e-2)  # elsewhere nothing is lost


def test_displacements_that_do_not_fold_are_kept() -> None:
    level = Grid.from_spacing((400, 400))
    control = control_grid(level, level)
    nodes = control.nodes().reshape(*control.shape, 2)
    field = 10 * np.sin(nodes / 60)
    found, smoothed = Control.of(Affine.identity(2), control, level).unfolded_after(field)
    assert not smoothed
    np.testing.assert_allclose(found.field, field, atol=1e-12)


def test_control_points_hold_a_smooth_map_up_to_the_edges(pair) -> None:
    fixed, _, truth = pair
    level = open_large(fixed).levels[1].grid
    found = Control.of(truth, control_grid(fixed.grid, level), level).transform
    points = fixed.grid.coarsened(7).nodes()
    assert np.linalg.norm(found(points) - truth(points), axis=1).max() < 0.1  # micrometres
    assert isinstance(found, Composite)


def test_what_is_small_is_kept_as_it_is(pair) -> None:
    *_, truth = pair
    assert is_small(truth)
    assert is_small(Composite((Affine.identity(2), truth)))
    assert not is_small(Displacement(np.zeros((7, 7, 2)), truth.grid))


def test_a_level_that_is_not_there_is_refused(pair) -> None:
    fixed, moving, _ = pair
    with pytest.raises(ValueError, match=r"The level cannot be 5; .* has the levels 0 to 1"):
        register_large(fixed, moving, level=5)
    with pytest.raises(ValueError, match=r"The level to refine cannot be -1"):
        register_large(fixed, moving, refine=-1)


def test_refining_can_be_cancelled(pair) -> None:
    fixed, moving, _ = pair

    def stop(fraction: float | None, message: str, metric: float | None = None) -> None:
        if "block 1" in message:
            raise Cancelled

    with pytest.raises(Cancelled):
        register_large(fixed, moving, method="by hand", memory=2e7, refine=0, progress=stop)


def test_transforms_of_huge_images_are_saved_and_loaded(tmp_path: Path) -> None:
    huge = Grid.from_spacing((100_000, 120_000), 0.25, units="micrometer")
    level = Grid.from_spacing((390, 468), 64.0, 31.9, units="micrometer")
    truth = Control.of(Affine.translation([3.0, 4.0]), control_grid(huge, level), level)
    field = np.random.default_rng(0).normal(0, 1, truth.field.shape)
    transform = truth.after(field).transform
    saved = save_transform(transform, tmp_path / "transform.h5", huge)
    found = open_transform(saved)
    assert found.fixed is not None
    assert found.fixed.same_as(huge)
    points = level.coarsened(31).nodes()
    np.testing.assert_array_equal(found.transform(points), transform(points))
