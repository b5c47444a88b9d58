"""The matrices of all frames: against one image, against their mean, or from frame to frame."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from ...core.geometry import Array
from ...core.progress import Progress, silent, subprogress
from .consensus import Edge, consensus
from .frames import Frames, Unlike, check_channels, driving
from .motion import Kind, Match, Template, resampled
from .quality import EMPTY, Look, Problem, look, of_looks

log = logging.getLogger(__name__)

T = TypeVar("T")

SAMPLE = 48  # frames of which the first mean is made
BASES = 12  # of these, one of which the others are aligned to at first
HALF = 2  # pixels of the copies on which a first mean is aligned
COARSEST = 64  # pixels of the copies on which bases are compared; there is one level then
KEYFRAMES = 16  # frames from one to the next
AHEAD = 4  # tasks a thread that are begun before the first has ended


@dataclass(frozen=True, eq=False)
class Job:
    """What to align.

    Parameters
    ----------
    frames : Frames
    kind : str
        The motion that is looked for.
    channel : int, str or None
        Which channel drives.
    problems : list of str
        What is wrong with each frame by its looks.
    workers : int
        Threads.
    """

    frames: Frames
    kind: Kind
    channel: int | str | None
    problems: Sequence[Problem]
    workers: int

    def pixels(self, number: int) -> Array:
        """The pixels of a frame."""
        return self.frames.pixels(number, self.channel)

    @property
    def good(self) -> list[int]:
        """The frames with which nothing is wrong."""
        return [k for k, problem in enumerate(self.problems) if not problem]

    def template(self, pixels: Array, finest: int = 1) -> Template:
        """A template of the job's kind."""
        return Template(pixels, self.frames.grid, self.kind, finest)


def in_threads(
    work: Callable[[Any], T], over: Iterable[Any], workers: int, progress: Progress, message: str
) -> list[T]:
    """The results of some work in the order of what it is done on; progress may raise `Cancelled`."""
    todo = list(over)
    found: list[T] = []
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(work, each) for each in todo[: AHEAD * workers]]
        try:
            for k in range(len(todo)):
                found.append(waiting[k].result())
                if len(waiting) < len(todo):
                    waiting.append(pool.submit(work, todo[len(waiting)]))
                progress((k + 1) / len(todo), message)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def looked_at(frames: Frames, channel: int | str | None, workers: int, progress: Progress) -> list[Problem]:
    """What is wrong with each frame by its looks; one that cannot be read stops nothing.

    Raises
    ------
    ValueError
        If a frame can be read, but does not go with the others.
    """

    def seen(number: int) -> tuple[Look, int | None] | None:
        try:
            image = frames.read(number)
        except Unlike:
            raise
        except (ValueError, OSError) as error:
            log.warning("%s: %s", frames.name(number), error)
            return None
        try:
            return look(frames.placed(driving(image, channel))), image.channels
        except ValueError as error:
            if "no pixel with data" in str(error):
                return Look(0.0, 0.0), image.channels
            raise

    found = in_threads(seen, range(frames.count), workers, progress, "looking at the frames")
    channels = {k: one[1] for k, one in enumerate(found) if one is not None}
    for first, number in pairwise(channels):
        check_channels(frames.name(number), channels[number], frames.name(first), channels[first])
    problems = of_looks([Look(0.0, 0.0) if one is None else one[0] for one in found])
    return ["unreadable" if found[k] is None else problem for k, problem in enumerate(problems)]


def against_one(
    job: Job, template: Template, progress: Progress, initial: Sequence[Match | None] = ()
) -> list[Match | None]:
    """Every frame against one template; None for those in which there is nothing to align."""

    def aligned(number: int) -> Match | None:
        if job.problems[number] in EMPTY:
            return None
        start = initial[number] if initial else None
        return template.align(
            job.pixels(number), [] if start is None else [start.matrix], search=start is None
        )

    return in_threads(aligned, range(job.frames.count), job.workers, progress, "aligning the frames")


def against_mean(job: Job, progress: Progress) -> tuple[list[Match | None], Array]:
    """Every frame against the mean of all once they are aligned, and that mean.

    A few frames give a first mean at half the resolution; all are aligned to it, and give the second.
    """
    good = job.good
    sample = [good[k] for k in np.unique(np.linspace(0, len(good) - 1, SAMPLE).round().astype(int))]
    base = _base(job, sample, subprogress(progress, 0.0, 0.1))
    mean = job.pixels(base)
    for k in range(2):
        stage = subprogress(progress, 0.1 + 0.05 * k, 0.15 + 0.05 * k)
        template = job.template(mean, HALF)
        work = partial(_aligned, job, template)
        matches = in_threads(work, sample, job.workers, stage, "making a first mean")
        mean = mean_of(job, sample, matches, mean)
    first = against_one(job, job.template(mean, HALF), subprogress(progress, 0.2, 0.5))
    mean = mean_of(job, good, [first[k] for k in good], mean, subprogress(progress, 0.5, 0.65))
    return against_one(job, job.template(mean), subprogress(progress, 0.65, 1.0), first), mean


def _aligned(job: Job, template: Template, number: int) -> Match:
    return template.align(job.pixels(number))


def _base(job: Job, sample: Sequence[int], progress: Progress) -> int:
    """The frame that resembles the others most."""
    bases = [sample[k] for k in np.unique(np.linspace(0, len(sample) - 1, BASES).round().astype(int))]
    pixels = [job.pixels(k) for k in bases]

    def resemblance(k: int) -> float:
        template = job.template(pixels[k], COARSEST)
        fits = [template.align(other).correlation for other in pixels]
        return float(np.median(fits))

    found = in_threads(resemblance, range(len(bases)), job.workers, progress, "choosing a first frame")
    return bases[int(np.argmax(found))]


def mean_of(
    job: Job,
    numbers: Sequence[int],
    matches: Sequence[Match | None],
    reference: Array,
    progress: Progress | None = None,
) -> Array:
    """The mean of aligned frames; where none shows anything, the reference.

    Frames that fit badly count less: a blurred or wrong one would stay in the mean.
    """
    grid = job.frames.grid
    fits = np.array([-1.0 if m is None else m.correlation for m in matches])
    usual = float(np.median(fits))
    chosen = [
        (number, match) for number, match, fit in zip(numbers, matches, fits, strict=True)
        if match is not None and fit >= 0.7 * usual
    ]  # fmt: skip
    inverse = np.linalg.inv(grid.affine)

    def warped(each: tuple[int, Match]) -> tuple[Array, Array]:
        number, match = each
        image, inside = resampled(job.pixels(number), inverse @ match.matrix @ grid.affine)
        return image * inside, inside

    total, count = np.zeros(grid.shape), np.zeros(grid.shape)
    size = AHEAD * job.workers
    for start in range(0, len(chosen), size):
        part = chosen[start : start + size]
        for image, inside in in_threads(warped, part, job.workers, silent, ""):
            total += image
            count += inside
        if progress is not None:
            progress(min(1.0, (start + size) / len(chosen)), "averaging the frames")
    return np.where(count > 0, total / np.maximum(count, 1), reference).astype(np.float32)


def along(
    job: Job, lags: Sequence[int], keyframes: bool, reference: int, progress: Progress
) -> list[Match | None]:
    """Matrices from those between frames: so many apart, and between keyframes, against drift."""
    shown = [k for k, problem in enumerate(job.problems) if problem not in EMPTY]
    place = {number: k for k, number in enumerate(shown)}
    pairs = {(shown[k - lag], shown[k]) for lag in lags for k in range(lag, len(shown))}
    if keyframes:
        keys = shown[::KEYFRAMES]
        pairs |= {(keys[place[n] // KEYFRAMES], n) for n in shown if n not in keys}
        pairs |= {(keys[k - lag], keys[k]) for lag in (1, 2, 4) for k in range(lag, len(keys))}
    by_start: dict[int, list[int]] = {}
    for start, end in sorted(pairs):
        by_start.setdefault(start, []).append(end)

    def measured(start: int) -> list[tuple[int, Match]]:
        template = job.template(job.pixels(start))
        return [(end, template.align(job.pixels(end))) for end in by_start[start]]

    found = in_threads(measured, by_start, job.workers, progress, "aligning neighbouring frames")
    edges, best = [], np.full(job.frames.count, -1.0)
    for start, ends in zip(by_start, found, strict=True):
        for end, match in ends:
            if match.correlation > 0:
                edges.append(Edge(start, end, match.matrix, match.correlation**2))
            for k in (start, end):
                best[k] = max(best[k], match.correlation)
    matrices = consensus(edges, job.frames.count, reference, job.frames.grid, job.kind)
    return [None if m is None else Match(m, float(c), 1.0) for m, c in zip(matrices, best, strict=True)]
