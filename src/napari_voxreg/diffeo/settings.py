"""Optimiser settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Similarity = Literal["auto", "local correlation", "self-similarity", "mutual information", "mean squares"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of `deform`; lengths are in pixels of the fixed image's finest spacing.

    Parameters
    ----------
    similarity : str
        The similarity; "auto" chooses from the pair (see `deform.guess_similarity`).
    smoothness : float
        Weight of the smoothness term, relative to the default of the similarity.
    control_spacing : float
        Distance of the control points at the finest level, at least a pixel of the level; 0 takes two
        pixels of the finest level, found in steps from far ones.
    finest : int
        Pixels per pixel of the finest level, 1 for full resolution; 0 takes the finest that keeps a level
        under `prepare.LEVEL_PIXELS` pixels.
    levels : int
        At most that many levels, each half as fine as the next.
    iterations : int
        Gauss-Newton steps a level, at most; a level stops by itself when the cost no longer falls.
    radius : int
        Half the window of the local correlation, pixels of the level.
    inverse_consistent : bool
        Compare both ways, through exp(v) and exp(-v).
    landmark_weight : float
        Weight of the corresponding points.
    """

    similarity: Similarity = "auto"
    smoothness: float = 1.0
    control_spacing: float = 0.0
    finest: int = 0
    levels: int = 4
    iterations: int = 12
    radius: int = 3
    inverse_consistent: bool = False
    landmark_weight: float = 1.0
