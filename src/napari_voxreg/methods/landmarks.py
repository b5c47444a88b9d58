"""A transform that was fitted to landmarks: the initial transform as it is, with what was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..core.params import Params, param
from ..core.progress import Progress
from . import by_hand
from .base import Method, Outcome, Task


@dataclass(frozen=True, kw_only=True)
class LandmarkFit(Params):
    """What was fitted; for the record alone."""

    fit: Literal["translation", "rigid", "similarity", "affine", "homography", "thin plate"] = param(
        "affine", "The kind of transform that was fitted"
    )
    smoothing: float = param(0.0, "Of a thin plate; 0 passes through every landmark", range=(0, 1e9))
    pairs: int = param(0, "Pairs of landmarks", range=(0, 1e9))


def run(task: Task, params: LandmarkFit, progress: Progress) -> Outcome:
    """Leave the pair where the initial transform puts it; see `Run`."""
    return by_hand.run(task, by_hand.ByHand(), progress)


METHOD = Method(
    name="landmarks",
    title="Fit to landmarks",
    params=LandmarkFit,
    run=run,
    presets={"default": {}},
    motion="deformable",
    reference="The initial transform as it is",
)
