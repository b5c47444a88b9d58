"""Transforms fitted to corresponding points."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array
from .affine import Affine, around_means, best_linear, best_rotation
from .base import Transform
from .projective import Homography
from .thinplate import SAME, ThinPlate, coincident

TRANSLATION, RIGID, SIMILARITY, AFFINE, HOMOGRAPHY, THIN_PLATE = FITS = (
    "translation",
    "rigid",
    "similarity",
    "affine",
    "homography",
    "thin plate",
)
DIMENSIONS = {0: "at one place", 1: "on one line", 2: "in one plane"}
FLAT = 1e-4  # of the points' extent: what varies less along an axis does not vary
MIRRORED = 2.0  # times the error of a mirror image, from which points are one


def fits_in(ndim: int) -> tuple[str, ...]:
    """The kinds of `fit` in so many dimensions."""
    return tuple(kind for kind in FITS if ndim == 2 or kind != HOMOGRAPHY)


def least_pairs(kind: str, ndim: int) -> int:
    """The number of pairs that a kind of `fit` needs."""
    fewest = {TRANSLATION: 1, RIGID: ndim, SIMILARITY: ndim, HOMOGRAPHY: 4}
    return fewest.get(kind, ndim + 1)


def fit(kind: str, fixed: npt.ArrayLike, moving: npt.ArrayLike, smoothing: float = 0.0) -> Transform:
    """The transform of a kind that maps fixed onto moving points best, by least squares.

    Parameters
    ----------
    kind : str
        One of `FITS`: "translation"; "rigid" and "similarity", which never mirror; "affine"; "homography", in
        2D; "thin plate", which passes through all points unless it is smoothed.
    fixed, moving : array_like, shape (N, d)
        Corresponding world points, d = 2 or 3. See `least_pairs` for the least N.
    smoothing : float
        Of a thin plate: 0 passes through every point, and large values approach the affine fit. Without a
        unit: points at any scale are smoothed alike.

    Raises
    ------
    ValueError
        In one sentence: for an unknown kind, too few pairs, points that do not determine the transform (all
        on one line, at one place), mirror images, and points of a thin plate that coincide.
    """
    fixed, moving = _pairs(kind, fixed, moving)
    ndim = fixed.shape[1]
    if kind == TRANSLATION:
        return Affine.translation((moving - fixed).mean(axis=0))
    needed = ndim - 1 if kind in (RIGID, SIMILARITY) else ndim
    for points, which in ((fixed, "fixed"), (moving, "moving")):
        axes = spread(points)
        if axes < needed:
            raise ValueError(
                f"All {which} points lie {DIMENSIONS[axes]}, which does not determine {_named(kind)}; "
                "add others, or choose a simpler fit."
            )
    if kind == HOMOGRAPHY:
        return _homography(fixed, moving)
    if kind == THIN_PLATE:
        if place := coincident(fixed, SAME):
            raise ValueError(
                f"Two fixed points coincide at {place}, which a thin plate cannot map; move or delete one."
            )
        length = np.sqrt((np.ptp(fixed, axis=0) ** 2).sum())
        # The kernel grows with the square of the distance in the plane, and with the distance in space.
        return ThinPlate(fixed, moving, smoothing * length ** (4 - ndim))
    if kind == AFFINE:
        return around_means(best_linear(fixed, moving), fixed, moving)
    best = around_means(best_rotation(fixed, moving, kind == SIMILARITY), fixed, moving)
    if _is_mirrored(best, fixed, moving, kind == SIMILARITY):
        raise ValueError(
            f"The points are mirror images of each other, which no {kind} transform maps; choose affine, or "
            "check which points correspond."
        )
    return best


def _pairs(kind: str, fixed: npt.ArrayLike, moving: npt.ArrayLike) -> tuple[Array, Array]:
    """The points as floats, checked."""
    if kind not in FITS:
        raise ValueError(f"{kind!r} is not a kind of fit; choose from: {', '.join(FITS)}.")
    first, second = np.array(fixed, dtype=float), np.array(moving, dtype=float)
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] not in (2, 3):
        raise ValueError(
            f"The fixed points have the shape {first.shape} and the moving ones {second.shape}; "
            "give equally many, with 2 or 3 coordinates each."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("A coordinate of the points is not finite; remove that pair.")
    count, ndim = first.shape
    if kind == HOMOGRAPHY and ndim == 3:
        raise ValueError("A homography maps the plane, and the points are 3D; choose affine.")
    if count < (least := least_pairs(kind, ndim)):
        raise ValueError(
            f"{_named(kind).capitalize()} in {ndim}D needs {least} pair{'s' * (least > 1)} of points, "
            f"and there {'is' if count == 1 else 'are'} {count or 'none'}; add more."
        )
    return first, second


def _named(kind: str) -> str:
    """A kind in a sentence."""
    return {AFFINE: "an affine transform", HOMOGRAPHY: "a homography", THIN_PLATE: "a thin plate"}.get(
        kind, f"a {kind} transform" if kind != TRANSLATION else "a translation"
    )


def spread(points: Array) -> int:
    """Along how many axes points vary."""
    lengths = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    far = float(np.abs(points).max())
    return int((lengths > max(FLAT * lengths[0], 1e-12 * far)).sum()) if lengths[0] > 0 else 0


def _is_mirrored(best: Affine, fixed: Array, moving: Array, scaled: bool) -> bool:
    """Whether a reflection maps the points much better."""
    try:
        other = around_means(best_rotation(fixed, moving, scaled, mirrored=True), fixed, moving)
    except ValueError:  # it has the scale 0
        return False
    first, second = (np.linalg.norm(one(fixed) - moving) for one in (best, other))
    return bool(first > MIRRORED * second and first > FLAT * np.linalg.norm(moving - moving.mean(axis=0)))


def _homography(fixed: Array, moving: Array) -> Homography:
    """The homography of the least distances: the linear solution (normalised DLT), then refined."""
    from scipy.optimize import least_squares

    frames = _frame(fixed), _frame(moving)
    a, b = (_mapped(frame, points) for frame, points in zip(frames, (fixed, moving), strict=True))
    one, none = np.ones((len(a), 1)), np.zeros((len(a), 3))
    homogeneous = np.hstack([a, one])
    system = np.vstack(
        [
            np.hstack([homogeneous, none, -b[:, :1] * homogeneous]),
            np.hstack([none, homogeneous, -b[:, 1:] * homogeneous]),
        ]
    )
    _, values, vt = np.linalg.svd(system)
    matrix = vt[-1].reshape(3, 3)
    denominators = homogeneous @ matrix[2]
    if values[7] < FLAT * values[0] or abs(np.linalg.det(matrix)) < 1e-9:
        raise ValueError(
            "Three of the four points lie on one line, which does not determine a homography; "
            "add others, or choose affine."
        )
    matrix = matrix / denominators[np.argmax(np.abs(denominators))]
    if (homogeneous @ matrix[2]).min() <= 0:
        raise ValueError(
            "No homography maps the points without tearing the image between them; check which points "
            "correspond, or choose affine."
        )

    def misses(numbers: Array) -> Array:
        mapped = homogeneous @ np.append(numbers, matrix[2, 2]).reshape(3, 3).T
        found: Array = (mapped[:, :2] / mapped[:, 2:] - b).ravel()
        return found

    if len(a) > 4:
        solved: Any = least_squares(misses, matrix.ravel()[:8], method="lm")
        refined = np.append(solved.x, matrix[2, 2]).reshape(3, 3)
        if (homogeneous @ refined[2]).min() > 0:
            matrix = refined
    return Homography(np.linalg.inv(frames[1]) @ matrix @ frames[0])


def _frame(points: Array) -> Array:
    """The matrix (3, 3) to coordinates about the mean of points of the plane, whose mean square is 1."""
    centre = points.mean(axis=0)
    scale = np.sqrt(points.size / ((points - centre) ** 2).sum())
    return np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])


def _mapped(matrix: Array, points: Array) -> Array:
    mapped: Array = points @ matrix[:2, :2].T + matrix[:2, 2]
    return mapped
