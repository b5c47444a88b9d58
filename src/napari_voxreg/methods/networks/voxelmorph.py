"""VoxelMorph: a U-Net that takes both images and predicts a smooth deformation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .network_method import DeformableParams, network_method


@dataclass(frozen=True, kw_only=True)
class VoxelMorphParams(DeformableParams):
    """Parameters of VoxelMorph; its releases' own checkpoints are read too."""

    stem: ClassVar[str] = "voxelmorph"
    architectures: ClassVar[tuple[str, ...]] = ("voxelmorph",)


METHOD = network_method(
    "voxelmorph",
    "Network: VoxelMorph",
    VoxelMorphParams,
    "Balakrishnan et al., IEEE TMI 38, 2019; Dalca et al., MedIA 57, 2019",
    written_by_others=True,
)
