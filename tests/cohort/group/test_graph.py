"""Transforms that agree with all pairs."""

import numpy as np
import pytest

from napari_voxreg.cohort.group.graph import agreed, disagreement
from napari_voxreg.core.geometry import Grid
from napari_voxreg.core.progress import silent
from napari_voxreg.transforms import Affine, StationaryVelocity, chain

COUNT = 5
GRID = Grid.from_spacing((30, 40), (2.0, 2.0))


def smooth(rng, size):
    """A random smooth field on the grid, of about `size` pixels."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(rng.standard_normal((*GRID.shape, 2)), (6, 6, 0))
    return StationaryVelocity(size * GRID.spacing.min() * field / np.abs(field).max(), GRID)


@pytest.fixture
def known():
    """The true way to each image from a world of its own, and pairs that are each a little wrong."""
    rng = np.random.default_rng(3)
    true = [chain(smooth(rng, 2.0), Affine.translation(rng.uniform(-6, 6, 2))) for _ in range(COUNT)]
    back = [one.inverse(GRID) for one in true]
    pairs = {
        (a, b): chain(back[a], true[b], smooth(rng, 1.5)) for a in range(COUNT) for b in range(a + 1, COUNT)
    }
    return true, pairs


def error(true, transforms, root):
    """Mean distance in pixels between two images' places of one point of the scene, over all pairs."""
    points = GRID.nodes().reshape(*GRID.shape, 2)[5:-5:2, 5:-5:2].reshape(-1, 2)
    wrong = []
    for k, transform in transforms.items():
        if k != root:
            wrong.append(np.linalg.norm(transform(true[root](points)) - true[k](points), axis=1).mean())
    return np.mean(wrong) / GRID.spacing.min()


def test_it_is_nearer_to_the_truth_than_pairs_are(known):
    true, pairs = known
    found = agreed(pairs, [GRID] * COUNT, silent)
    root = found.root
    direct = {
        k: pairs[root, k] if root < k else pairs[k, root].inverse(GRID) for k in range(COUNT) if k != root
    }
    assert set(found.transforms) == set(range(COUNT))
    assert error(true, found.transforms, root) < 0.75 * error(true, direct, root)


def test_a_wrong_pair_is_told_by_the_ways_around_it(known):
    true, pairs = known
    pairs[0, 3] = chain(pairs[0, 3], Affine.translation((15.0, -10.0)))
    found = agreed(pairs, [GRID] * COUNT, silent)
    worst = np.unravel_index(np.nanargmax(found.disagreement), (COUNT, COUNT))
    assert set(worst) == {0, 3}
    assert found.disagreement[0, 3] == pytest.approx(9.0, abs=2.0)  # pixels of 2
    assert error(true, found.transforms, found.root) < 0.6


def test_pairs_that_agree_do_so_exactly_and_a_chain_needs_no_loop():
    matrices = [np.eye(3) for _ in range(4)]
    for k, matrix in enumerate(matrices):
        matrix[:2, 2] = (3.0 * k, -2.0 * k)
    pairs = {(k, k + 1): Affine(matrices[k + 1] @ np.linalg.inv(matrices[k])) for k in range(3)}
    found = agreed(pairs, [GRID] * 4, silent)
    assert np.isnan(found.disagreement).all()
    assert found.root in (1, 2)  # the middle of the chain
    points = np.array([[10.0, 20.0], [-50.0, 400.0]])  # the second lies outside the image
    for k, transform in found.transforms.items():
        expected = matrices[k] @ np.linalg.inv(matrices[found.root])
        assert transform(points) == pytest.approx(points + expected[:2, 2], abs=1e-6)


def test_an_image_without_a_pair_has_no_transform(known):
    _, pairs = known
    alone = {pair: transform for pair, transform in pairs.items() if 2 not in pair}
    assert set(agreed(alone, [GRID] * COUNT, silent).transforms) == {0, 1, 3, 4}


def test_grids_of_different_spacing_are_measured_each_in_its_own_pixels(known):
    _, pairs = known
    fine = Grid.from_spacing((60, 80), (1.0, 1.0))
    both = {**pairs, **{(b, a): t.inverse(GRID) for (a, b), t in pairs.items()}}
    coarse = disagreement(both, [GRID] * COUNT)
    assert np.nanmedian(disagreement(both, [fine] * COUNT)) == pytest.approx(
        2 * np.nanmedian(coarse), rel=0.1
    )
