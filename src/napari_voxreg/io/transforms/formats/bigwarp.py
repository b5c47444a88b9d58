"""BigWarp's landmarks, as a thin-plate spline or an affine map through them."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from ....core.geometry import Array
from ....transforms import ThinPlate, Transform
from ....transforms.affine import fit_points
from ...guards import read_json, read_text, reading
from ..base import Found, Grids

WIDTHS = {6: 2, 8: 3}  # columns: name, active, then the moving and the fixed point
JSON = "BigWarpLandmarks"


def recognises(head: bytes) -> bool:
    """Whether its first line is a landmark, or it is a JSON of BigWarp's."""
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    if text.lstrip().startswith("{"):
        return JSON in text
    first = next((line for line in text.splitlines() if line.strip()), "")
    cells = [cell.strip().strip('"') for cell in first.split(",")]
    return len(cells) in WIDTHS and cells[1].lower() in ("true", "false")


def read(path: Path, grids: Grids) -> Found:
    """The thin-plate spline from the fixed to the moving points; through few points, the affine map."""
    fixed, moving, notes = read_pairs(path)
    transform: Transform
    if np.linalg.matrix_rank(fixed - fixed.mean(axis=0)) < fixed.shape[1]:
        transform = fit_points(fixed, moving)
        notes += (f"{len(fixed)} landmarks on one line or plane determine a rigid map only.",)
    else:
        transform = ThinPlate(fixed, moving)
    return Found(transform, notes)


def read_affine(path: Path, grids: Grids) -> Found:
    """The affine map that fits best; through fewer points than it needs, a rigid one."""
    fixed, moving, notes = read_pairs(path)
    return Found(fit_points(fixed, moving), notes)


def read_pairs(path: Path) -> tuple[Array, Array, tuple[str, ...]]:
    """The active landmarks in array-axis order, fixed and moving, (N, d) each, and notes on those left out.

    Raises
    ------
    ValueError
        If the file is damaged, or no landmark is active.
    """
    text = read_text(path)
    with reading(path, "it is not a landmark file of BigWarp, or it is damaged"):
        if text.lstrip().startswith("{"):
            active, moving, fixed = _from_json(read_json(path))
        else:
            active, moving, fixed = _from_csv(text)
    used = active & np.isfinite(moving).all(axis=1) & np.isfinite(fixed).all(axis=1)
    if not used.any():
        raise ValueError(f"{path.name} has no active landmark with both points; activate some in BigWarp.")
    left_out = int((~used).sum())
    notes = (f"{path.name}: {left_out} of {len(used)} landmarks are inactive or lack a point; left out.",)
    return fixed[used][:, ::-1], moving[used][:, ::-1], notes if left_out else ()


def _from_csv(text: str) -> tuple[Array, Array, Array]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(row)]
    d = WIDTHS[len(rows[0])]
    if {len(row) for row in rows} != {2 * d + 2} or {row[1].lower() for row in rows} - {"true", "false"}:
        raise ValueError("not a table of landmarks")
    numbers = np.array([[float(re.sub("(?i)infinity", "inf", cell)) for cell in row[2:]] for row in rows])
    return np.array([row[1].lower() == "true" for row in rows]), numbers[:, :d], numbers[:, d:]


def _from_json(record: Any) -> tuple[Array, Array, Array]:
    moving, fixed = (_points(record[name]) for name in ("movingPoints", "fixedPoints"))
    active = np.array(record["active"], dtype=bool)
    if moving.shape != fixed.shape or moving.shape[1] not in (2, 3) or active.shape != (len(moving),):
        raise ValueError("not a table of landmarks")
    return active, moving, fixed


def _points(rows: Any) -> Array:
    """Points of a JSON; those that are not set are null or infinite."""
    return np.array([[np.inf if x is None else float(x) for x in row] for row in rows], dtype=float)
