"""AVSM: an affine network in steps, then a momentum field that is smoothed and integrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...core.params import param
from .network_method import BendingParams, SteppedParams, network_method


@dataclass(frozen=True, kw_only=True)
class AVSMParams(SteppedParams, BendingParams):
    """Parameters of AVSM."""

    steps: int = param(
        1,
        "How often the affine part looks before the whole; the shipped weights gain nothing from more.",
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
