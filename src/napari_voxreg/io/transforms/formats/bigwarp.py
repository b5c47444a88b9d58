"""BigWarp's landmarks, as a thin-plate spline or an affine map through them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....core.geometry import Array
from ....transforms import ThinPlate, Transform
from ....transforms.affine import fit_points
from ...guards import read_text
from ...points import BIGWARP
from ..base import Found, Grids


def recognises(head: bytes) -> bool:
    """Whether its first line is a landmark, or it is a JSON of BigWarp's."""
    return BIGWARP.recognises(head.decode("utf-8", "replace"))


def read(path: Path, grids: Grids) -> Found:
    """The thin-plate spline from the fixed to the moving points; through few points, the affine map."""
    fixed, moving, notes = _pairs(path)
    transform: Transform
    if np.linalg.matrix_rank(fixed - fixed.mean(axis=0)) < fixed.shape[1]:
        transform = fit_points(fixed, moving)
        notes += (f"{len(fixed)} landmarks on one line or plane determine a rigid map only.",)
    else:
        transform = ThinPlate(fixed, moving)
    return Found(transform, notes)


def read_affine(path: Path, grids: Grids) -> Found:
    """The affine map that fits best; through fewer points than it needs, a rigid one."""
    fixed, moving, notes = _pairs(path)
    return Found(fit_points(fixed, moving), notes)


def _pairs(path: Path) -> tuple[Array, Array, tuple[str, ...]]:
    """The active landmarks, fixed and moving, (N, d) in array-axis order, and notes on those left out."""
    held = BIGWARP.read(read_text(path), path.name)
    if not len(held.fixed):
        raise ValueError(f"{path.name} has no active landmark with both points; activate some in BigWarp.")
    return held.fixed, held.moving, held.notes
