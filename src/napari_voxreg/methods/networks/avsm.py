"""AVSM: an affine network in steps, then a momentum field that is smoothed and integrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...core.params import param
from .network_method import DeformableParams, SteppedParams, network_method


@dataclass(frozen=True, kw_only=True)
class AVSMParams(SteppedParams, DeformableParams):
    """Parameters of AVSM."""

    steps: int = param(
        1,
        "Number of affine passes before the deformation; the shipped weights gain nothing from more.",
        range=(1, 50),
    )

    stem: ClassVar[str] = "avsm"
    architectures: ClassVar[tuple[str, ...]] = ("avsm",)


METHOD = network_method(
    "avsm",
    "Network: AVSM (affine + vSVF)",
    AVSMParams,
    "Shen, Han, Xu, Niethammer, CVPR 2019",
)
