"""Transforms of many images that agree with the registrations of their pairs.

Registrations of pairs contradict each other: the way from one image to another is not the same directly and
by a third. By how much tells how far each pair can be relied on. The most reliable chains give first
transforms, which are then moved until they agree best with all pairs (Gass, Szekely, Goksel, Journal of
Medical Imaging 2, 2015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, dijkstra, minimum_spanning_tree

from ...core.geometry import Array, Grid
from ...core.progress import Progress
from ...transforms import Displacement, Transform, chain
from ...transforms.affine import fit_points

Pair = tuple[int, int]
NODES = {2: 256, 3: 64}  # of the fields that are averaged, along the longest side
PROBES = {2: 24, 3: 10}  # places at which ways are compared, along the longest side
SWEEPS = 10
RELIED = 0.1  # pixels; a pair that agrees better with its chains counts no more for it


@dataclass(frozen=True, eq=False)
class Agreed:
    """What agrees best with all pairs.

    Parameters
    ----------
    root : int
        The image from which all others are reached by the most reliable chains.
    transforms : dict of int to Transform
        From world points of the root to world points of each image; none for an image that no chain reaches.
    disagreement : ndarray, shape (n, n)
        By how much a pair disagrees with the ways by a third image: median over places and ways, in pixels;
        NaN where there is no pair, or no other way.
    """

    root: int
    transforms: dict[int, Transform]
    disagreement: Array


def agreed(pairs: Mapping[Pair, Transform], grids: Sequence[Grid], progress: Progress) -> Agreed:
    """Bring all images into the world of one, so that they agree best with registrations of pairs.

    Parameters
    ----------
    pairs : mapping of (int, int) to Transform
        From world points of the first image to world points of the second; at most one for two images.
    grids : sequence of Grid
        Of all images.
    progress : Progress
    """
    ways = dict(pairs)
    for (start, end), transform in pairs.items():
        ways[end, start] = transform.inverse(_coarse(grids[end], NODES))
    found = disagreement(ways, grids)
    known = found[np.isfinite(found)]
    cost = np.full(found.shape, np.inf)  # without another way a pair is as good as the others are on average
    for pair in ways:
        cost[pair] = found[pair] if np.isfinite(found[pair]) else (np.median(known) if known.size else RELIED)
    cost = np.maximum(cost, RELIED)
    root, parents = _tree(cost)
    transforms = _refined(ways, cost, root, parents, _coarse(grids[root], NODES), progress)
    return Agreed(root, transforms, found)


def disagreement(ways: Mapping[Pair, Transform], grids: Sequence[Grid]) -> Array:
    """By how much each pair disagrees with the ways by a third image; see `Agreed`."""
    count = len(grids)
    found = np.full((count, count), np.nan)
    for start, end in ways:
        points = _coarse(grids[start], PROBES).nodes()
        direct = ways[start, end](points)
        others = [
            np.median(np.linalg.norm(ways[k, end](ways[start, k](points)) - direct, axis=-1))
            for k in range(count)
            if (start, k) in ways and (k, end) in ways
        ]
        if others:
            found[start, end] = np.median(others) / grids[end].spacing.min()
    both = np.stack([found, found.T])
    return np.asarray(both.mean(axis=0))


def _tree(cost: Array) -> tuple[int, dict[int, int]]:
    """The image that is nearest to all others, and from which image each is reached; the root by none."""
    edges = np.where(np.isfinite(cost), cost, 0.0)
    lengths = dijkstra(csr_array(edges), directed=False)
    reached = np.isfinite(lengths)
    sums = np.where(reached, lengths, 0.0).sum(axis=1)
    root = min(range(len(cost)), key=lambda k: (-int(reached[k].sum()), sums[k]))
    order, before = breadth_first_order(minimum_spanning_tree(csr_array(edges)), root, directed=False)
    return root, {int(k): int(before[k]) for k in order[1:]}


def _refined(
    ways: Mapping[Pair, Transform],
    cost: Array,
    root: int,
    parents: Mapping[int, int],
    grid: Grid,
    progress: Progress,
) -> dict[int, Transform]:
    """Transforms along the tree, then each moved to the mean of what all its pairs say of it, in turn."""
    points = grid.nodes()
    places = {root: points}
    for number, parent in parents.items():  # a parent comes before its children
        places[number] = ways[parent, number](places[parent])
    for sweep in range(SWEEPS):
        for number in parents:
            progress(sweep / SWEEPS, "bringing all pairs into agreement")
            from_others = [k for k in places if (k, number) in ways]
            weights = [1 / cost[k, number] ** 2 for k in from_others]
            said = sum(w * ways[k, number](places[k]) for w, k in zip(weights, from_others, strict=True))
            places[number] = np.asarray(said) / sum(weights)
    return {number: _transform(points, place, grid) for number, place in places.items()}


def _transform(points: Array, places: Array, grid: Grid) -> Transform:
    """What takes the nodes of a grid to their places: a field, then an affine map, which goes on outside."""
    affine = fit_points(points, places)
    field = affine.inverse()(places) - points
    return chain(Displacement(field.reshape(*grid.shape, grid.ndim), grid), affine)


def _coarse(grid: Grid, sides: Mapping[int, int]) -> Grid:
    """A coarser grid over the whole of another, with about so many nodes along its longest side."""
    step = max(1, -(-max(grid.shape) // sides[grid.ndim]))
    shape = tuple(-(-(n - 1) // step) + 1 for n in grid.shape)
    return replace(grid.coarsened(step), shape=shape)
