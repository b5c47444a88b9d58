"""Translation by phase correlation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ..core.geometry import Array
from ..core.params import Params, param
from ..core.progress import Progress
from ..metrics.similarity import ncc
from ..transforms import Affine
from .base import Method, Outcome, Task
from .flow.resampled import on_fixed_grid

LEAST_OVERLAP = 0.1  # fraction of the image that must overlap for a translation to be accepted


@dataclass(frozen=True, kw_only=True)
class PhaseCorrelation(Params):
    """Parameters of the phase correlation."""

    precision: int = param(
        20, "Subpixel precision: 20 means 1/20 pixel.", range=(1, 1000), pattern="1/{} pixel"
    )


def run(task: Task, params: PhaseCorrelation, progress: Progress) -> Outcome:
    """Find the translation of the moving image on the fixed grid; see `Run`.

    With masks the whole pixels come from masked normalised correlation (Padfield, IEEE TIP 21, 2012).
    """
    from skimage.registration import phase_cross_correlation

    fixed, grid = task.fixed, task.fixed.grid
    progress(0.0, "resampling")
    image, covered = on_fixed_grid(replace(task, fixed_mask=None))
    masks = None
    if task.fixed_mask is not None or task.moving_mask is not None:
        valid = np.ones(grid.shape, bool) if task.fixed_mask is None else task.fixed_mask.data
        masks = valid, covered
        progress(0.2, "masked correlation")
        translation = phase_cross_correlation(
            fixed.data, image, reference_mask=valid, moving_mask=covered, overlap_ratio=LEAST_OVERLAP
        )[0]
    else:
        translation = _whole_pixels(fixed.data, image, covered, progress)
    progress(0.8, "refining the translation")
    translation = _refined(fixed.data, image, np.rint(translation).astype(int), params.precision, masks)
    # This translation moves the moving image onto the fixed one; the transform maps points the other way.
    return Outcome(Affine.translation(-grid.affine[:-1, :-1] @ translation))


def _whole_pixels(fixed: Array, moving: Array, covered: Array, progress: Progress) -> Array:
    """The translation in whole pixels that correlates best among the peaks of phase and plain correlation.

    Phase correlation has the sharper peak on textured images, plain correlation the more reliable one on
    smooth or noisy images. A Fourier transform cannot distinguish a translation s from s minus the period.
    """
    from skimage.registration import phase_cross_correlation

    a, b = _tapered(fixed, np.ones(fixed.shape, bool)), _tapered(moving, covered)
    best, score = np.zeros(fixed.ndim), -np.inf
    for fraction, normalisation in ((0.2, "phase"), (0.5, None)):
        progress(fraction, "phase correlation")
        translation = phase_cross_correlation(a, b, normalization=normalisation)[0]
        choices = [
            (s, s - np.sign(s) * n) if s else (s,) for s, n in zip(translation, fixed.shape, strict=True)
        ]
        for candidate in product(*choices):
            pair = _overlapping(fixed, moving, np.rint(candidate).astype(int))
            value = -np.inf if pair is None else ncc(*pair)
            if value > score:
                best, score = np.array(candidate, dtype=float), value
    return best


def _refined(
    fixed: Array, moving: Array, translation: Array, precision: int, masks: tuple[Array, Array] | None
) -> Array:
    """The translation to a fraction of a pixel, from the pixels that count in both after the whole one."""
    from skimage.registration import phase_cross_correlation

    pair = _overlapping(fixed, moving, translation)
    if pair is None or precision == 1:
        return translation
    counted = np.ones(pair[0].shape, bool)
    shared = None if masks is None else _overlapping(*masks, translation)
    if shared is not None and (shared[0] & shared[1]).any():
        counted = shared[0] & shared[1]
    a, b = (_tapered(p, counted) * _fading(counted) for p in pair)
    rest = phase_cross_correlation(a, b, upsample_factor=precision, normalization=None)[0]
    return translation + rest if np.abs(rest).max() <= 1.5 else translation


def _overlapping(fixed: Array, moving: Array, translation: Array) -> tuple[Array, Array] | None:
    """The regions of both that overlap after a translation in whole pixels; None where they are too small."""
    shape = np.array(fixed.shape)
    kept = shape - np.abs(translation)
    if np.any(kept < 1) or np.prod(kept / shape) < LEAST_OVERLAP:
        return None
    parts = [
        tuple(slice(max(sign * s, 0), n + min(sign * s, 0)) for s, n in zip(translation, shape, strict=True))
        for sign in (1, -1)
    ]
    return fixed[parts[0]], moving[parts[1]]


def _tapered(data: Array, covered: Array) -> Array:
    """Without its mean and tapered to zero at the rim, which a Fourier transform would take for an edge."""
    from scipy.signal.windows import tukey

    mean = data[covered].mean() if covered.any() else 0.0
    result = np.where(covered, data - mean, 0.0)
    for axis, n in enumerate(data.shape):
        window = tukey(n, 0.2) if n > 8 else np.ones(n)
        result = result * window.reshape([-1 if k == axis else 1 for k in range(data.ndim)])
    return result


def _fading(counted: Array) -> Array | float:
    """1 well inside the pixels that count, falling to 0 towards their border, an edge in both images."""
    from scipy.ndimage import distance_transform_edt

    if counted.all():
        return 1.0
    inside: Array = distance_transform_edt(counted) / (0.1 * min(counted.shape))
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(inside, 1))


METHOD = Method(
    name="translation",
    title="Translation (phase correlation)",
    params=PhaseCorrelation,
    run=run,
    presets={"default": {}, "whole pixels": {"precision": 1}},
    motion="translation",
    reference="Guizar-Sicairos et al., Optics Letters 33, 2008",
)
