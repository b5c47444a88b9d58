"""Simulated changes of pose: success rates, and false positives on unrelated pairs.

``python variations.py SAMPLE METHOD COUNT OUT.json``; "unrelated" pairs images of different things.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

import contestants
from cell import LIMIT
from made import known_points
from napari_voxreg.core import process
from napari_voxreg.core.geometry import Array, Grid, Image
from napari_voxreg.images.preprocess import driving_channel
from napari_voxreg.samples import SAMPLES, make_sample
from napari_voxreg.transforms import Affine, Transform, chain, warp

KINDS = ("turned", "scaled", "cropped", "inverted", "all")


def trial(name: str, kind: str, seed: int) -> tuple[Image, Image, Transform]:
    """A sample with another seed, its moving image changed; and the truth.

    Turned: rotated by any angle (3D: up to 45 degrees about a random axis); scaled: 0.5 to 2 (3D: 0.7 to
    1.4); cropped: until the moving image shows 35 to 60 % of the fixed one; inverted: dark for bright.
    """
    rng = np.random.default_rng([KINDS.index(kind), seed, *name.encode()])
    made = make_sample(name, seed)
    fixed, moving = driving_channel(made.fixed), driving_channel(made.moving)
    truth = made.truth
    if kind in ("turned", "scaled", "all"):
        pose = _pose(moving.grid, rng, rotated=kind != "scaled", scaled=kind != "turned")
        moving = warp(moving, pose.inverse(), _around(moving.grid, pose))
        truth = chain(truth, pose)
    if kind in ("inverted", "all"):
        moving = moving.with_data(moving.data.max() - moving.data)
    if kind in ("cropped", "all"):
        moving = _cropped(fixed.grid, moving, truth, rng)
    return fixed, moving, truth


def _pose(grid: Grid, rng: np.random.Generator, rotated: bool, scaled: bool) -> Affine:
    """A similarity about the grid's centre."""
    d = grid.ndim
    linear = np.eye(d)
    if rotated and d == 2:
        angle = rng.uniform(0, 2 * np.pi)
        linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    elif rotated:
        axis = rng.standard_normal(3)
        linear = Rotation.from_rotvec(
            np.deg2rad(rng.uniform(10, 45)) * axis / np.linalg.norm(axis)
        ).as_matrix()
    if scaled:
        most = 2.0 if d == 2 else 1.4
        linear = linear * most ** rng.uniform(-1, 1)
    matrix = np.eye(d + 1)
    matrix[:d, :d] = linear
    matrix[:d, d] = grid.centre - linear @ grid.centre
    return Affine(matrix)


def _around(grid: Grid, pose: Affine) -> Grid:
    """An upright grid, of the same pixels, that holds all of a grid moved by a pose."""
    corners = pose(grid.corners())
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.ceil((high - low) / grid.spacing).astype(int) + 1
    return Grid.from_spacing(tuple(shape), grid.spacing, low, units=grid.units)


def _cropped(fixed: Grid, moving: Image, truth: Transform, rng: np.random.Generator) -> Image:
    """The moving image cut along one axis until it shows 35 to 60 % of what it showed of the fixed grid."""
    nodes = fixed.coarsened([max(1, n // 40) for n in fixed.shape]).nodes()
    index = moving.grid.to_index(truth(nodes))
    axis, share = rng.integers(moving.ndim), rng.uniform(0.35, 0.6)
    first = bool(rng.integers(2))
    cut = int(np.quantile(index[:, axis], share if first else 1 - share))
    cut = min(max(cut, 8), moving.grid.shape[axis] - 8)
    kept = slice(0, cut) if first else slice(cut, None)
    box = tuple(kept if k == axis else slice(None) for k in range(moving.ndim))
    corner = [cut if k == axis and not first else 0 for k in range(moving.ndim)]
    data = np.ascontiguousarray(moving.data[box])
    affine = moving.grid.affine.copy()
    affine[:-1, -1] = moving.grid.to_world([corner])[0]
    return Image(data, Grid(data.shape, affine, moving.grid.units))


def unrelated(count: int) -> list[tuple[Image, Image]]:
    """Images of different things, of unit pixels."""
    flat = [name for name, info in SAMPLES.items() if info.ndim == 2]
    pairs = [(a, b, 0, 0) for a, b in permutations(flat, 2)]
    pairs += [(name, name, 0, seed) for seed in (1, 2) for name in ("sar", "microscopy")]  # other places
    found = []
    for first, second, a, b in pairs[:count]:
        fixed, moving = (
            driving_channel(image) for image in (make_sample(first, a).fixed, make_sample(second, b).moving)
        )
        found.append(
            (
                Image(fixed.data, Grid.from_spacing(fixed.grid.shape)),
                Image(moving.data, Grid.from_spacing(moving.grid.shape)),
            )
        )
    return found


def measure(name: str, method: str, count: int) -> dict[str, Any]:
    """Trials of every kind on one sample, or the unrelated pairs."""
    contestants.warm(method, 2 if name == "unrelated" else SAMPLES[name].ndim)
    if name == "unrelated":
        results = [_registered(method, *pair) for pair in unrelated(count)]
        return {"unrelated": [{"reliable": a.reliable, "confidence": a.confidence} for a in results if a]}
    content: dict[str, Any] = {}
    for kind in KINDS:
        content[kind] = []
        for seed in range(count):
            fixed, moving, truth = trial(name, kind, seed)
            first, second = known_points(fixed, moving, truth)
            if method == "pose":
                second = _affine_part(first, second)
            start = time.perf_counter()
            found = _registered(method, fixed, moving)
            row: dict[str, Any] = {"limit": LIMIT * fixed.grid.diagonal, "error": None, "reliable": False}
            if found is not None:
                row["error"] = float(np.linalg.norm(found.transform(first) - second, axis=1).mean())
                row.update(reliable=found.reliable, confidence=found.confidence)
            content[kind].append({**row, "seconds": time.perf_counter() - start})
    return content


def _affine_part(first: Array, second: Array) -> Array:
    """The second points as the affine closest to the truth has them."""
    columns = np.column_stack([first, np.ones(len(first))])
    return columns @ np.linalg.lstsq(columns, second, rcond=None)[0]


def _registered(method: str, fixed: Image, moving: Image) -> contestants.Found | None:
    """The result, or None where the method refuses the pair."""
    try:
        return contestants.registered(method, fixed, moving)
    except (ValueError, RuntimeError):
        return None


if __name__ == "__main__":
    content = measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    process.shutdown()
    Path(sys.argv[4]).write_text(json.dumps(content, indent=1))
