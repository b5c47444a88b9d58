"""What each source of poses and each piece of evidence brings `auto`: ``python ablation.py PART OUT.json``.

One part is taken out; then the poses of all real 2D pairs with landmarks and of unrelated generated pairs are
found. A source that is taken out proposes nothing. Evidence that is taken out always speaks for the pose; the
lead and the support, of which one is enough, never do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import unrelated
from case import pairs_module, real
from cell import LIMIT
from napari_voxreg.core.geometry import Grid, Image
from napari_voxreg.core.progress import silent
from napari_voxreg.methods import pose, proposals
from napari_voxreg.pose import confidence, plane
from napari_voxreg.registration.prepare import prepare
from tables import Results, table

UNRELATED = 40  # pairs
NOTHING = "nothing"
Part = Callable[[], AbstractContextManager[Any]]


def _sources(*kept: Any) -> Part:
    return lambda: patch.object(pose, "sources", lambda ndim: kept)


def _evidence(**fixed: float) -> Part:
    """The confidence with some of its arguments always the same."""
    original = confidence._confidence

    def changed(margin: float, gap: float, agree: float, support: float) -> float:
        return original(**({"margin": margin, "gap": gap, "agree": agree, "support": support} | fixed))

    return lambda: patch.object(confidence, "_confidence", changed)


def _without_search() -> AbstractContextManager[Any]:
    """All that is proposed is refined and judged as if a search had brought nothing else."""

    def judged(scene: plane.Scene, known: Any, *_: Any, mirrored: bool = False) -> plane.Found:
        if not len(known.matrices):
            return plane.Found(scene_pose(scene), confidence.Evidence(), (0.0,))
        crowd = plane._near(scene, scene.poses(known.matrices))
        return plane._judged(scene, known, crowd, (), searched=False)

    def scene_pose(scene: plane.Scene) -> plane.Scored:
        return plane.Scored(scene.poses(np.eye(3)[None]), np.zeros(1), np.zeros(1), np.zeros(1))

    return patch.object(plane, "_find", judged)


WITHOUT: dict[str, Part] = {
    NOTHING: nullcontext,
    "affine network": _sources(),
    "affine network after rotations": _sources(proposals.network_from_here),
    "proposals rotated all around": lambda: patch.object(plane, "_turned", lambda scene, pose: pose),
    "search of all poses": _without_search,
    "mutual information": lambda: patch.object(plane, "by_grey_values", lambda *_: None),
    "halves that meet": _evidence(gap=0.0),
    "structure in place": _evidence(agree=1.0),
    "lead over other poses": _evidence(margin=0.0),
    "support by the network": _evidence(support=0.0),
    "no repetition": lambda: patch.object(plane, "unrepeated", lambda *_: 1.0),
    "insides of objects": lambda: patch.object(plane.information, "inside", lambda *_: 9.0),
}


def measure(without: str) -> dict[str, Any]:
    """Errors before and after by pair, as fractions of the diagonal, and how many unrelated pairs moved."""
    module = pairs_module()
    known = module.pairs() if module else []
    names = [p["name"] for p in known if p["truth"] == "landmarks" and p["ndim"] == 2]
    errors = {}
    with WITHOUT[without]():
        for name in names:
            case = real(name)
            first, second = case.points
            task = prepare(case.fixed, case.moving, device="cpu").task
            found = pose.find(task, "auto", silent).transform
            length = case.fixed.grid.diagonal
            errors[name] = [
                float(np.linalg.norm(ends - second, axis=1).mean()) / length for ends in (first, found(first))
            ]
        moved = 0
        for _, *pixels in unrelated.pairs(2, UNRELATED):
            images = (Image(x, Grid.from_spacing(x.shape)) for x in pixels)
            moved += pose.find(prepare(*images, device="cpu").task, "auto", silent).reliable
    return {"errors": errors, "moved": moved}


def page(results: Results) -> str:
    """A row a part that is taken out."""
    rows = []
    for (_, without), cell in results.items():
        if "failed" in cell:
            rows.append([without, cell["failed"], "", ""])
            continue
        pairs = list(cell["errors"].values())
        within = sum(after <= LIMIT for _, after in pairs)
        worse = sum(after > before + 0.001 for before, after in pairs)
        rows.append([without, f"{within} of {len(pairs)}", str(worse), f"{cell['moved']} of {UNRELATED}"])
    head = ("taken out", "within 1 %", "made worse", "unrelated pairs moved")
    words = (
        "The pose that `auto` finds, without a deformation, for the real 2D pairs with landmarks and for "
        "unrelated generated pairs, with one source of poses or one piece of evidence taken out."
    )
    return f"{words}\n\n{table(head, rows)}"


if __name__ == "__main__":
    content = measure(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps(content, indent=1))
