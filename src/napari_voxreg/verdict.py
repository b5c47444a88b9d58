"""Whether a registration made things better, said plainly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .measures import Comparison, Scores, ncc, nmi
from .transforms import Transform

# Changes smaller than these are within what interpolation and noise alone do to the measures.
NOISE = {"NCC": 0.005, "NMI": 0.002}
SAME_MODALITY = 0.5  # correlation at the start above which the images count as one modality
FOLDED = 0.5  # percent of folded pixels from which a better score is no longer believed
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
        "NCC", "NMI" or "landmark error".
    before, after : float
        The measure inside the pixels that overlap both before and after (nan where there are none).
    """

    outcome: Literal["better", "worse", "unchanged", "unclear"]
    sentence: str
    measure: str
    before: float
    after: float


def judge(comparison: Comparison, before: Scores, after: Scores, transform: Transform) -> Verdict:
    """Compare the moving image before and after on the same pixels.

    The measure follows from the pair as it was before: correlation if the images already correlate, else
    normalised mutual information. Landmarks overrule both. SSIM and L1 are reported but do not decide: they
    mislead across modalities and on speckle.
    """
    if before.landmark_error is not None and after.landmark_error is not None:
        return _by_landmarks(before, after, comparison.fixed.grid.units[0], comparison)
    first, inside_first = comparison.warped(None)
    last, inside_last = comparison.warped(transform)
    both = inside_first & inside_last
    if before.overlap_fraction == 0 or not both.any():
        return _first_overlap(before, after)
    fixed = comparison.fixed.data[both]
    same = before.overlap["ncc"] >= SAME_MODALITY
    name, measure = ("NCC", ncc) if same else ("NMI", nmi)
    a, b = measure(fixed, first[both]), measure(fixed, last[both])
    details = _details(before, after, same)
    figures = f"{name} {a:.3f} -> {b:.3f} where both overlap{details}"
    if after.overlap_fraction < LOST * before.overlap_fraction:
        lost = 100 * (1 - after.overlap_fraction / before.overlap_fraction)
        return Verdict("unclear", f"Unclear: {lost:.0f} % of the overlap was lost; {figures}.", name, a, b)
    if abs(b - a) <= NOISE[name]:
        return Verdict("unchanged", f"Unchanged: {figures}.", name, a, b)
    if b > a and after.folded > FOLDED:
        sentence = f"Unclear: more alike, but the deformation folds ({figures}); make it stiffer."
        return Verdict("unclear", sentence, name, a, b)
    if b > a:
        return Verdict("better", f"Better: {figures}.", name, a, b)
    return Verdict(
        "worse", f"Worse than before: {figures}. Keep the start, or try another method.", name, a, b
    )


def _by_landmarks(before: Scores, after: Scores, unit: str, comparison: Comparison) -> Verdict:
    """The landmarks decide; a tenth of a pixel is within their own error."""
    assert before.landmark_error is not None and after.landmark_error is not None
    a, b = before.landmark_error, after.landmark_error
    figures = f"landmark error {a:.3g} -> {b:.3g} {unit}{_details(before, after)}"
    margin = 0.1 * float(comparison.fixed.grid.spacing.min())
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


def _first_overlap(before: Scores, after: Scores) -> Verdict:
    """No pixel overlaps both before and after, so no measure can compare the two."""
    value = after.overlap["nmi"]
    sentence = (
        f"Unclear: no pixel overlaps both before and after (overlap {100 * before.overlap_fraction:.0f} % -> "
        f"{100 * after.overlap_fraction:.0f} %); look at the layers{_details(before, after)}."
    )
    return Verdict("unclear", sentence, "NMI", float("nan"), value)


def _details(before: Scores, after: Scores, same: bool = True) -> str:
    """SSIM and folding, as users ask for them."""
    ssim = f"SSIM {before.overlap['ssim']:.2f} -> {after.overlap['ssim']:.2f}"
    if not same:
        ssim += " (not decisive)"
    return f"; {ssim}; {after.folded:.2g} % folded"
