"""elastix's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...core.params import Params, param
from ..options import GRID_HELP, METRIC_HELP, Metric

FILES = "parameter files"


@dataclass(frozen=True, kw_only=True)
class ElastixParams(Params):
    """Parameters of elastix; parameter files are run as they are and ignore the other parameters."""

    stages: Literal[
        "affine + B-spline", "translation", "rigid", "similarity", "affine", "parameter files"
    ] = param("affine + B-spline", "The kinds of motion to find, one after the other.")
    metric: Metric = param("mutual information", METRIC_HELP)
    resolutions: int = param(4, "Levels from smoothed to full detail.", range=(1, 10))
    iterations: int = param(256, "Steps at each level.", range=(1, 100_000))
    samples: int = param(2048, "Pixels compared at each step, drawn anew.", range=(100, 10_000_000))
    grid_spacing: float = param(0.0, GRID_HELP, range=(0, 1000), special="auto")
    bending: float = param(
        0.0,
        "Weight of the B-spline's bending energy, in voxels: more keeps it smooth, and takes twice as long.",
        range=(0, 1e6),
        special="off",
    )
    parameter_files: tuple[Path, ...] = param(
        (), "elastix's own parameter files (.txt, .toml), one a stage, in order."
    )
    points_weight: float = param(
        0.05,
        "Weight of the distance between the landmarks, in voxels, against the metric.",
        range=(0, 1e6),
        advanced=True,
    )
    bins: int = param(32, "Histogram bins of the mutual information.", range=(4, 256), advanced=True)
