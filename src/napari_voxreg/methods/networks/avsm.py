"""AVSM: an affine network in steps, then a momentum field that is smoothed and integrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...core.params import param
from .network_method import DeformableParams, SteppedParams, network_method

PUBLISHED = 7  # affine passes at test time


@dataclass(frozen=True, kw_only=True)
class AVSMParams(SteppedParams, DeformableParams):
    """Parameters of AVSM."""

    steps: int = param(
        0,
        "Number of affine passes before the deformation; 0 takes 1 for the shipped weights, which gain "
        "nothing from more, and 7 for your own, as published.",
        range=(0, 50),
        special="auto",
    )

    stem: ClassVar[str] = "avsm"
    architectures: ClassVar[tuple[str, ...]] = ("avsm",)

    @property
    def passes(self) -> int:
        """Number of affine passes."""
        return self.steps or (1 if self.weights is None else PUBLISHED)


METHOD = network_method(
    "avsm",
    "Network: AVSM (affine + vSVF)",
    AVSMParams,
    "Shen, Han, Xu, Niethammer, CVPR 2019",
)
