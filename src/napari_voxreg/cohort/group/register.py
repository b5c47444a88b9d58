"""`register_cohort`: many images onto one template, which may be made from them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry import Array, Image
from ...core.progress import Progress, logged, silent, subprogress
from ...transforms import Affine, Transform
from ..earlier import notes_on
from ..files import check_apart, folder_names, held
from ..running import SERIAL, cores, runner
from ..series.frames import Frames, Series
from .all_pairs import in_agreement
from .choice import compared, ranked
from .elastix_group import check, deformed_together
from .options import MADE, CohortOptions
from .report import REPORT, check_report, write_report
from .result import RECORD, WORK, CohortResult, Member, check_folder
from .sources import cohort_frames
from .store import Store
from .tasks import Measured, measure, unreliable
from .unbiased import (
    linear_matrix,
    mean_displacement,
    mean_image,
    sharpness,
    without_mean_displacement,
    without_mean_matrix,
)
from .work import Arrived, Work

log = logging.getLogger(__name__)

LINEAR_ROUNDS = 2  # of a group: the mean of the images in place is sharper than any first template
CENTRED = 0.02  # pixels of mean displacement at which a template is left as it is


def ignored(number: int, member: Member) -> None:
    """What becomes of rows that nobody watches."""


def register_cohort(
    images: Series | Frames,
    *,
    options: CohortOptions | Mapping[str, Any] | None = None,
    template: Image | None = None,
    channel: int | str | None = None,
    folder: Path | str | None = None,
    pattern: str | None = None,
    scheduler: str = SERIAL,
    threads: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    arrived: Arrived = ignored,
) -> CohortResult:
    """Bring many images onto one template.

    Parameters
    ----------
    images : sequence of Image or of path, or path
        The images; a folder, a list of paths or file names with ``*``, see `cohort_frames`. They need not
        have the same size.
    options : CohortOptions or mapping, optional
        What the template is, and how images are brought onto it.
    template : Image, optional
        A template of one's own, instead of one of the images or their mean.
    channel : int or "luminance", optional
        Which channel drives; luminance by default.
    folder : path, optional
        Keeps what was found in ``folder/work``, so that a run that was broken off goes on, and a repeated one
        does only what has changed; and ``report.html``, a page on all images. `CohortResult.save` writes the
        rest there.
    pattern : str, optional
        A regular expression that reads patient, side and date in the names, see `cohort_frames`.
    scheduler : str
        Where registrations run: "serial", "processes" of this machine, or the address of a Dask scheduler
        such as "tcp://host:8786". The result is the same to the bit for the same number of threads.
    threads : int, optional
        Of each registration; all cores in serial, else one.
    seed, device
        As in `register`.
    progress : Progress, optional
        Called as the work goes on; raises `Cancelled` to stop it.
    arrived : callable, optional
        Called with the number and the row of an image, in this thread, whenever more is known of it: it is
        unusable, it was aligned or deformed, or measured.

    Returns
    -------
    CohortResult
        One image that cannot be read or aligned stops nothing: its row says why.

    Raises
    ------
    ValueError
        If fewer than two images are usable, or an option does not fit.
    MethodUnavailable
        If elastix is to deform the group and is not installed.
    Cancelled
        If `progress` requested it.
    """
    report = logged(silent if progress is None else progress, log)
    chosen = options if isinstance(options, CohortOptions) else CohortOptions.from_dict(options or {})
    frames = cohort_frames(images, pattern)
    if chosen.image >= frames.count:
        raise ValueError(f"There is no image {chosen.image}; choose from 0 to {frames.count - 1}.")
    if threads is not None and threads < 1:
        raise ValueError(f"A registration cannot have {threads} threads; give 1 or more.")
    check(chosen, template)
    if folder is not None:
        check_apart(frames.sources, Path(folder))
        check_folder(Path(folder))
        check_report(Path(folder) / REPORT)
    began = time.perf_counter()
    store = Store(None if folder is None else Path(folder) / WORK)
    count = threads or (cores() if scheduler == SERIAL else 1)
    with runner(scheduler, count) as run, held(store.folder):
        seconds = [0.0] * frames.count
        work = Work(frames, chosen, channel, seed, device, store, [], seconds, [], run, count, arrived)
        work.look(subprogress(report, 0.0, 0.05))
        matrix, first, found = _found(work, template, subprogress(report, 0.05, 0.9))
        members = _members(work, first, found, subprogress(report, 0.9, 0.95))
    notes = list(_notes(work))
    if folder is not None:
        notes += notes_on(Path(folder) / RECORD, folder_names([member.name for member in members]))
    usable = work.usable
    transforms = [found[k] for k in usable]
    mean = mean_image((work.image(k) for k in usable), transforms, first.grid)
    result = CohortResult(
        first,
        members,
        {
            **chosen.as_dict(),
            "onto": None if template is None else template.name,
            "channel": channel,
            "seed": seed,
            "threads": count,
        },
        mean,
        matrix,
        mean_displacement(transforms, first.grid),
        sharpness(mean),
        time.perf_counter() - began,
        tuple(notes),
        work.disagreement,
        sources=frames.sources,
    )
    if folder is not None:
        write_report(result, frames, Path(folder) / REPORT, progress=subprogress(report, 0.95, 1.0))
    report(1.0, "done")
    return result


def _found(
    work: Work, given: Image | None, progress: Progress
) -> tuple[Array | None, Image, dict[int, Transform]]:
    """The dissimilarities if they were asked, the template, and the transform of each image that has one."""
    chosen = work.options
    if given is None and chosen.template == "all pairs":
        return None, *in_agreement(work, progress)
    matrix, order, first = _first_template(work, given, subprogress(progress, 0.0, 0.1))
    found = _linear(work, first, subprogress(progress, 0.1, 0.4))
    if not work.usable:
        reason = next(problem for problem in work.problems if problem).rstrip(".")
        raise ValueError(f"No image could be aligned ({reason}); choose another template or linear method.")
    if given is None and chosen.template in MADE:
        kept = work.usable
        if chosen.template == "mean of the best":
            kept = [k for k in order if k in work.usable][: chosen.best]
        first, of_mean = _group(work, first, {k: found[k] for k in kept}, subprogress(progress, 0.4, 0.9))
        rest = [k for k in work.usable if k not in kept]
        found = {**found, **_onto(work, first, rest, found, subprogress(progress, 0.9, 1.0)), **of_mean}
    elif chosen.deform != "none":
        found |= work.each(
            first, work.usable, chosen.deform, found, "deforming", subprogress(progress, 0.4, 1.0)
        )
    return matrix, first, found


def _first_template(
    work: Work, given: Image | None, progress: Progress
) -> tuple[Array | None, list[int], Image]:
    """What all images are aligned to first; if that is chosen, the dissimilarities and the order."""
    if given is not None:
        return None, [], given
    if work.options.template == "image":
        if work.problems[work.options.image]:
            raise ValueError(
                f"Image {work.options.image} cannot be the template: {work.problems[work.options.image]}"
            )
        return None, [], work.image(work.options.image)
    kept = work.usable
    part = replace(
        work.frames,
        count=len(kept),
        read=lambda k: work.frames.read(kept[k]),
        names=tuple(work.frames.name(k) for k in kept),
    )
    matrix = compared(part, work.channel, progress)
    whole = np.full((work.frames.count,) * 2, np.nan)
    whole[np.ix_(kept, kept)] = matrix
    order = [kept[k] for k in ranked(matrix)]
    return whole, order, work.image(order[0])


def _linear(work: Work, template: Image, progress: Progress) -> dict[int, Transform]:
    """The linear transform of each image; one that has none is unusable from here on."""
    method = work.options.linear
    if method == "none":
        return {k: Affine.identity(template.ndim) for k in work.usable}
    found, failures = work.run(template, work.usable, method, {}, "aligning", progress)
    for k, failure in failures.items():
        work.problems[k] = failure
        work.arrived(k, work.member(k, None))
    for k, (_, notes) in found.items():
        if unreliable(notes):
            work.problems[k] = "No reliable pose was found."
            work.arrived(k, work.member(k, None))
    return {k: transform for k, (transform, _) in found.items()}


def _onto(
    work: Work, template: Image, numbers: list[int], initial: Mapping[int, Transform], progress: Progress
) -> dict[int, Transform]:
    """Images brought onto a mean that they have no part in."""
    found = dict(initial)
    if work.options.linear != "none":
        first = subprogress(progress, 0.0, 0.4)
        found |= work.each(template, numbers, "affine", initial, "aligning", first)
    if work.options.deform != "none":
        last = subprogress(progress, 0.4, 1.0)
        found |= work.each(template, numbers, work.options.deform, found, "deforming", last)
    return {k: found[k] for k in numbers}


def _group(
    work: Work, template: Image, found: dict[int, Transform], progress: Progress
) -> tuple[Image, dict[int, Transform]]:
    """The mean of a group, unbiased, and the transforms of its images to it."""
    numbers, grid = list(found), template.grid
    deform = work.options.deform
    rounds = {"none": 0, "elastix": 1}.get(deform, work.options.rounds)
    aligned = LINEAR_ROUNDS if work.options.linear != "none" else 0
    total = max(1, aligned + rounds)

    def mean_of(transforms: Mapping[int, Transform]) -> Image:
        return mean_image((work.image(k) for k in numbers), [transforms[k] for k in numbers], grid)

    def unbiased(transforms: Mapping[int, Transform]) -> dict[int, Transform]:
        matrices = without_mean_matrix([linear_matrix(transforms[k], grid) for k in numbers], grid)
        return {k: Affine(matrix) for k, matrix in zip(numbers, matrices, strict=True)}

    linear = unbiased(found)
    mean = mean_of(linear)
    for number in range(aligned):
        part = subprogress(progress, number / total, (number + 1) / total)
        linear = unbiased(work.each(mean, numbers, "affine", linear, "aligning", part))
        mean = mean_of(linear)
    current: dict[int, Transform] = dict(linear)
    for number in range(aligned, total if rounds else aligned):
        part = subprogress(progress, number / total, (number + 1) / total)
        if deform == "elastix":
            current = deformed_together(work, grid, linear, part)
        else:
            current = work.each(mean, numbers, deform, linear, "deforming", part)
        transforms, moved = without_mean_displacement([current[k] for k in numbers], grid)
        log.info("round %d: the mean was deformed by %.3g pixels", number - aligned + 1, moved)
        if moved > CENTRED:
            current = dict(zip(numbers, transforms, strict=True))
        mean = mean_of(current)
    return mean, current


def _members(
    work: Work, template: Image, found: Mapping[int, Transform], progress: Progress
) -> tuple[Member, ...]:
    """The rows of all images."""
    frames, numbers = work.frames, list(found)
    scores: dict[int, Measured] = {}
    arguments = ((template, work.image(k), found[k], work.seed, work.threads) for k in numbers)
    names = [f"measuring {frames.name(k)}" for k in numbers]

    def done(place: int, measured: Measured) -> None:
        number = numbers[place]
        scores[number] = measured
        work.arrived(number, work.member(number, found[number], measured))

    work.runner.each(measure, arguments, names, progress, done)
    return tuple(work.member(k, found.get(k), scores.get(k)) for k in range(frames.count))


def _notes(work: Work) -> tuple[str, ...]:
    """What a user should know of the images."""
    bad = [k for k, problem in enumerate(work.problems) if problem]
    notes = list(work.notes)
    if bad:
        listing = ", ".join(work.frames.name(k) for k in bad[:6]) + (" and others" if len(bad) > 6 else "")
        notes.append(
            f"{len(bad)} of {work.frames.count} images are unusable and take no part in the mean: {listing}."
        )
    if work.store.found:
        notes.append(f"{work.store.found} registrations were taken from an earlier run.")
    return tuple(notes)
