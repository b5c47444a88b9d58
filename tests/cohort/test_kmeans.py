"""Components, k-means and the elbow, on points whose groups are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from napari_voxreg.cohort.kmeans import Components, elbow, inertia, k_means, squared_distances


def groups(count: int, seed: int = 0) -> np.ndarray:
    """Three groups of points on a plane, far from each other."""
    rng = np.random.default_rng(seed)
    middles = np.array([[0, 0], [10, 0], [0, 12]])
    return np.concatenate([middle + rng.normal(size=(count, 2)) for middle in middles])


def test_the_groups_are_found_and_inertia_is_what_it_says() -> None:
    points = groups(20)
    found = k_means(points, 6, 0)
    assert [len(centres) for centres in found] == [1, 2, 3, 4, 5, 6]
    nearest = squared_distances(points, found[2]).argmin(axis=1)
    parts = [set(nearest[k * 20 : (k + 1) * 20]) for k in range(3)]
    assert [len(part) for part in parts] == [1, 1, 1] and len(set.union(*parts)) == 3
    for k in range(3):
        own = points[k * 20 : (k + 1) * 20]
        centre = found[2][parts[k].pop()]
        np.testing.assert_allclose(centre, own.mean(axis=0), atol=1e-9)
    by_hand = sum(
        ((points[k * 20 : k * 20 + 20] - points[k * 20 : k * 20 + 20].mean(0)) ** 2).sum() for k in range(3)
    )
    assert inertia(points, found[2]) == pytest.approx(by_hand)
    curve = [inertia(points, centres) for centres in found]
    assert all(a > b for a, b in pairwise(curve))
    assert elbow(curve) == 3
    again = k_means(points, 6, 0)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))


def test_as_many_clusters_as_different_points_leaves_no_cluster_empty() -> None:
    points = np.repeat(np.array([[0.0, 0], [1, 0], [5, 5], [9, 1]]), 5, axis=0)
    found = k_means(points, 4, 0)
    assert inertia(points, found[3]) == pytest.approx(0)
    assert len(set(squared_distances(points, found[3]).argmin(axis=1))) == 4


def test_the_elbow_is_farthest_below_the_chord() -> None:
    assert elbow([100, 40, 5, 4, 3.5, 3]) == 3
    assert elbow([100, 8, 6, 5]) == 2
    assert elbow([10, 9, 8, 7]) == 1  # a straight line has none
    assert elbow([10, 9.9, 9, 0]) == 1  # nor has a curve above it
    assert elbow([5, 1]) == 2
    assert elbow([3]) == 1


def test_components_keep_distances_and_are_told_by_their_own_points_only() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 50)) + 4
    components = Components.of(points)
    assert len(components.axes) <= 3
    small = components(points)
    far = squared_distances(points, points)
    kept = squared_distances(small, small)
    assert (kept <= far + 1e-9).all() and kept.sum() > 0.94 * far.sum()
    np.testing.assert_allclose(small.mean(axis=0), 0, atol=1e-9)
    turns = np.arange(2000)[:, None] % 4 == np.arange(
        50
    )  # four kinds that take turns, of which some are asked
    found = Components.of(turns.astype(float))
    assert len(found.axes) == 3
    np.testing.assert_allclose(
        squared_distances(found(turns[:4]), found(turns[4:8])), 2 - 2 * np.eye(4), atol=1e-6
    )
    wide = Components.of(rng.normal(size=(200, 100)))
    assert len(wide.axes) == 32
