"""Whether a registration made things better, said plainly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.geometry import Grid
from ..core.progress import Progress, silent
from ..transforms import Affine, Transform, chain
from .lncc import LNCC
from .similarity import PairMetrics, Scores

MEASURE = "local correlation"
NOISE = 0.005  # changes of the local correlation within what interpolation and noise alone do
FOLDED = 0.5  # percent of folded pixels from which a better score is no longer believed
ASIDE = 9  # pixels at the size of comparison by which a result is displaced: the measure's window
LOST = 0.75  # part of the first overlap that must be left before a better score inside it is believed


@dataclass(frozen=True)
class Verdict:
    """Whether it got better.

    Parameters
    ----------
    outcome : {"better", "worse", "unchanged", "unclear"}
        The judgement.
    sentence : str
        For the user, with the figures it rests on.
    measure : str
        "local correlation" or "landmark error".
    before, after : float
        The measure inside the pixels that overlap both before and after. Where there are none, `before` is
        nan and `after` is measured where the images overlap now (nan if nowhere).
    """

    outcome: Literal["better", "worse", "unchanged", "unclear"]
    sentence: str
    measure: str
    before: float
    after: float


def judge(
    comparison: PairMetrics,
    before: Scores,
    after: Scores,
    transform: Transform,
    progress: Progress = silent,
) -> Verdict:
    """Compare the moving image before and after on the same pixels.

    One measure decides, the local correlation inside the fields of view, for any pair: it holds between
    modalities, and pictures that merely share brightness or outline do not raise it. Landmarks overrule it.
    The other scores are reported but do not decide.
    """
    if before.landmark_error is not None and after.landmark_error is not None:
        return _by_landmarks(before, after, comparison.fixed.grid)
    likeness = LNCC(comparison.fixed, comparison.moving, comparison.fixed_mask, comparison.moving_mask)
    (a, b), overlaps = likeness.compare(None, transform, progress=progress)
    if math.isnan(a):
        return _first_overlap(likeness, before, after, transform)
    figures = f"{MEASURE} {a:.3f} -> {b:.3f} where both overlap{_details(before, after)}"
    if overlaps[1] < LOST * overlaps[0]:
        lost = 100 * (1 - overlaps[1] / overlaps[0])
        return Verdict("unclear", f"Unclear: {lost:.0f} % of the overlap was lost; {figures}.", MEASURE, a, b)
    if abs(b - a) <= NOISE:
        return Verdict("unchanged", f"Unchanged: {figures}.", MEASURE, a, b)
    if b > a and after.folded > FOLDED:
        sentence = f"Unclear: more alike, but the deformation folds ({figures}); make it stiffer."
        return Verdict("unclear", sentence, MEASURE, a, b)
    if b > a:
        return Verdict("better", f"Better: {figures}.", MEASURE, a, b)
    return Verdict(
        "worse", f"Worse than before: {figures}. Keep the start, or try another method.", MEASURE, a, b
    )


def _by_landmarks(before: Scores, after: Scores, grid: Grid) -> Verdict:
    """The landmarks decide; a tenth of a pixel is within their own error."""
    assert before.landmark_error is not None and after.landmark_error is not None
    a, b = before.landmark_error, after.landmark_error
    figures = f"landmark error {a:.3g} -> {b:.3g} {grid.units[0]}{_details(before, after)}"
    margin = 0.1 * float(grid.spacing.min())
    if abs(b - a) <= margin:
        return Verdict("unchanged", f"Unchanged: {figures}.", "landmark error", a, b)
    if b < a:
        return Verdict("better", f"Better: {figures}.", "landmark error", a, b)
    return Verdict(
        "worse",
        f"Worse than before: {figures}. Keep the start, or try another method.",
        "landmark error",
        a,
        b,
    )


def _first_overlap(likeness: LNCC, before: Scores, after: Scores, transform: Transform) -> Verdict:
    """No pixel overlaps both before and after: the result is compared with itself, slightly displaced.

    Where structures meet, they meet less after any small shift; where they only happen to lie on each other,
    a shift makes no difference.
    """
    overlaps = f"overlap {100 * before.overlap_fraction:.0f} % -> {100 * after.overlap_fraction:.0f} %"
    where = f"no pixel overlaps both before and after ({overlaps})"
    reach = ASIDE * likeness.fixed.grid.spacing.min()
    steps = [sign * reach * axis for axis in np.eye(transform.ndim) for sign in (-1, 1)]
    displaced = (chain(Affine.translation(step), transform) for step in steps)
    (here, *aside), _ = likeness.compare(transform, *displaced)
    if math.isnan(here):
        sentence = f"Unclear: {where}; look at the layers{_details(before, after)}."
        return Verdict("unclear", sentence, MEASURE, math.nan, here)
    figures = f"{where}; {MEASURE} {here:.3f}, {max(aside):.3f} slightly displaced{_details(before, after)}"
    if here - max(aside) <= NOISE or after.folded > FOLDED:
        return Verdict("unclear", f"Unclear: {figures}; look at the layers.", MEASURE, math.nan, here)
    return Verdict("better", f"Better: {figures}.", MEASURE, math.nan, here)


def _details(before: Scores, after: Scores) -> str:
    """SSIM and folding, as users ask for them."""
    ssim = " -> ".join(
        "none" if math.isnan(s) else f"{s:.2f}" for s in (a.overlap["ssim"] for a in (before, after))
    )
    return f"; SSIM {ssim}; {after.folded:.2g} % folded"
