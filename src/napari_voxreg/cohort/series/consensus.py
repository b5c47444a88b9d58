"""One matrix a frame from many measured between pairs of frames.

Each measurement says how a frame lies against another one. They contradict each other a little, and some are
wrong; the matrices that agree best with all of them are found by least squares whose weights fall with the
disagreement (Geman, McClure, 1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csc_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from ...core.geometry import Array, Grid
from .motion import Kind

ROUNDS = 12
RIDGE = 1e-12
SMALLEST = 0.05  # pixels, to which the width of the weights falls at most


@dataclass(frozen=True, eq=False)
class Edge:
    """A measured motion.

    Parameters
    ----------
    start, end : int
        Numbers of frames.
    matrix : ndarray, shape (d + 1, d + 1)
        From world points of `start` to world points of `end`.
    weight : float
        How far it can be relied on, such as a correlation; above 0.
    """

    start: int
    end: int
    matrix: Array
    weight: float


def consensus(
    edges: Sequence[Edge], count: int, reference: int, grid: Grid, kind: Kind
) -> list[Array | None]:
    """The matrix from the world of the reference to that of each frame.

    Parameters
    ----------
    edges : sequence of Edge
    count : int
        Of frames.
    reference : int
        The frame whose matrix is the identity.
    grid : Grid
        Of all frames: disagreement is measured at its corners.
    kind : str
        The motions that are allowed.

    Returns
    -------
    list of ndarray or None
        None for frames that no chain of measurements joins to the reference.
    """
    joined = _joined(edges, count, reference)
    kept = [edge for edge in edges if joined[edge.start] and joined[edge.end]]
    unknown = np.full(count, -1)
    free = [k for k in range(count) if joined[k] and k != reference]
    unknown[free] = np.arange(len(free))
    found: list[Array | None] = [None] * count
    found[reference] = np.eye(grid.ndim + 1)
    if not kept or not free:
        return found
    # About the centre and in half diagonals the entries of a matrix are of one size.
    about = np.eye(grid.ndim + 1)
    about[:-1, :-1] *= grid.diagonal / 2
    about[:-1, -1] = grid.centre
    back = np.linalg.inv(about)
    measured = np.array([back @ edge.matrix @ about for edge in kept])
    trust = np.array([edge.weight for edge in kept])
    corners = np.c_[(grid.corners() - grid.centre) / (grid.diagonal / 2), np.ones(2**grid.ndim)]
    pixel = float(grid.spacing.min()) / (grid.diagonal / 2)
    weights = trust.copy()
    solved = np.repeat(np.eye(grid.ndim + 1)[None], count, axis=0)
    for k in range(ROUNDS):
        _solve(kept, measured, weights, unknown, solved)
        apart = np.array(
            [
                np.linalg.norm(corners @ (solved[e.end] - m @ solved[e.start]).T, axis=1).max()
                for e, m in zip(kept, measured, strict=True)
            ]
        )
        width = max(float(np.median(apart)) * max(1.0, 8.0 * 0.7**k), SMALLEST * pixel)
        weights = trust / (1 + (apart / width) ** 2) ** 2
    for k in free:
        found[k] = nearest(about @ solved[k] @ back, kind, grid)
    return found


def _joined(edges: Sequence[Edge], count: int, reference: int) -> Array:
    """Which frames a chain of edges joins to the reference."""
    rows, columns = [e.start for e in edges], [e.end for e in edges]
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(count, count))
    _, part = connected_components(graph, directed=False)
    return part == part[reference]


def _solve(edges: Sequence[Edge], measured: Array, weights: Array, unknown: Array, solved: Array) -> None:
    """Least squares of end - measured @ start; every column of the matrices alike, the last row known."""
    d = measured.shape[1] - 1
    size = d * (unknown.max() + 1)
    entries: list[tuple[int, int, float]] = []
    target = np.zeros((len(edges) * d, d + 1))
    for n, (edge, m, weight) in enumerate(zip(edges, measured, weights, strict=True)):
        root = weight**0.5
        block = slice(n * d, (n + 1) * d)
        target[block, d] += root * m[:d, d]
        for i in range(d):
            row = n * d + i
            if unknown[edge.end] >= 0:
                entries.append((row, d * unknown[edge.end] + i, root))
            else:
                target[row] -= root * solved[edge.end][i]
            for j in range(d):
                if unknown[edge.start] >= 0:
                    entries.append((row, d * unknown[edge.start] + j, -root * m[i, j]))
                else:
                    target[row] += root * m[i, j] * solved[edge.start][j]
    rows, columns, values = zip(*entries, strict=True)
    matrix = csc_array(coo_array((values, (rows, columns)), shape=(len(edges) * d, size)))
    # Frames that are joined by measurements of hardly any weight alone would make it singular.
    normal = (matrix.T @ matrix + RIDGE * _eye(size)).tocsc()
    answer = splu(normal).solve(matrix.T @ target)
    known = unknown >= 0
    solved[known, :d] = answer.reshape(-1, d, d + 1)[unknown[known]]


def _eye(size: int) -> csc_array:
    index = np.arange(size)
    return csc_array(coo_array((np.ones(size), (index, index)), shape=(size, size)))


def nearest(matrix: Array, kind: Kind, grid: Grid) -> Array:
    """The motion of a kind that is nearest to a matrix; it takes the centre of the grid to the same place."""
    if kind == "affine":
        return matrix
    d = len(matrix) - 1
    linear = np.eye(d)
    if kind != "translation":
        u, sizes, v = np.linalg.svd(matrix[:d, :d])
        sign = np.ones(d)
        sign[-1] = np.sign(np.linalg.det(u @ v))
        linear = (u * sign) @ v
        if kind == "similarity":
            linear = linear * float(sizes @ sign) / d
    found = np.eye(d + 1)
    found[:d, :d] = linear
    centre = grid.centre
    found[:d, d] = matrix[:d, :d] @ centre + matrix[:d, d] - linear @ centre
    return found
