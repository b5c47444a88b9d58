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

LEAST_OVERLAP = 0.1  # part of the image that must overlap for a shift to be believed


@dataclass(frozen=True, kw_only=True)
class PhaseCorrelation(Params):
    """Parameters of the phase correlation."""

    precision: int = param(
        20, "The shift is found to one part in so many of a pixel.", range=(1, 1000), pattern="1/{} pixel"
    )


def run(task: Task, params: PhaseCorrelation, progress: Progress) -> Outcome:
    """Find the shift of the moving image on the fixed grid; see `Run`.

    With masks the masked normalised correlation of Padfield (IEEE TIP 21, 2012) finds the whole pixels.
    """
    from skimage.registration import phase_cross_correlation

    fixed, grid = task.fixed, task.fixed.grid
    progress(0.0, "resampling")
    picture, covered = on_fixed_grid(replace(task, fixed_mask=None))
    if task.fixed_mask is not None or task.moving_mask is not None:
        valid = np.ones(grid.shape, bool) if task.fixed_mask is None else task.fixed_mask.data
        progress(0.2, "masked correlation")
        shift = phase_cross_correlation(
            fixed.data, picture, reference_mask=valid, moving_mask=covered, overlap_ratio=LEAST_OVERLAP
        )[0]
    else:
        shift = _whole_pixels(fixed.data, picture, covered, progress)
    progress(0.8, "refining the shift")
    shift = _refined(fixed.data, picture, np.rint(shift).astype(int), params.precision)
    # The shift brings the moving image onto the fixed one, so points go the other way.
    return Outcome(Affine.translation(-grid.affine[:-1, :-1] @ shift))


def _whole_pixels(fixed: Array, moving: Array, covered: Array, progress: Progress) -> Array:
    """The shift in whole pixels that correlates best among the peaks of phase and plain correlation.

    Phase correlation has the sharper peak on textured pictures, plain correlation the surer one on smooth or
    noisy ones; and a Fourier transform leaves open whether a shift is s or s minus the period.
    """
    from skimage.registration import phase_cross_correlation

    a, b = _tapered(fixed, np.ones(fixed.shape, bool)), _tapered(moving, covered)
    best, score = np.zeros(fixed.ndim), -np.inf
    for fraction, normalisation in ((0.2, "phase"), (0.5, None)):
        progress(fraction, "phase correlation")
        shift = phase_cross_correlation(a, b, normalization=normalisation)[0]
        choices = [(s, s - np.sign(s) * n) if s else (s,) for s, n in zip(shift, fixed.shape, strict=True)]
        for candidate in product(*choices):
            pair = _overlapping(fixed, moving, np.rint(candidate).astype(int))
            value = -np.inf if pair is None else ncc(*pair)
            if value > score:
                best, score = np.array(candidate, dtype=float), value
    return best


def _refined(fixed: Array, moving: Array, shift: Array, precision: int) -> Array:
    """The shift to a fraction of a pixel, from the pixels that overlap after the whole one."""
    from skimage.registration import phase_cross_correlation

    pair = _overlapping(fixed, moving, shift)
    if pair is None or precision == 1:
        return shift
    a, b = (_tapered(p, np.ones(p.shape, bool)) for p in pair)
    rest = phase_cross_correlation(a, b, upsample_factor=precision, normalization=None)[0]
    return shift + rest if np.abs(rest).max() <= 1.5 else shift


def _overlapping(fixed: Array, moving: Array, shift: Array) -> tuple[Array, Array] | None:
    """The parts of both that meet after a shift in whole pixels; None where they are too small."""
    shape = np.array(fixed.shape)
    kept = shape - np.abs(shift)
    if np.any(kept < 1) or np.prod(kept / shape) < LEAST_OVERLAP:
        return None
    parts = [
        tuple(slice(max(sign * s, 0), n + min(sign * s, 0)) for s, n in zip(shift, shape, strict=True))
        for sign in (1, -1)
    ]
    return fixed[parts[0]], moving[parts[1]]


def _tapered(data: Array, covered: Array) -> Array:
    """Without mean and fading to zero at the rim, which a Fourier transform would take for an edge."""
    from scipy.signal.windows import tukey

    mean = data[covered].mean() if covered.any() else 0.0
    result = np.where(covered, data - mean, 0.0)
    for axis, n in enumerate(data.shape):
        window = tukey(n, 0.2) if n > 8 else np.ones(n)
        result = result * window.reshape([-1 if k == axis else 1 for k in range(data.ndim)])
    return result


METHOD = Method(
    name="translation",
    title="Translation (phase correlation)",
    params=PhaseCorrelation,
    run=run,
    presets={"default": {}, "whole pixels": {"precision": 1}},
    motion="translation",
    reference="Guizar-Sicairos et al., Optics Letters 33, 2008",
)
