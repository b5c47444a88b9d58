"""What `register_series` can be told, declared once for Python, the command line and the panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.params import Params, param
from .motion import Kind

Reference = Literal["mean", "frame", "previous", "lags"]
LAGS = (1, 2, 4, 8)  # frames apart that are aligned with each other


@dataclass(frozen=True, kw_only=True)
class SeriesOptions(Params):
    """How the frames of a series are aligned."""

    motion: Kind = param("rigid", "What may happen from one frame to another.")
    reference: Reference = param(
        "mean",
        "What each frame is aligned to: the mean of all frames; one frame; the previous one, with keyframes "
        "against drift; or several earlier ones at once (1, 2, 4 and 8 frames before).",
    )
    frame: int = param(
        0, "Number of the frame that is the reference, or that stays in place; from 0.", range=(0, 10**9)
    )
    smooth: float = param(
        0.0,
        "Smooth the motion over time: standard deviation of a Gaussian, in frames. 0 keeps every jump.",
        range=(0.0, 1000.0),
        special="off",
        advanced=True,
    )

    def matters(self, name: str) -> bool:
        """Whether an option changes anything, the others being as they are."""
        return name != "frame" or self.reference != "mean"
