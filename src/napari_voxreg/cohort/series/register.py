"""`register_series`: the frames of a movie or a stack, aligned to each other."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core.geometry import Array, Image
from ...core.params import Params
from ...core.progress import Progress, logged, silent, subprogress
from ...methods.base import Method
from ...registration.prepare import method_named
from ...registration.register import register
from ...transforms import Affine, Transform, warp
from ..running import cores
from .aligning import Job, against_mean, against_one, along, looked_at, mean_of
from .bridging import bridged, smoothed
from .frames import Frames, Series, frames_of
from .motion import Match
from .options import LAGS, SeriesOptions
from .quality import EMPTY, Problem, of_matches
from .result import Frame, SeriesResult

log = logging.getLogger(__name__)

NEIGHBOURS = 3  # aligned frames whose mean the next one is deformed to


def register_series(
    series: Series | Frames,
    *,
    axis: int | None = None,
    options: SeriesOptions | Mapping[str, Any] | None = None,
    method: str | None = None,
    preset: str | None = None,
    params: Params | Mapping[str, Any] | None = None,
    channel: int | str | None = None,
    workers: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> SeriesResult:
    """Align the frames of a series: correct the motion of a movie, or align the sections of a stack.

    Every frame is first aligned by a fast search for linear motion (phase correlation, then Gauss-Newton).
    Frames that are blank or show something else are found; their motion is that between their neighbours. A
    method, if one is given, then goes on from there, frame by frame.

    Parameters
    ----------
    series : Image, array_like, sequence of Image, sequence of path, or path
        One image whose frames follow each other along `axis`; its pixels may be lazy. Or images or files, one
        a frame; or a folder or a pattern with ``*``, whose files are taken in the order of their names.
    axis : int, optional
        Along which the frames of one image follow each other; the first by default.
    options : SeriesOptions or mapping, optional
        The kind of motion, the reference, smoothing over time.
    method : str, optional
        A name in ``METHODS``, to be run on each frame from its linear motion on.
    preset, params : optional
        Of the method, as in `register`.
    channel : int or "luminance", optional
        Which channel drives; luminance by default. The result is for all of them.
    workers : int, optional
        Threads; as many as there are cores by default. The result does not depend on their number.
    seed, device
        Of the method, as in `register`.
    progress : Progress, optional
        Called as the work goes on; raises `Cancelled` to stop it.

    Returns
    -------
    SeriesResult

    Raises
    ------
    ValueError
        In one sentence, for a series that cannot be read or an option that does not fit.
    Cancelled
        If `progress` requested it.
    """
    report = logged(silent if progress is None else progress, log)
    chosen = options if isinstance(options, SeriesOptions) else SeriesOptions.from_dict(options or {})
    values = (
        None if method is None else (method_named(method), method_named(method).parameters(preset, params))
    )
    frames = series if isinstance(series, Frames) else frames_of(series, axis)
    if chosen.frame >= frames.count:
        raise ValueError(f"There is no frame {chosen.frame}; choose from 0 to {frames.count - 1}.")
    threads = cores() if workers is None else max(1, int(workers))
    began = time.perf_counter()
    end = 0.9 if values is None else 0.3
    problems = looked_at(frames, channel, threads, subprogress(report, 0.0, 0.1 * end))
    job = Job(frames, chosen.motion, channel, problems, threads)
    if not job.good:
        raise ValueError("No frame of the series shows anything; check the images and the channel.")
    matches, mean = _matches(job, chosen, subprogress(report, 0.1 * end, end))
    found = of_matches(problems, matches)
    kept = [
        None if m is None or problem in (*EMPTY, "moved away") else m.matrix
        for m, problem in zip(matches, found, strict=True)
    ]
    matrices = bridged(kept)
    if chosen.smooth > 0:
        matrices = smoothed(matrices, chosen.smooth, frames.grid, chosen.motion)
    transforms: list[Transform] = [Affine(matrix) for matrix in matrices]
    if values is not None:
        runs = _Runs(job, *values, seed, device)
        transforms = runs.deformed(transforms, found, mean, chosen, subprogress(report, end, 1.0))
    report(1.0, "done")
    return SeriesResult(
        tuple(transforms),
        frames.grid,
        tuple(
            Frame(frames.name(k), found[k], float("nan") if m is None else m.correlation)
            for k, m in enumerate(matches)
        ),
        {**chosen.as_dict(), "method": method, "channel": channel, "seed": seed},
        frames.step,
        frames.unit,
        Image(mean, frames.grid, "mean"),
        time.perf_counter() - began,
        _notes(frames, found),
        sources=frames.sources,
    )


def _matches(job: Job, options: SeriesOptions, progress: Progress) -> tuple[list[Match | None], Array]:
    """Every frame against the reference, and what it looks like."""
    if options.reference == "mean":
        return against_mean(job, progress)
    if (problem := job.problems[options.frame]) in EMPTY:
        name = f"Frame {options.frame}" + (
            f" ({job.frames.names[options.frame]})" if job.frames.names else ""
        )
        reason = "cannot be read" if problem == "unreadable" else "shows nothing"
        raise ValueError(f"{name} {reason}; choose another reference frame.")
    pixels = job.pixels(options.frame)
    if options.reference == "frame":
        return against_one(job, job.template(pixels), progress), pixels
    previous = options.reference == "previous"
    matches = along(job, (1,) if previous else LAGS, previous, options.frame, subprogress(progress, 0, 0.9))
    good = [k for k in job.good if matches[k] is not None]
    mean = mean_of(job, good, [matches[k] for k in good], pixels, subprogress(progress, 0.9, 1.0))
    return matches, mean


class _Runs:
    """A method on each frame, from its linear motion on."""

    def __init__(self, job: Job, method: Method, params: Params, seed: int, device: str) -> None:
        self.job, self.method, self.params = job, method, params
        self.seed, self.device = seed, device

    def deformed(
        self,
        transforms: Sequence[Transform],
        problems: Sequence[Problem],
        mean: Array,
        options: SeriesOptions,
        progress: Progress,
    ) -> list[Transform]:
        """The transforms that the method finds; frames with a problem keep their linear one."""
        found = list(transforms)
        in_turn = options.reference in ("previous", "lags")
        order = sorted(range(len(found)), key=lambda k: abs(k - options.frame))
        aligned: dict[int, Array] = {}
        for done, k in enumerate(order):
            stage = subprogress(progress, done / len(order), (done + 1) / len(order))
            stage(0.0, f"{self.method.title}, frame {done + 1} of {len(order)}")
            fixed = self._neighbours(k, options.frame, aligned) if in_turn else mean
            if problems[k] or (in_turn and fixed is None and k != options.frame):
                continue
            if not (in_turn and k == options.frame):
                found[k] = self._one(mean if fixed is None else fixed, k, found[k], stage)
            if in_turn:
                grid = self.job.frames.grid
                image = Image(self.job.pixels(k), grid)
                aligned[k] = warp(image, found[k], grid, fill=None).data
        return found

    def _neighbours(self, number: int, start: int, aligned: Mapping[int, Array]) -> Array | None:
        """The mean of the aligned frames before this one, seen from the reference on."""
        step = 1 if number > start else -1
        near = [aligned[k] for k in range(number - step, start - step, -step) if k in aligned][:NEIGHBOURS]
        return np.asarray(np.mean(near, axis=0), np.float32) if near else None

    def _one(self, fixed: Array, number: int, initial: Transform, progress: Progress) -> Transform:
        grid = self.job.frames.grid
        return register(
            Image(fixed, grid, "mean of the series"),
            Image(self.job.pixels(number), grid, self.job.frames.name(number)),
            method=self.method.name,
            params=self.params,
            initial=initial,
            seed=self.seed,
            device=self.device,
            progress=progress,
        ).transform


def _notes(frames: Frames, problems: Sequence[Problem]) -> tuple[str, ...]:
    """What a user should know of the frames."""
    words = {
        "unreadable": ("cannot be read; its motion is", "cannot be read; their motion is", " interpolated"),
        "blank": ("shows nothing; its motion is", "show nothing; their motion is", " interpolated"),
        "moved away": (
            "does not resemble the others; its motion is",
            "do not resemble the others; their motion is",
            " interpolated",
        ),
        "blurred": ("is blurred and", "are blurred and", " left out of the mean"),
    }
    notes = []
    for problem, (one, several, end) in words.items():
        numbers = [k for k, found in enumerate(problems) if found == problem]
        if numbers:
            listing = ", ".join(frames.name(k) if frames.names else str(k) for k in numbers[:8])
            more = f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
            text = (one if len(numbers) == 1 else several) + end
            notes.append(f"{len(numbers)} of {frames.count} frames {text}: {listing}{more}.")
    return tuple(notes)
