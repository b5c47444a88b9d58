"""Our own network: correlation of features, coarse to fine, independent of contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .network_method import DeformableParams, network_method


@dataclass(frozen=True, kw_only=True)
class PyramidParams(DeformableParams):
    """Parameters of the correlation pyramid."""

    stem: ClassVar[str] = "pyramid"
    architectures: ClassVar[tuple[str, ...]] = ("pyramid",)


METHOD = network_method(
    "pyramid",
    "Network: correlation pyramid",
    PyramidParams,
    "after Sun et al., CVPR 2018; trained on synthetic pairs as Hoffmann et al., IEEE TMI 41, 2022",
)
