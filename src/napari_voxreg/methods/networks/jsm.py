"""Joint saliency: a network that refines only where both images show structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .network_method import DeformableParams, network_method


@dataclass(frozen=True, kw_only=True)
class JSMParams(DeformableParams):
    """Parameters of the joint-saliency network."""

    stem: ClassVar[str] = "jsm"
    architectures: ClassVar[tuple[str, ...]] = ("jsm",)


METHOD = network_method(
    "jsm",
    "Network: joint saliency",
    JSMParams,
    "Dosovitskiy et al., ICCV 2015 (FlowNet); Qin et al., IEEE SPL 17, 2010 (joint saliency map)",
)
