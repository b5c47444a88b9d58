"""Options that elastix and the SimpleITK methods share."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..core.geometry import Grid

Metric = Literal["mutual information", "correlation", "mean squares"]
METRIC_HELP = "Similarity: mutual information for any pair, correlation or mean squares for one modality."
GRID_HELP = (
    "Distance of the B-spline's control points at the last level, in voxels; "
    "0 takes a twelfth of the longest side, but 8 at least."
)


def voxel_size(grid: Grid) -> float:
    """Geometric mean of the spacing, world units."""
    return float(np.prod(grid.spacing) ** (1 / grid.ndim))


def control_distance(grid: Grid, voxels: float) -> float:
    """The distance in world units for a distance in voxels, or the automatic one for 0.

    A fixed number of voxels would give large images so many control points that they follow noise.
    """
    voxel = voxel_size(grid)
    if voxels == 0:
        voxels = max(8.0, float((np.array(grid.shape) * grid.spacing).max()) / voxel / 12)
    return voxels * voxel
