"""AVSM: an affine network in steps, then a momentum field that is smoothed and integrated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ._network import SteppedParams, network_method


@dataclass(frozen=True, kw_only=True)
class AVSMParams(SteppedParams):
    """Parameters of AVSM."""

    stem: ClassVar[str] = "avsm"
    architectures: ClassVar[tuple[str, ...]] = ("avsm",)
    sizes: ClassVar[Mapping[int, int]] = {2: 128, 3: 64}  # its velocity is smoother than that


METHOD = network_method(
    "avsm",
    "Network: AVSM (affine + vSVF)",
    AVSMParams,
    "Shen, Han, Xu, Niethammer, CVPR 2019",
)
