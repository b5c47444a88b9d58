"""What runs for one image of a cohort, in this process or in another."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ...core.geometry import Image
from ...core.progress import Progress, silent
from ...metrics.pair import Scores
from ...metrics.verdict import Verdict, judge
from ...registration.prepare import prepare
from ...registration.register import register
from ...transforms import Transform
from ..running import limited

Measured = tuple[Scores, Scores, Verdict]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a registration gave, or why it failed in one sentence."""

    transform: Transform | None
    notes: tuple[str, ...] = ()
    failure: str = ""
    seconds: float = 0.0


def registration(
    template: Image,
    image: Image,
    method: str,
    initial: Transform | None,
    seed: int,
    device: str,
    threads: int,
    progress: Progress = silent,
) -> Outcome:
    """Register an image to a template; a refusal is an outcome, too."""
    began = time.perf_counter()
    with limited(threads):
        try:
            result = register(
                template, image, method=method, initial=initial, seed=seed, device=device, progress=progress
            )
        except ValueError as error:
            return Outcome(None, failure=str(error), seconds=time.perf_counter() - began)
    return Outcome(result.transform, result.notes, seconds=time.perf_counter() - began)


def measure(
    template: Image,
    image: Image,
    transform: Transform,
    seed: int,
    threads: int,
    progress: Progress = silent,
) -> Measured:
    """The scores before and after, and the verdict."""
    with limited(threads):
        metrics = prepare(template, image, seed=seed, device="cpu").metrics
        before, after = metrics.scores(None, progress), metrics.scores(transform, progress)
        return before, after, judge(metrics, before, after, transform)
