"""AVSM: an affine network in steps, then a momentum field that is smoothed and integrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ._network import SteppedParams, network_method


@dataclass(frozen=True, kw_only=True)
class AVSMParams(SteppedParams):
    """Parameters of AVSM."""

    stem: ClassVar[str] = "avsm"
    architectures: ClassVar[tuple[str, ...]] = ("avsm",)


METHOD = network_method(
    "avsm",
    "Network: AVSM (affine + vSVF)",
    AVSMParams,
    "Shen, Han, Xu, Niethammer, CVPR 2019",
)
