"""What runs for one image of a cohort, in this process or in another."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from ...core.geometry import Image
from ...core.progress import Progress, silent, subprogress
from ...metrics.pair import Scores
from ...metrics.verdict import Verdict, judge, objection
from ...registration.prepare import method_named, prepare
from ...registration.register import register
from ...registration.result import Result
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
    """Register an image to a template; a refusal is an outcome, too.

    Where no pose is reliable, it is aligned from where it lies, if its match there is more than chance.
    """
    began = time.perf_counter()
    with limited(threads):
        try:
            result = register(
                template, image, method=method, initial=initial, seed=seed, device=device, progress=progress
            )
            if unreliable(result.notes):
                last = subprogress(progress, 1.0, 1.0)
                result = _from_where_it_lies(template, image, seed, device, last) or result
        except ValueError as error:
            return Outcome(None, failure=str(error), seconds=time.perf_counter() - began)
    return Outcome(result.transform, result.notes, seconds=time.perf_counter() - began)


def unreliable(notes: Iterable[str]) -> bool:
    """Whether the notes on a registration say that it found no pose."""
    return any(note.startswith("No reliable pose") for note in notes)


def _from_where_it_lies(
    template: Image, image: Image, seed: int, device: str, progress: Progress
) -> Result | None:
    """An image aligned from where it lies, None if its match is no more than chance.

    Small and smooth images have too few details to tell one pose among all, yet enough to tell from chance
    that they lie on each other.
    """
    pair = prepare(template, image, seed=seed, device=device)
    try:
        found = pair.run("affine", method_named("affine").parameters(), progress)
    except ValueError:  # the images do not meet
        return None
    return None if objection(pair.metrics, found.transform) else found


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
