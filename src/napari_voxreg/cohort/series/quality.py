"""Frames that show nothing, are blurred, or show something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...core.geometry import Array
from .motion import Match, halved

Problem = Literal["", "unreadable", "blank", "blurred", "moved away"]

EMPTY: tuple[Problem, ...] = ("unreadable", "blank")  # of frames with nothing to align

BLANK = 0.1  # of the usual contrast
BLURRED = 0.25  # of the usual sharpness
AROUND = 51  # frames, of the running medians: brightness and focus may change slowly
UNLIKE = 0.5  # of the usual correlation, below which a frame shows something else
DOUBTFUL = 0.7  # of it, below which it does if it is also many deviations below the others
FAR = 6.0  # robust deviations
LEAST_OVERLAP = 0.25


@dataclass(frozen=True)
class Look:
    """How much a frame shows: its contrast, and how much of that is fine detail.

    Parameters
    ----------
    contrast : float
        Standard deviation of its pixels.
    sharpness : float
        Mean square of the second differences of pairs of pixels, as a fraction of the variance of all.
    """

    contrast: float
    sharpness: float


def look(pixels: Array) -> Look:
    """The contrast and the sharpness of a frame."""
    contrast = float(pixels.std())
    if contrast <= 0:
        return Look(0.0, 0.0)
    pixels = halved(pixels)  # else noise would be taken for detail
    variance = float(pixels.var()) or 1.0
    fine = np.mean([float(np.square(np.diff(pixels, 2, axis=k)).mean()) for k in range(pixels.ndim)])
    return Look(contrast, float(fine) / variance)


def of_looks(looks: Sequence[Look]) -> list[Problem]:
    """What is wrong with each frame by what it shows, compared with those around it."""
    contrast = np.array([each.contrast for each in looks])
    sharpness = np.array([each.sharpness for each in looks])
    shows = contrast > BLANK * running_median(contrast)
    usual = running_median(np.where(shows, sharpness, np.nan))
    blurred = shows & (sharpness < BLURRED * usual)
    found: list[Problem] = ["" if s else "blank" for s in shows]
    for k in np.flatnonzero(blurred):
        found[k] = "blurred"
    return found


def of_matches(problems: Sequence[Problem], matches: Sequence[Match | None]) -> list[Problem]:
    """What is wrong with each frame, now that it is known how well it fits."""
    fits = np.array([np.nan if m is None else m.correlation for m in matches])
    good = np.array([not p for p in problems]) & np.isfinite(fits)
    usual = running_median(np.where(good, fits, np.nan))
    spread = 1.4826 * np.nanmedian(np.abs(fits - usual)[good]) if good.any() else 0.0
    drop = usual - fits
    far = (fits < UNLIKE * usual) | ((drop > FAR * spread) & (fits < DOUBTFUL * usual))
    found = list(problems)
    for k, match in enumerate(matches):
        if problems[k] in ("", "blurred") and (match is None or far[k] or match.overlap < LEAST_OVERLAP):
            found[k] = "moved away" if not problems[k] else "blurred"
    return found


def running_median(values: Array) -> Array:
    """The median of the values around each, NaN left out."""
    half = AROUND // 2
    padded = np.pad(values.astype(float), half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, AROUND)
    finite = np.isfinite(windows).any(axis=1)
    found = np.full(len(values), np.nanmedian(values) if np.isfinite(values).any() else 0.0)
    found[finite] = np.nanmedian(windows[finite], axis=1)
    return found
