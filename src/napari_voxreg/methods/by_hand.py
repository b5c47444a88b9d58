"""A transform that was found by eye: the initial transform as it is."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.params import Params
from ..core.progress import Progress
from ..transforms import Affine
from .base import Method, Outcome, Task


@dataclass(frozen=True, kw_only=True)
class ByHand(Params):
    """There are none."""


def run(task: Task, params: ByHand, progress: Progress) -> Outcome:
    """Leave the pair where the initial transform puts it; see `Run`."""
    return Outcome(Affine.identity(task.fixed.ndim))


METHOD = Method(
    name="by hand",
    title="Pose by hand",
    params=ByHand,
    run=run,
    presets={"default": {}},
    motion="affine",
    reference="The initial transform as it is",
)
