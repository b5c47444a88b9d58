"""Single slices in any orientation register as well as axial ones, with transforms of the whole world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from napari_voxreg import (
    METHODS,
    Affine,
    Grid,
    Image,
    compare,
    evaluate,
    load_result,
    load_transform,
    register,
    warp,
)
from napari_voxreg.io.pairs import Pair
from napari_voxreg.registration.prepare import prepare

SHAPE = (90, 100)
# Columns: the world's (z, y, x) direction of plane, row and column.
AXES = {
    "axial": np.eye(3),
    "sagittal": np.array([[0, -1, 0], [0, 0, 1], [1, 0, 0.0]]),
    "coronal": np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]),
    "flipped": np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0.0]]),
    "oblique": Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix(),
    "halfway": Rotation.from_rotvec([0, np.pi / 4, 0]).as_matrix(),
}


def scene(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.standard_normal((130, 140)), s) * s for s in (1.5, 3, 6)]
    return (100 * sum(layers)).astype("f4")


def slices(name: str, thin: int = 0, lift: float = 0.0) -> tuple[Image, Image, Affine]:
    """Two slices in the world and the motion between them, the moving one `lift` off the plane."""
    plane = Grid.from_spacing(SHAPE, 0.8, units="millimeter")
    angle = np.deg2rad(4)
    motion = np.eye(3)
    motion[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    motion[:2, 2] = plane.centre - motion[:2, :2] @ plane.centre + [2.1, -1.7]
    big = Image(scene(), Grid.from_spacing((130, 140), 0.8, -16.0, units="millimeter"))
    fixed, moving = warp(big, None, plane).data, warp(big, Affine(motion).inverse(plane), plane).data
    affine = np.eye(4)
    affine[:3, :3] = AXES[name] * [3, 0.8, 0.8]
    affine[:3, 3] = [10, 20, 30]
    inside = np.eye(4)
    inside[1:3, 1:3], inside[1:3, 2 + 1] = motion[:2, :2], motion[:2, 2]
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = AXES[name], [10, 20, 30]
    away = np.eye(4)
    away[:3, 3] = lift * AXES[name][:, 0]
    truth = Affine(away @ frame @ inside @ np.linalg.inv(frame))
    order = np.insert([1, 2], thin, 0)
    grid = Grid(tuple(np.insert(SHAPE, thin, 1)), affine[:, [*order, 3]], ("millimeter",) * 3)
    images = [Image(np.expand_dims(data, thin), grid) for data in (fixed, moving)]
    return images[0], images[1].with_grid(grid.moved(away)), truth


def points(image: Image) -> np.ndarray:
    """World points in the middle of a slice."""
    index = np.random.default_rng(1).uniform(15, 75, (50, 3))
    index[:, image.grid.thin_axes()[0]] = 0
    return image.grid.to_world(index)


@pytest.mark.parametrize("thin", [0, 1, 2])
@pytest.mark.parametrize("name", [name for name in AXES if name != "axial"])
def test_a_slice_in_any_orientation_is_registered(name: str, thin: int) -> None:
    fixed, moving, truth = slices(name, thin, lift=5.0)
    result = register(fixed, moving, method="rigid")
    where = points(fixed)
    if result.transform.ndim == 3:  # else the array's axes are the world's, and one is dropped
        error = np.linalg.norm(result.transform(where) - truth(where), axis=1)
        assert error.mean() < 0.05
        assert result.fixed.same_as(fixed.grid) and result.moving.same_as(moving.grid)
    assert result.verdict.outcome == "better"
    shown = warp(moving, result.transform, fixed.grid).data
    inner = np.squeeze(np.abs(shown - fixed.data))[15:75, 15:75]
    assert inner.mean() < 0.05 * np.ptp(fixed.data)


def test_axial_slices_lose_their_axis_as_before() -> None:
    fixed, moving, truth = slices("axial")
    result = register(fixed, moving, method="rigid")
    where = points(fixed)
    assert result.transform.ndim == 2 and result.fixed.shape == SHAPE
    error = np.linalg.norm(result.transform(where[:, 1:]) - truth(where)[:, 1:], axis=1)
    assert error.mean() < 0.05


@pytest.mark.parametrize("method", ["diffeo", "demons", "bspline"])
@pytest.mark.parametrize("name", ["sagittal", "oblique"])
def test_what_deforms_is_saved_as_it_was_shown(name: str, method: str, tmp_path: Path) -> None:
    fixed, moving, truth = slices(name, lift=2.0)
    result = register(fixed, moving, method=method, initial=truth)
    where = points(fixed)
    assert np.linalg.norm(result.transform(where) - truth(where), axis=1).mean() < 0.4
    shown = warp(moving, result.transform, fixed.grid).data
    assert np.array_equal(result.warped.data, shown) and shown.any()
    saved = result.save(tmp_path)
    assert np.array_equal(warp(moving, load_transform(saved), fixed.grid).data, shown)
    assert load_result(tmp_path).fixed.same_as(fixed.grid)


def test_an_earlier_result_goes_on_and_landmarks_lie_in_the_world() -> None:
    fixed, moving, truth = slices("oblique", lift=2.0)
    where = points(fixed)
    first = register(fixed, moving, method="rigid", landmarks=(where, truth(where)))
    assert first.after.landmark_error == pytest.approx(0, abs=0.05)
    assert first.before.landmark_error > 1
    second = register(fixed, moving, method="translation", initial=first)
    assert np.linalg.norm(second.transform(where) - truth(where), axis=1).mean() < 0.1


def test_masks_on_slices_count() -> None:
    fixed, moving, _ = slices("sagittal")
    mask = np.zeros(fixed.grid.shape, bool)
    mask[:, 30:60] = True
    task = prepare(fixed, moving, fixed_mask=mask).task
    assert task.fixed.grid.shape == SHAPE
    assert np.array_equal(task.fixed_mask.data, mask[0])


def test_comparing_and_evaluating_slices() -> None:
    fixed, moving, _ = slices("sagittal")
    rows = compare(fixed, moving, methods=["rigid"])
    assert not rows[1].failure and rows[1].lncc > rows[0].lncc + 0.2
    row = evaluate([Pair("a", fixed, moving)], method="rigid").rows[0]
    assert row.outcome == "better", row.sentence
    flat = evaluate([Pair("a", *slices("axial")[:2])], method="rigid").rows[0]
    assert row.after["ssim_common"] == pytest.approx(flat.after["ssim_common"], abs=0.01)


@pytest.mark.slow
@pytest.mark.skipif("elastix" not in METHODS, reason="needs elastix")
def test_elastix_registers_a_sagittal_slice() -> None:
    fixed, moving, truth = slices("sagittal")
    result = register(fixed, moving, method="elastix", preset="rigid")
    where = points(fixed)
    assert np.linalg.norm(result.transform(where) - truth(where), axis=1).mean() < 0.1


def test_parallel_slices_have_the_same_places() -> None:
    for name in AXES:
        fixed, moving, _ = slices(name, lift=7.0)
        first, second = (image.grid.without(image.grid.thin_axes()) for image in (fixed, moving))
        assert first.same_as(second), name
        assert first.spacing == pytest.approx([0.8, 0.8])
        where = points(fixed)
        assert fixed.grid.flat_points(where) == pytest.approx(moving.grid.flat_points(where))
