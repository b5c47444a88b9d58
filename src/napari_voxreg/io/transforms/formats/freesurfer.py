"""FreeSurfer's LTA files: a matrix from the source to the destination volume, whose places it states."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....core.geometry import Array, Grid
from ....transforms import Affine
from ...guards import read_text, reading
from ..base import Found, Grids
from ..rows import checked, ras_to_ours

VOXELS, WORLD = 0, 1  # the types of LTA that are read
TYPES = {2: "physical voxels", 14: "register.dat", 21: "coronal volumes"}
NITRANSFORMS = "created by NiTransforms"  # which calls the fixed image the source
EARLY = "LTA-array file created by NiTransforms"  # whose matrix is not inverted either
NEAR = 0.01  # millimetres by which a corner of a stated volume may lie elsewhere
FIELD = r"^\s*{}\s*=\s*([^#\n]*)"


@dataclass(frozen=True, eq=False)
class _Volume:
    """A volume as an LTA states it: voxels along x, y, z, and the matrix from voxels to RAS."""

    size: tuple[int, int, int]
    affine: Array

    def is_like(self, grid: Grid | None) -> bool:
        """Whether a grid has the same voxels in the same places, in whatever order."""
        if grid is None or grid.ndim != 3:
            return False
        here = _corners(self.size) @ self.affine[:3, :3].T + self.affine[:3, 3]
        there = grid.corners()[:, ::-1] * [-1.0, -1.0, 1.0]
        apart = np.linalg.norm(here[:, None] - there[None], axis=-1)
        return sorted(self.size) == sorted(grid.shape) and bool(apart.min(axis=1).max() < NEAR)


def recognises(head: bytes) -> bool:
    """Whether it has the type and the number of transforms of an LTA."""
    text = head.decode("utf-8", "replace")
    return all(re.search(FIELD.format(name), text, re.MULTILINE) for name in ("type", "nxforms"))


def read(path: Path, grids: Grids) -> Found:
    """The map from the fixed to the moving image.

    FreeSurfer's source is the moving image, so its matrix is inverted; not so where the fixed image lies as
    the source does, or where an early NiTransforms has written the file.
    """
    text = read_text(path)
    with reading(path):
        kind, count = (int(_field(text, name)) for name in ("type", "nxforms"))
    if count != 1:
        raise ValueError(
            f"{path.name} holds {count} transforms; save the one of this pair as a file of its own."
        )
    if kind not in (VOXELS, WORLD):
        raise ValueError(
            f"{path.name} is an LTA of type {kind} ({TYPES.get(kind, 'unknown')}); convert it with "
            "lta_convert --outlta, which writes types 0 and 1."
        )
    with reading(path):
        matrix = _matrix(text)
        source, target = (_volume(text, name) for name in ("src", "dst"))
    as_it_is, note = _direction(text, source, target, grids, path.name)
    if kind == VOXELS:
        if source is None or target is None:
            raise ValueError(
                f"{path.name} maps voxels to voxels and does not state where the volumes lie; convert it "
                "with lta_convert --src, --trg and --outlta."
            )
        matrix = target.affine @ matrix @ np.linalg.inv(source.affine)
    matrix = checked(matrix, path)
    return Found(Affine(ras_to_ours(matrix if as_it_is else np.linalg.inv(matrix))), note)


def _direction(
    text: str, source: _Volume | None, target: _Volume | None, grids: Grids, name: str
) -> tuple[bool, tuple[str, ...]]:
    """Whether the source is the fixed image, and a note where that was not certain."""
    head = text.partition("nxforms")[0]
    if EARLY in head:
        return True, (
            f"The matrix of {name} is taken from the fixed to the moving image, as early NiTransforms did.",
        )
    if NITRANSFORMS in head:
        return False, ()
    sides = [[v is not None and v.is_like(g) for g in (grids.fixed, grids.moving)] for v in (source, target)]
    (source_fixed, source_moving), (target_fixed, target_moving) = sides
    straight, inverse = source_fixed + target_moving, source_moving + target_fixed
    if straight != inverse:
        return straight > inverse, ()
    note = f"In {name}, the source (src) is taken as the moving image, as FreeSurfer has it."
    if grids.fixed is None and grids.moving is None:
        note += " Give the fixed image (--fixed) to decide by its place."
    return False, (note,)


def _field(text: str, name: str) -> str:
    found = re.search(FIELD.format(name), text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no {name}")
    return found[1].strip()


def _matrix(text: str) -> Array:
    found = re.search(r"^\s*1\s+4\s+4\s*\n((?:.*\n){4})", text + "\n", re.MULTILINE)
    if found is None:
        raise ValueError("no matrix")
    return np.array([[float(x) for x in line.split()] for line in found[1].splitlines()]).reshape(4, 4)


def _volume(text: str, name: str) -> _Volume | None:
    """Where a volume lies; None where the file does not state it."""
    _, _, block = text.partition(f"{name} volume info\n")
    block = re.split(r"^(?:src|dst) volume info", block, flags=re.MULTILINE)[0]
    if not block or not _field(block, "valid").startswith("1"):
        return None
    numbers = {
        key: np.array([float(x) for x in _field(block, key).split()])
        for key in ("volume", "voxelsize", "xras", "yras", "zras", "cras")
    }
    if any(values.shape != (3,) or not np.isfinite(values).all() for values in numbers.values()):
        raise ValueError("no volume")
    affine = np.eye(4)
    affine[:3, :3] = np.stack([numbers[f"{axis}ras"] for axis in "xyz"], axis=1) * numbers["voxelsize"]
    affine[:3, 3] = numbers["cras"] - affine[:3, :3] @ (numbers["volume"] // 1 / 2)
    x, y, z = (int(n) for n in numbers["volume"])
    if np.linalg.matrix_rank(affine) < 4:
        raise ValueError("no volume")
    return _Volume((x, y, z), affine)


def _corners(size: tuple[int, int, int]) -> Array:
    return np.stack(np.meshgrid(*[(0.0, n - 1.0) for n in size]), axis=-1).reshape(-1, 3)
