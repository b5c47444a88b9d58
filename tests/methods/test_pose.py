"""The pose search on awkward, poor and wrong input: a right pose or none, never nonsense."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, zoom

from napari_voxreg import Affine, Grid, Image, register, warp
from napari_voxreg.core.geometry import Array
from napari_voxreg.core.progress import silent
from napari_voxreg.methods import pose
from napari_voxreg.pose import Pose
from napari_voxreg.registration.prepare import prepare
from napari_voxreg.transforms import Transform

SIZE = 160


@pytest.fixture(autouse=True)
def one_thread():
    """Many small tensors gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def find(fixed, moving, landmarks=None) -> Pose:
    """What `register` does before it measures, without a child process."""
    task = prepare(fixed, moving, landmarks=landmarks, device="cpu").task
    return pose.find(task, "auto", silent)


@cache
def scene(seed: int) -> Image:
    """Curved lines and blobs, larger than the images taken of it."""
    rng = np.random.default_rng(seed)
    shape = (460, 460)
    lines = np.exp(-((gaussian_filter(rng.normal(size=shape), 9) / 0.006) ** 2))
    smooth, fine = (gaussian_filter(rng.normal(size=shape), sigma) for sigma in (12, 2))
    data = smooth / smooth.std() + 2 * lines + 0.5 * fine / fine.std()
    return Image(data.astype(np.float32), Grid.from_spacing(shape, 1.0, -150.0))


def rotated(angle: float, scale: float, translation: tuple[float, float], size: int = SIZE) -> Affine:
    a = np.deg2rad(angle)
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    centre = np.full(2, (size - 1) / 2)
    matrix[:2, 2] = centre + translation - matrix[:2, :2] @ centre
    return Affine(matrix)


TRUTH = rotated(25.0, 1.1, (6.0, -9.0))


def pair(truth: Affine = TRUTH, size: int = SIZE, seed: int = 1) -> tuple[Image, Image]:
    """The scene, and the scene moved, in other contrast and with noise."""
    grid = Grid.from_spacing((size, size))
    moving = warp(scene(seed), truth.inverse(), grid)
    noise = 0.1 * np.random.default_rng(seed).normal(size=grid.shape)
    return warp(scene(seed), None, grid), moving.with_data((np.exp(-0.4 * moving.data) + noise).astype("f4"))


def error(found: Transform, truth: Transform, fixed: Grid, moving: Grid) -> float:
    """Mean distance in world units where both images show something."""
    points = fixed.coarsened([max(1, n // 15) for n in fixed.shape]).nodes()
    points = points[moving.contains(truth(points))]
    return float(np.linalg.norm(found(points) - truth(points), axis=1).mean())


def stays(pose: Pose) -> bool:
    """Whether the images keep their current positions."""
    return isinstance(pose.transform, Affine) and bool(
        np.array_equal(pose.transform.matrix, np.eye(pose.transform.ndim + 1))
    )


def noisy(data: Array, seed: int = 0) -> Array:
    return (data + 0.03 * data.std() * np.random.default_rng(seed).normal(size=data.shape)).astype(np.float32)


class TestSizes:
    def test_sixty_four_pixels(self):
        truth = rotated(-20.0, 0.9, (3.0, -4.0), 64)
        fixed, moving = pair(truth, 64)
        assert error(find(fixed, moving).transform, truth, fixed.grid, moving.grid) < 0.4

    @pytest.mark.timeout(60)
    @pytest.mark.slow
    def test_thousands_of_pixels(self):
        fixed, moving = pair()
        block = np.ones((19, 19), np.uint8)
        low, high = moving.data.min(), moving.data.max()
        large = np.kron((255 * (moving.data - low) / (high - low)).astype(np.uint8), block)
        assert large.shape == (3040, 3040)
        fine = Affine(np.array([[19, 0, 9], [0, 19, 9], [0, 0, 1.0]]))
        truth = Affine(fine.matrix @ TRUTH.matrix)
        pose = find(fixed, large)
        assert error(pose.transform, truth, fixed.grid, Grid.from_spacing(large.shape)) < 0.4 * 19

    @pytest.mark.slow
    def test_pixels_ten_times_as_long_as_wide(self):
        grid = Grid.from_spacing((30, 300), (10.0, 1.0))
        truth = rotated(10.0, 1.0, (4.0, 5.0), 300)
        moving = warp(scene(1), truth.inverse(), grid)
        fixed = warp(scene(1), None, grid)
        pose = find(fixed, moving.with_data(np.exp(-0.4 * moving.data)))
        assert pose.reliable
        assert error(pose.transform, truth, grid, grid) < 1.5

    @pytest.mark.slow
    def test_a_small_part_of_the_other_image(self):
        whole = scene(3).data[80:380, 80:380]
        part = np.exp(-0.4 * whole[60:245, 100:285])
        assert 0.35 < part.size / whole.size < 0.4
        pose = find(whole, part)
        truth = Affine.translation([-60.0, -100.0])
        assert pose.reliable
        assert (
            error(pose.transform, truth, Grid.from_spacing(whole.shape), Grid.from_spacing(part.shape)) < 0.3
        )

    @pytest.mark.slow
    def test_a_third_in_common(self):
        truth = Affine(rotated(15.0, 1.05, (0.0, 0.0)).matrix @ Affine.translation([0.0, 100.0]).matrix)
        fixed, moving = pair(truth, seed=21)
        assert 0.3 < moving.grid.contains(truth(fixed.grid.nodes())).mean() < 0.37
        pose = find(fixed, moving)
        assert error(pose.transform, truth, fixed.grid, moving.grid) < 0.4
        assert any("overlaps" in note for note in pose.notes)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda x: (30000 + 200 * x).astype(np.uint16), marks=pytest.mark.slow, id="uint16"),
        pytest.param(lambda x: -1000 - 50 * x, marks=pytest.mark.slow, id="negative"),
        pytest.param(lambda x: 1 + 1e-6 * x.astype(np.float64), id="tiny"),
        pytest.param(lambda x: 1 - x, id="inverted"),
    ],
)
def test_any_intensities(changed):
    fixed, moving = pair()
    low, high = fixed.data.min(), fixed.data.max()
    pose = find(changed((fixed.data - low) / (high - low)), moving)
    assert error(pose.transform, TRUTH, fixed.grid, moving.grid) < 0.3


@pytest.mark.slow
def test_images_far_apart_are_found_through_register():
    fixed, moving = pair()
    away = Affine.translation([1e5, -3e5])
    result = register(fixed, moving.with_grid(moving.grid.moved(away.matrix)), method="pose")
    truth = Affine(away.matrix @ TRUTH.matrix)
    assert error(result.transform, truth, fixed.grid, result.moving) < 0.3


@pytest.mark.slow
def test_landmarks_lead_where_the_search_does_not_reach():
    # Three times as large: beyond all scales that are searched.
    fixed, _ = pair()
    truth = rotated(40.0, 3.0, (0.0, 0.0))
    grid = Grid.from_spacing((480, 480), 1.0, -160.0)
    fixed = fixed.with_grid(Grid.from_spacing(fixed.grid.shape, units="millimeter"))
    moving = warp(scene(1), truth.inverse(), grid)
    moving = moving.with_grid(Grid(grid.shape, grid.affine, fixed.grid.units))
    clicked = np.array([[20.0, 30], [130, 40], [70, 140], [50, 60]])
    slips = np.array([[4.0, -3], [-5, 2], [3, 4], [-2, -4]])
    pose = find(fixed, moving, landmarks=(clicked, truth(clicked) + slips))
    assert error(pose.transform, truth, fixed.grid, grid) < 0.9
    assert error(find(fixed, moving).transform, truth, fixed.grid, grid) > 20


class TestNothingToGoBy:
    @pytest.mark.parametrize(
        "what",
        [
            pytest.param("gradient", marks=pytest.mark.slow),
            pytest.param("disc", marks=pytest.mark.slow),
            "edge",
        ],
    )
    def test_no_texture(self, what):
        row, column = np.indices((200, 200)).astype(float)
        fixed, moving = {
            "gradient": (row + 2 * column, 2 * row + column),
            "disc": (np.hypot(row - 90, column - 90) < 40, np.hypot(row - 110, column - 100) < 40),
            "edge": (column > 90, column > 110),
        }[what]
        pose = find(fixed, moving)
        assert stays(pose)

    @pytest.mark.parametrize(
        "what",
        [
            "checkerboard",
            pytest.param("grid", marks=pytest.mark.slow),
            pytest.param("cells", marks=pytest.mark.slow),
        ],
    )
    def test_repeated_texture(self, what):
        row, column = np.indices((240, 240))
        cell = gaussian_filter(np.random.default_rng(7).normal(size=(60, 60)), 4, mode="wrap")
        data = {
            "checkerboard": (row // 20 + column // 20) % 2,
            "grid": (row % 24 < 3) | (column % 24 < 3),
            "cells": np.tile(cell, (4, 4)),
        }[what].astype(float)
        pose = find(noisy(data), noisy(np.roll(data, 130, 1), 1))
        assert stays(pose)
        assert not pose.reliable
        assert any("equally good" in note or "equally well" in note for note in pose.notes)

    @pytest.mark.slow
    def test_a_mirror_image(self):
        fixed, moving = pair()
        pose = find(fixed, np.ascontiguousarray(moving.data.T))
        assert stays(pose)
        assert any("mirror image" in note for note in pose.notes)


class TestVolumes:
    @staticmethod
    @cache
    def scene() -> Image:
        rng = np.random.default_rng(3)
        data = sum(gaussian_filter(rng.normal(size=(64, 80, 80)), s) * s**1.5 for s in (2.0, 4.0))
        return Image(data.astype(np.float32), Grid.from_spacing(data.shape, 2.0))

    @staticmethod
    def moved() -> Affine:
        a = np.deg2rad(12.0)
        matrix = np.eye(4)
        matrix[1:3, 1:3] = 1.05 * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        matrix[:3, 3] = -matrix[:3, :3] @ [0, 80, 80] + np.array([0, 80, 80]) + [4, 10, -8]
        return Affine(matrix)

    @pytest.mark.slow
    @pytest.mark.parametrize("planes", [2, 5])
    def test_a_few_planes(self, planes):
        truth = self.moved()
        thin = warp(self.scene(), None, Grid.from_spacing((planes, 60, 60), (4, 2, 2), (50, 20, 20)))
        moving = warp(self.scene(), truth.inverse(), self.scene().grid)
        pose = find(thin, moving.with_data(-moving.data))
        assert pose.reliable
        assert error(pose.transform, truth, thin.grid, moving.grid) < 2.0

    def test_voxels_ten_times_as_long_as_wide(self):
        truth = self.moved()
        thick = Grid.from_spacing((11, 110, 110), (14.0, 1.4, 1.4))
        moving = warp(self.scene(), truth.inverse(), self.scene().grid)
        fixed = zoom(self.scene().data, (11 / 64, 1, 1), order=1, grid_mode=True, mode="nearest")
        grid = Grid.from_spacing(fixed.shape, (128 / 11, 2, 2), (128 / 22 - 1, 0, 0))
        pose = find(warp(Image(fixed, grid), None, thick), moving)
        assert error(pose.transform, truth, thick, moving.grid) < 4.0

    @pytest.mark.slow
    def test_repeated_structure(self):
        cell = gaussian_filter(np.random.default_rng(3).normal(size=(16, 16, 16)), 1.8, mode="wrap")
        cells = np.tile(cell, (3, 3, 3))
        pose = find(noisy(cells), noisy(np.roll(cells, (24, 24), (0, 1)), 1))
        assert stays(pose)
        assert not pose.reliable
        assert any("equally good" in note for note in pose.notes)

    def test_a_ball_has_no_pose(self):
        index = np.indices((40, 40, 40))
        balls = [np.linalg.norm(index.T - c, axis=-1).T < 10 for c in ([20, 20, 20], [24, 26, 20])]
        pose = find(*balls)
        assert not pose.reliable
        assert stays(pose)
