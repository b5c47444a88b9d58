"""Principal components, k-means for every number of clusters, and the elbow; no image is read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.geometry import Array
from ..core.progress import Progress, silent

EXPLAINED = 0.95  # of the variance, by the components that are kept
COMPONENTS = 32  # at most
SAMPLED = 500  # points that determine them, at most: more take long and change little
STARTS = 10  # seeded starts for each number of clusters
ROUNDING = 1e-9  # of distances between 0 and 1
ROUNDS = 50  # of k-means; each start converges long before


@dataclass(frozen=True, eq=False)
class Components:
    """A linear map onto the principal components of some points.

    Parameters
    ----------
    mean : ndarray, shape (P,)
    axes : ndarray, shape (F, P)
        Unit vectors, the one of most variance first.
    """

    mean: Array
    axes: Array

    @classmethod
    def of(cls, points: Array) -> Components:
        """Those of points (N, P), or of `SAMPLED` among them, that explain `EXPLAINED` of their variance."""
        if len(points) > SAMPLED:  # drawn at random, since kinds may alternate
            points = points[np.random.default_rng(0).permutation(len(points))[:SAMPLED]]
        mean = points.mean(axis=0)
        _, lengths, axes = np.linalg.svd(points - mean, full_matrices=False)
        share = np.cumsum(lengths**2) / max(float((lengths**2).sum()), 1e-30)
        count = min(1 + int(np.searchsorted(share, EXPLAINED)), COMPONENTS, len(axes))
        return cls(mean, axes[:count])

    def __call__(self, points: Array) -> Array:
        """Points (N, P) as (N, F)."""
        found: Array = (points - self.mean) @ self.axes.T
        return found


def squared_distances(points: Array, centres: Array) -> Array:
    """Of points (N, F) to centres (k, F): (N, k)."""
    from scipy.spatial.distance import cdist

    found: Array = cdist(points, centres, "sqeuclidean")
    return found


def inertia(points: Array, centres: Array) -> float:
    """The sum of squared distances of points (N, F) to the nearest of the centres (k, F)."""
    return float(squared_distances(points, centres).min(axis=1).sum())


def k_means(points: Array, most: int, seed: int, progress: Progress = silent) -> tuple[Array, ...]:
    """The best centres for 1, 2, ... up to `most` clusters, none of them empty.

    Each number is begun ten times by k-means++ (Arthur and Vassilvitskii, SODA 2007). It is also begun from
    the centres of one cluster fewer and the point farthest from them, so that inertia never rises.

    Parameters
    ----------
    points : ndarray, shape (N, F)
        At least `most` different ones.
    most : int
        The largest number of clusters.
    seed : int
        Same seed, same centres.
    progress : Progress
        May raise `Cancelled`.

    Returns
    -------
    tuple of ndarray, shape (k, F)
        For k = 1 ... most.
    """
    from scipy.cluster.vq import ClusterError, kmeans2

    rng = np.random.default_rng(seed)
    found = [points.mean(axis=0, keepdims=True)]
    for k in range(2, most + 1):
        farthest = points[squared_distances(points, found[-1]).min(axis=1).argmax()]
        grown = np.vstack([found[-1], farthest])
        tries = [grown]
        for start in range(STARTS + 1):
            progress((k - 2 + start / (STARTS + 1)) / (most - 1), f"finding {k} clusters")
            how = {"minit": "matrix"} if not start else {"minit": "++", "seed": rng}
            try:
                centres, _ = kmeans2(points, k if start else grown, iter=ROUNDS, missing="raise", **how)
            except ClusterError:  # a cluster lost its last point
                continue
            if len(np.unique(squared_distances(points, centres).argmin(axis=1))) == k:
                tries.append(centres)
        found.append(min(tries, key=lambda centres: inertia(points, centres)))
    return tuple(found)


def elbow(inertias: Sequence[float]) -> int:
    """The number of clusters from which more of them gain little.

    Where the curve of inertia lies farthest below the straight line between its ends, both axes scaled to
    [0, 1] (Kneedle: Satopää et al., ICDCS Workshops 2011). A curve that nowhere lies below it has no elbow:
    one cluster.

    Parameters
    ----------
    inertias : sequence of float
        For 1, 2, ... clusters.
    """
    values = np.asarray(inertias, dtype=float)
    fall = values[0] - values[-1]
    if len(values) < 3 or fall <= 0:
        return len(values) if fall > 0 else 1
    below = 1 - np.linspace(0, 1, len(values)) - (values - values[-1]) / fall
    return 1 + int(np.argmax(below > below.max() - ROUNDING))
