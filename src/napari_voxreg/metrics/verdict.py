"""Whether a registration improved the alignment, in one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.geometry import Grid, short_unit
from ..core.progress import Progress, silent, subprogress
from ..transforms import Affine, Transform, chain
from .chance import match, match_rotated
from .pair import NOISE, PairMetrics, Scores
from .similarity import LNCC_WINDOW

MEASURE = "LNCC"
LANDMARKS = "landmark error"
FOLDED = 0.5  # percentage of folded pixels from which a better score is no longer accepted
LOST = 0.75  # fraction of the initial overlap that must remain for a better score to be accepted

Outcome = Literal["better", "worse", "unchanged", "unclear"]


@dataclass(frozen=True)
class Verdict:
    """Whether it got better.

    Parameters
    ----------
    outcome : {"better", "worse", "unchanged", "unclear"}
        The decision.
    sentence : str
        For the user, with the figures it rests on.
    measure : str
        "LNCC" or "landmark error".
    before, after : float
        The measure before and after, LNCC as in `PairMetrics.lncc`; nan where nothing could be measured.
    """

    outcome: Outcome
    sentence: str
    measure: str
    before: float
    after: float


def judge(
    metrics: PairMetrics,
    before: Scores,
    after: Scores,
    transform: Transform,
    progress: Progress = silent,
) -> Verdict:
    """Compare the moving image before and after on the same pixels.

    One measure decides, LNCC inside the fields of view, for any pair: it holds between modalities, and images
    that merely share brightness or outline do not raise it. Landmarks overrule it. The other scores are
    reported but do not decide.

    Parameters
    ----------
    metrics : PairMetrics
        Of the pair.
    before, after : Scores
        Measured without and with the transform.
    transform : Transform
        From world points of fixed to moving.
    """
    if before.landmark_error is not None and after.landmark_error is not None:
        return _by_landmarks(before, after, metrics.fixed.grid)
    a = metrics.lncc(None, progress=subprogress(progress, 0.0, 0.3))
    b = metrics.lncc(transform, progress=subprogress(progress, 0.3, 0.6))
    if math.isnan(a) or math.isnan(b):
        none = math.isnan(b) or metrics.overlap(None) == 0
        where = f"{'no pixel overlaps' if none else 'too few pixels overlap'} both before and after"
        return _displaced(metrics, before, after, transform, where)
    gained = b - a > NOISE
    figures = f"{MEASURE} {a:.3f} -> {b:.3f} where both overlap{_details(before, after, gained)}"
    kept = metrics.overlap(transform) / metrics.overlap(None)
    if kept < LOST:
        lost = 100 * (1 - kept)
        return Verdict("unclear", f"Unclear: {lost:.0f} % of the overlap was lost; {figures}.", MEASURE, a, b)
    if abs(b - a) <= NOISE:
        return Verdict("unchanged", f"Unchanged: {figures}.", MEASURE, a, b)
    if gained and after.folded > FOLDED:
        sentence = f"Unclear: the similarity rose, but the deformation folds ({figures}); make it stiffer."
        return Verdict("unclear", sentence, MEASURE, a, b)
    if gained:
        doubt = doubts(metrics, transform, subprogress(progress, 0.6, 1.0))
        if doubt:
            return Verdict("unclear", f"Unclear: {doubt}; {figures}.", MEASURE, a, b)
        return Verdict("better", f"Better: {figures}.", MEASURE, a, b)
    return Verdict("worse", _worse(figures), MEASURE, a, b)


def doubts(metrics: PairMetrics, transform: Transform, progress: Progress = silent) -> str | None:
    """Why a rise of LNCC may be chance, or None if it is more than unrelated images reach.

    Parameters
    ----------
    metrics : PairMetrics
        Of the pair.
    transform : Transform
        From world points of fixed to moving.
    progress : Progress

    Returns
    -------
    str or None
        A clause with its figure.
    """
    found = match(metrics, transform, progress)
    if found is None:
        return "too few pixels overlap to tell a match from chance"
    if not found.by_chance:
        found = match_rotated(metrics, transform, found)
    if not found.by_chance:
        return None
    if transform.linear:
        return f"unrelated images match as well ({MEASURE} {found.fitted:.3f} by chance)"
    return f"a deformation gains as much on unrelated images ({MEASURE} {found.fitted:.3f} by chance)"


def objection(metrics: PairMetrics, transform: Transform) -> str | None:
    """Why a transform cannot be relied on where no pose is sure, or None; see `doubts`.

    Parameters
    ----------
    metrics : PairMetrics
        Of the pair.
    transform : Transform
        From world points of fixed to moving.

    Returns
    -------
    str or None
        A clause.
    """
    if metrics.overlap(transform) < LOST * metrics.overlap(None):
        return "much of the overlap was lost"
    return doubts(metrics, transform)


def _by_landmarks(before: Scores, after: Scores, grid: Grid) -> Verdict:
    """The landmarks decide; a tenth of a pixel is within their own error."""
    assert before.landmark_error is not None and after.landmark_error is not None
    a, b = before.landmark_error, after.landmark_error
    figures = f"{LANDMARKS} {a:.3g} -> {b:.3g} {short_unit(grid.units[0])}{_details(before, after)}"
    margin = 0.1 * float(grid.spacing.min())
    if abs(b - a) <= margin:
        return Verdict("unchanged", f"Unchanged: {figures}.", LANDMARKS, a, b)
    if b < a:
        return Verdict("better", f"Better: {figures}.", LANDMARKS, a, b)
    return Verdict("worse", _worse(figures), LANDMARKS, a, b)


def _displaced(
    metrics: PairMetrics, before: Scores, after: Scores, transform: Transform, where: str
) -> Verdict:
    """Without an overlap before, the result is compared with itself, slightly displaced.

    A small displacement worsens a correct alignment; where structures overlap only by chance, it makes no
    difference.
    """
    overlaps = f"overlap {100 * before.overlap_fraction:.0f} % -> {100 * after.overlap_fraction:.0f} %"
    reach = LNCC_WINDOW * metrics.coarse_grid.spacing.min()
    steps = [sign * reach * axis for axis in np.eye(transform.ndim) for sign in (-1, 1)]
    # Over the whole field of view, on which transforms are compared where there is no overlap before.
    overlap = metrics.overlap(transform)
    here = overlap * metrics.lncc(transform, transform)
    moved = (chain(Affine.translation(step), transform) for step in steps)
    aside = overlap * float(np.max([metrics.lncc(each, transform) for each in moved]))
    if math.isnan(aside):
        sentence = f"Unclear: {where} ({overlaps}); check the layers{_details(before, after)}."
        return Verdict("unclear", sentence, MEASURE, math.nan, here)
    figures = f"{where} ({overlaps}); {MEASURE} {here:.3f}, {aside:.3f} slightly displaced"
    figures += _details(before, after)
    doubt = None
    if here - aside > NOISE and after.folded <= FOLDED:
        doubt = doubts(metrics, transform)
        if doubt is None:
            return Verdict("better", f"Better: {figures}.", MEASURE, math.nan, here)
    why = figures if doubt is None else f"{doubt}; {figures}"
    return Verdict("unclear", f"Unclear: {why}; check the layers.", MEASURE, math.nan, here)


def _worse(figures: str) -> str:
    return f"Worse than before: {figures}. Keep the layer positions, or try another method."


def _details(before: Scores, after: Scores, gained: bool = False) -> str:
    """SSIM and folding, which users expect; across contrasts a lower SSIM does not contradict a gain."""
    folded = f"{after.folded:.2g} % folded"
    a, b = (scores.overlap["ssim"] for scores in (before, after))
    if gained and after.overlap["ncc"] < 0:
        return f" (contrasts are inverted, so SSIM is not used); {folded}"
    if gained and b < a - 0.01:
        return f" (contrasts differ, so SSIM is not used); {folded}"
    ssim = " -> ".join("none" if math.isnan(s) else f"{s:.2f}" for s in (a, b))
    return f"; SSIM {ssim}; {folded}"
