"""Affine transforms fitted to corresponding points."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Array
from .affine import Affine


def fit_points(fixed: Array, moving: Array) -> Affine:
    """The affine map of fixed onto moving points (N, d), or the simpler one that they determine.

    Points on one line or plane, and up to d of them, determine a rigid motion; a single one a translation.
    """
    fixed, moving = np.asarray(fixed, dtype=float), np.asarray(moving, dtype=float)
    d = fixed.shape[1]
    a, b = fixed - fixed.mean(axis=0), moving - moving.mean(axis=0)
    if len(fixed) > d and np.linalg.matrix_rank(a) == d and np.linalg.matrix_rank(b) == d:
        return around_means(best_linear(fixed, moving), fixed, moving)
    if len(fixed) > 1:
        return around_means(best_rotation(fixed, moving), fixed, moving)
    return Affine.translation((moving - fixed).mean(axis=0))


def around_means(linear: Array, fixed: Array, moving: Array) -> Affine:
    """The affine map with this linear part that maps the mean of the points onto the mean."""
    d = len(linear)
    matrix = np.eye(d + 1)
    matrix[:d, :d] = linear
    matrix[:d, d] = moving.mean(axis=0) - linear @ fixed.mean(axis=0)
    return Affine(matrix)


def best_linear(fixed: Array, moving: Array) -> Array:
    """The best linear part of an affine map."""
    a, b = fixed - fixed.mean(axis=0), moving - moving.mean(axis=0)
    found: Array = np.linalg.lstsq(a, b, rcond=None)[0].T
    return found


def best_rotation(fixed: Array, moving: Array, scaled: bool = False, mirrored: bool = False) -> Array:
    """The best rotation (Kabsch), with the best scale (Umeyama), or the best of those with a reflection."""
    a, b = fixed - fixed.mean(axis=0), moving - moving.mean(axis=0)
    u, values, vt = np.linalg.svd(a.T @ b)
    flip = np.ones(len(values))
    flip[-1] = np.sign(np.linalg.det(u @ vt)) * (-1 if mirrored else 1)
    scale = (values @ flip) / (a**2).sum() if scaled else 1.0
    found: Array = scale * ((u * flip) @ vt).T
    return found
