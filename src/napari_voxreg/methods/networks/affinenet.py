"""Affine networks: large rotations, scales and translations in a fraction of a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ...core.params import param
from ...weights import shipped
from .network_method import SteppedParams, network_method


@dataclass(frozen=True, kw_only=True)
class AffineNetParams(SteppedParams):
    """Parameters of the affine networks."""

    network: Literal["feature matching", "spatial transformer"] = param(
        "feature matching", "Which of the shipped networks is used; the spatial transformer is for 2D."
    )

    stem: ClassVar[str] = "affine"
    architectures: ClassVar[tuple[str, ...]] = (
        "matching affine",
        "detector affine",
        "multi-step affine",
        "stn",
        "tutorial stn",
    )
    affine: ClassVar[bool] = True
    sizes: ClassVar[Mapping[int, int]] = {2: 128, 3: 64}

    def file(self, ndim: int) -> Path:
        """The checkpoint for images of so many axes."""
        if self.weights is None and self.network == "spatial transformer":
            return shipped("stn", ndim)
        return super().file(ndim)


METHOD = network_method(
    "affinenet",
    "Network: affine",
    AffineNetParams,
    "after Rocco et al., CVPR 2017, and Sun et al., CVPR 2021 (matching); Jaderberg et al., NIPS 2015 (STN)",
)
