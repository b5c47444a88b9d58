"""Transforms fitted to corresponding points."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Array
from .affine import Affine


def fit_points(fixed: Array, moving: Array) -> Affine:
    """Least-squares map of fixed onto moving points (N, d): translation, rigid or affine by their number."""
    d = fixed.shape[1]
    mean_fixed, mean_moving = fixed.mean(axis=0), moving.mean(axis=0)
    a, b = fixed - mean_fixed, moving - mean_moving
    if len(fixed) > d and np.linalg.matrix_rank(a) == d and np.linalg.matrix_rank(b) == d:
        linear = np.linalg.lstsq(a, b, rcond=None)[0].T
    elif len(fixed) > 1:
        # Kabsch's rotation; the sign prevents a reflection.
        u, _, vt = np.linalg.svd(a.T @ b)
        flip = np.diag([1.0] * (d - 1) + [np.sign(np.linalg.det(u @ vt))])
        linear = (u @ flip @ vt).T
    else:
        linear = np.eye(d)
    matrix = np.eye(d + 1)
    matrix[:d, :d] = linear
    matrix[:d, d] = mean_moving - linear @ mean_fixed
    return Affine(matrix)
