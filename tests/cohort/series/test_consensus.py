"""One matrix a frame from many measured between frames."""

from __future__ import annotations

import numpy as np

from napari_voxreg.cohort.series.consensus import Edge, consensus, nearest
from napari_voxreg.core.geometry import Grid

GRID = Grid.from_spacing((80, 100), (1.0, 2.0), (5.0, 5.0))


def motion(rng: np.random.Generator) -> np.ndarray:
    angle = np.radians(rng.normal(0, 3))
    matrix = np.eye(3)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:2, 2] = rng.normal(0, 5, 2)
    return matrix


def test_exact_measurements_give_the_exact_motion_whatever_some_say() -> None:
    rng = np.random.default_rng(0)
    true = [np.eye(3), *(motion(rng) for _ in range(19))]
    edges = [
        Edge(k - lag, k, true[k] @ np.linalg.inv(true[k - lag]), 0.9)
        for lag in (1, 2, 4)
        for k in range(lag, 20)
    ]
    wrong = [Edge(3, 4, motion(rng), 0.9), Edge(8, 9, motion(rng), 0.9), Edge(10, 12, motion(rng), 0.9)]
    found = consensus([*edges[1:], *wrong], 20, 0, GRID, "rigid")
    for one, other in zip(found, true, strict=True):
        assert one is not None
        assert np.abs(GRID.corners() @ (one - other)[:2, :2].T + (one - other)[:2, 2]).max() < 1e-3


def test_the_reference_stays_and_frames_without_a_chain_are_left_out() -> None:
    step = np.eye(3)
    step[:2, 2] = 1.0, -2.0
    found = consensus([Edge(0, 1, step, 1.0), Edge(2, 3, step, 1.0)], 4, 1, GRID, "translation")
    assert found[2] is None
    assert found[3] is None
    assert np.array_equal(found[1], np.eye(3))
    assert np.allclose(found[0], np.linalg.inv(step))


def test_the_nearest_motion_of_a_kind() -> None:
    rng = np.random.default_rng(1)
    matrix = motion(rng)
    matrix[:2, :2] = matrix[:2, :2] @ np.array([[1.1, 0.02], [-0.02, 1.1]])
    for kind, size in (("translation", 1.0), ("rigid", 1.0), ("similarity", 1.1**2)):
        found = nearest(matrix, kind, GRID)
        assert np.isclose(np.linalg.det(found), size, rtol=1e-3)
        centre = [*GRID.centre, 1]
        assert np.allclose(found @ centre, matrix @ centre)
    assert np.allclose(nearest(matrix, "translation", GRID)[:2, :2], np.eye(2))
    assert np.array_equal(nearest(matrix, "affine", GRID), matrix)
