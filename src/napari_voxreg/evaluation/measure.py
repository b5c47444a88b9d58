"""What is measured of one pair under its transform, and what interpolation alone would have given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.geometry import Array, Grid
from ..core.progress import Progress, subprogress
from ..io.pairs import LoadedPair
from ..metrics.pair import Scores, Warped
from ..metrics.similarity import dice, l1, ncc, rmse
from ..registration.prepare import PreparedPair
from ..registration.result import Result
from ..transforms import Displacement, Transform, displacement_on, warp

BLACK = 0.02  # of the range: five of 255, what JPEG makes of black
WHOLE = ("l1", "rmse", "ncc", "ssim")


@dataclass(frozen=True, eq=False)
class Measured:
    """Scores of one pair.

    Parameters
    ----------
    before, after : dict
        By the keys of `MEASURES`; what cannot be measured is missing or nan.
    interpolated : float
        SSIM of the unregistered moving image, as strongly interpolated as the registered one, on the pixels
        of ``ssim_common``.
    """

    before: dict[str, float]
    after: dict[str, float]
    interpolated: float


def measure(prepared: PreparedPair, pair: LoadedPair, result: Result, progress: Progress) -> Measured:
    """Measure a pair before and after.

    Parameters
    ----------
    prepared : PreparedPair
        On which the method was run.
    pair : LoadedPair
        The same pair with its labels and true displacement, where there are some.
    result : Result
        What came of it.
    progress : Progress
        May raise `Cancelled`.
    """
    fixed, moving, transform = prepared.task.fixed.grid, prepared.task.moving.grid, result.transform
    metrics = prepared.metrics
    before, after = places(None, fixed, moving), places(metrics.at_nodes(transform, fixed), fixed, moving)
    control = equally_interpolated(before, after, fixed, moving)
    images = [
        metrics.warped(which, subprogress(progress, k / 3, (k + 1) / 3))
        for k, which in enumerate((None, transform, control))
    ]
    common = np.logical_and.reduce([image.inside for image in images])
    ssim = [float(image.ssim[common].mean()) if common.any() else math.nan for image in images]
    scores = [
        {
            **{key: score.whole[key] for key in WHOLE},
            **_without_black(metrics.fixed.data, image),
            "ssim_common": value,
            **_with_truth(pair, which, index, score),
        }
        for score, image, value, which, index in zip(
            (result.before, result.after), images, ssim, (None, transform), (before, after), strict=False
        )
    ]
    return Measured(scores[0], scores[1], ssim[2])


def places(transform: Transform | None, fixed: Grid, moving: Grid) -> Array:
    """Where the moving image is sampled for each pixel of the fixed grid.

    Returns
    -------
    ndarray, shape (d, \\*fixed.shape)
        Index coordinates of the moving image.
    """
    nodes = fixed.nodes()
    if transform is not None:
        nodes = nodes + displacement_on(transform, fixed).reshape(nodes.shape)
    return moving.to_index(nodes).T.reshape(fixed.ndim, *fixed.shape)


def equally_interpolated(before: Array, after: Array, fixed: Grid, moving: Grid) -> Displacement:
    """A transform that registers nothing but interpolates as strongly as another does.

    Linear interpolation halfway between two pixels averages them; on a pixel it changes nothing. Averaging
    speckle or noise raises SSIM even without any alignment. So each pixel is taken from the place nearest
    to the unregistered one at which the neighbours are mixed in the same proportions. Along no axis is it
    more than half a pixel away.

    Parameters
    ----------
    before, after : ndarray, shape (d, \\*fixed.shape)
        The unregistered and the registered places, see `places`.
    fixed, moving : Grid
        Of the two images.
    """
    share = np.abs(after - np.rint(after))  # 0 on a pixel, 0.5 halfway: 1/4 and 3/4 mix equally
    up, down = _shortest(share - before), _shortest(-share - before)
    # Where both are as near, always the same one: jumping to and fro would cut the image to pieces.
    step = np.where(np.abs(down) < np.abs(up) - 1e-3, down, up)
    linear = moving.affine[:-1, :-1]
    return Displacement(np.einsum("k...,ik->...i", step, linear), fixed)


def _shortest(step: Array) -> Array:
    """The steps to the same place between pixels, whole pixels taken off: in (-0.5, 0.5], up to rounding."""
    return step - np.floor(step + (0.5 - 1e-6))


def _without_black(fixed: Array, moving: Warped) -> dict[str, float]:
    """The scores where neither image is black."""
    lit = moving.inside & (fixed > BLACK) & (moving.image > BLACK)
    if not lit.any():
        return {f"{key}_lit": math.nan for key in WHOLE}
    a, b = fixed[lit], moving.image[lit]
    values = (l1(a, b), rmse(a, b), ncc(a, b), float(moving.ssim[lit].mean()))
    return {f"{key}_lit": value for key, value in zip(WHOLE, values, strict=True)}


def _with_truth(
    pair: LoadedPair, transform: Transform | None, index: Array, scores: Scores
) -> dict[str, float]:
    """Dice, landmark error and end-point error, where the pair has what they need."""
    values = {}
    if pair.fixed_labels is not None and pair.moving_labels is not None:
        moved = warp(pair.moving_labels, transform, pair.fixed.grid, order=0)
        values["dice"] = dice(pair.fixed_labels.data, moved.data)
    if scores.landmark_error is not None:
        values["landmark_error"] = scores.landmark_error
    if pair.displacement is not None:
        error = np.linalg.norm(index - np.indices(index.shape[1:]) - pair.displacement, axis=0)
        known = np.isfinite(error)
        if pair.fixed_mask is not None:
            known &= pair.fixed_mask.data
        values["end_point_error"] = float(error[known].mean()) if known.any() else math.nan
    return values
