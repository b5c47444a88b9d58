"""BigWarp's landmarks, as a thin-plate spline or an affine map through them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....core.geometry import Array
from ....transforms import Affine, ThinPlate
from ....transforms.affine import around_means, best_linear, best_rotation
from ....transforms.fit import spread
from ....transforms.thinplate import SAME, coincident
from ...guards import read_text
from ...points import BIGWARP
from ..base import Found, Grids


def recognises(head: bytes) -> bool:
    """Whether its first line is a landmark, or it is a JSON of BigWarp's."""
    return BIGWARP.recognises(head.decode("utf-8", "replace"))


def read(path: Path, grids: Grids) -> Found:
    """The thin-plate spline from the fixed to the moving points; through few points, the affine map."""
    fixed, moving, notes = _pairs(path)
    if np.linalg.matrix_rank(fixed - fixed.mean(axis=0)) < fixed.shape[1]:
        return _simpler(fixed, moving, path, notes)
    if place := coincident(fixed[:, ::-1], SAME):
        raise ValueError(
            f"{path.name} has two fixed landmarks at one place, (x, y, ...) = {place}; delete one in "
            "BigWarp, or read the affine map (format bigwarp-affine)."
        )
    return Found(ThinPlate(fixed, moving), notes)


def read_affine(path: Path, grids: Grids) -> Found:
    """The affine map that fits best; through points that do not determine it, a rigid one, with a note."""
    fixed, moving, notes = _pairs(path)
    if min(spread(fixed), spread(moving)) < fixed.shape[1]:
        return _simpler(fixed, moving, path, notes)
    return Found(around_means(best_linear(fixed, moving), fixed, moving), notes)


def _simpler(fixed: Array, moving: Array, path: Path, notes: tuple[str, ...]) -> Found:
    """The rigid map of points on one line or plane; of a single one, the translation."""
    if len(fixed) == 1:
        note = f"{path.name} has one active landmark, which determines a translation only; add others."
        return Found(Affine.translation((moving - fixed)[0]), (*notes, note))
    note = (
        f"The {len(fixed)} landmarks of {path.name} lie on one line or plane and determine a rigid map "
        "only; add others beside it."
    )
    return Found(around_means(best_rotation(fixed, moving), fixed, moving), (*notes, note))


def _pairs(path: Path) -> tuple[Array, Array, tuple[str, ...]]:
    """The active landmarks, fixed and moving, (N, d) in array-axis order, and notes on those left out."""
    held = BIGWARP.read(read_text(path), path.name)
    if not len(held.fixed):
        raise ValueError(f"{path.name} has no active landmark with both points; activate some in BigWarp.")
    return held.fixed, held.moving, held.notes
