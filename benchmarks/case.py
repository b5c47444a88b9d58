"""A pair with what is known of it: real ones from their folder, made ones from a store."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np

from napari_voxreg.core.geometry import Array, Grid, Image
from napari_voxreg.transforms import Affine, warp

ROOT = Path(__file__).resolve().parents[1]
# By greedy from the image centres, -m NCC 2x2x2 -n 100x50x10: world points (z, y, x) of fixed to moving.
ALIGNED = Path(__file__).with_name("aligned.json")
LEAST = 30  # pixels of a structure in both images, below which it is not scored
BUILD = ROOT / "build" / "bench"  # ignored by git; real pairs are never copied there


@dataclass(frozen=True, eq=False)
class Case:
    """A pair and its truth.

    Parameters
    ----------
    fixed, moving : Image
        One channel.
    points : tuple of ndarray or None
        Corresponding world points, (N, d) each: landmarks, or nodes of the fixed grid under the known map.
    labels : tuple of Image or None
        The same structures in both.
    classes : tuple of int
        The labels to score.
    unit : str
        Of errors: "px" or "mm".
    """

    fixed: Image
    moving: Image
    points: tuple[Array, Array] | None = None
    labels: tuple[Image, Image] | None = None
    classes: tuple[int, ...] = ()
    unit: str = "px"


def pairs_module() -> ModuleType | None:
    """The reader of the real pairs in the folder `VOXREG_PAIRS`, or None where it is unset."""
    folder = os.environ.get("VOXREG_PAIRS")
    if not folder:
        return None
    path = Path(folder) / "pairs.py"
    spec = importlib.util.spec_from_file_location("pairs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def channel(pixels: Array, ndim: int) -> Array:
    """One float32 channel; colours become their mean."""
    return (pixels.mean(axis=-1) if pixels.ndim > ndim else pixels).astype(np.float32)


def images(pair: dict) -> tuple[Image, Image]:
    """Fixed and moving of a real pair, with their geometry."""
    fixed, moving = (
        Image(
            data := channel(pair[which], pair["ndim"]),
            Grid.from_spacing(data.shape, pair[f"spacing_{which}"], pair[f"origin_{which}"]),
        )
        for which in ("fixed", "moving")
    )
    return fixed, moving


def real(name: str) -> Case:
    """A real pair with landmarks or labels."""
    module = pairs_module()
    assert module is not None
    pair = module.load(name)
    fixed, moving = images(pair)
    points = labels = None
    if "landmarks_fixed" in pair:
        points = (
            fixed.grid.to_world(pair["landmarks_fixed"]),
            moving.grid.to_world(pair["landmarks_moving"]),
        )
    if "labels_fixed" in pair:
        labels = (
            Image(pair["labels_fixed"].astype(np.uint8), fixed.grid),
            Image(pair["labels_moving"].astype(np.uint8), moving.grid),
        )
    unit = "mm" if pair["ndim"] == 3 else "px"
    return Case(fixed, moving, points, labels, tuple(pair.get("labels", ())), unit)


def aligned(name: str) -> Case:
    """A real pair of volumes, the moving one resampled under the affine map that is kept in aligned.json."""
    case = real(name)
    assert case.labels is not None
    grid, affine = case.fixed.grid, Affine(np.array(json.loads(ALIGNED.read_text())[name]))
    labels = case.labels[0], warp(case.labels[1], affine, grid, order=0)
    return replace(case, moving=warp(case.moving, affine, grid), labels=labels)


def middle(name: str, axis: int) -> Case:
    """The middle plane of an aligned pair across an axis; structures of fewer pixels are not scored."""
    case = aligned(name)
    assert case.labels is not None
    plane = case.fixed.grid.shape[axis] // 2
    kept = [k for k in range(3) if k != axis]
    grid = case.fixed.grid
    flat = Grid.from_spacing([grid.shape[k] for k in kept], grid.spacing[kept])

    def cut(image: Image) -> Image:
        return Image(np.ascontiguousarray(image.data.take(plane, axis)), flat)

    labels = cut(case.labels[0]), cut(case.labels[1])
    sizes = [np.bincount(label.data.ravel(), minlength=256) for label in labels]
    classes = tuple(c for c in case.classes if min(size[c] for size in sizes) >= LEAST)
    return Case(cut(case.fixed), cut(case.moving), None, labels, classes)


def load(source: str) -> Case:
    """The case of a source, a made one made first if the store does not have it.

    Parameters
    ----------
    source : str
        ``real:NAME``, ``aligned:NAME``, ``middle:NAME-AXIS`` or ``made:NAME``.
    """
    kind, name = source.split(":")
    if kind == "real":
        return real(name)
    if kind == "aligned":
        return aligned(name)
    if kind == "middle":
        return middle(name[:-2], int(name[-1]))
    path = BUILD / "made" / f"{name}.npz"
    if not path.exists():  # in a process of its own, for making takes more memory than having
        subprocess.run(
            [sys.executable, str(Path(__file__).with_name("made.py")), name, str(path)], check=True
        )
    return _read(path)


def save(case: Case, path: Path) -> None:
    """Write to an uncompressed file, under its name only when whole."""
    content: dict[str, object] = {"classes": case.classes, "unit": case.unit}
    pairs = {"image": (case.fixed, case.moving), "label": case.labels or ()}
    for kind, both in pairs.items():
        for which, image in zip(("fixed", "moving"), both, strict=False):
            content[f"{kind}_{which}"] = image.data
            content[f"{kind}_{which}_affine"] = image.grid.affine
            content[f"{kind}_{which}_units"] = image.grid.units
    if case.points is not None:
        content["points_fixed"], content["points_moving"] = case.points
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"part-{path.name}")
    np.savez(part, **content)  # type: ignore[arg-type]
    part.replace(path)


def _read(path: Path) -> Case:
    """What `save` wrote."""
    with np.load(path) as content:

        def image(which: str) -> Image:
            data = content[which]
            units = tuple(str(u) for u in content[f"{which}_units"])
            return Image(data, Grid(data.shape, content[f"{which}_affine"], units))

        points = labels = None
        if "points_fixed" in content:
            points = content["points_fixed"], content["points_moving"]
        if "label_fixed" in content:
            labels = image("label_fixed"), image("label_moving")
        classes = tuple(int(c) for c in content["classes"])
        return Case(
            image("image_fixed"), image("image_moving"), points, labels, classes, str(content["unit"])
        )
