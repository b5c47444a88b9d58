"""How `auto` deforms: ways to do it, and trials on small copies of the pair that choose one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..core.progress import Progress, subprogress
from ..metrics.holdout import Copies, Deform, Trial
from ..transforms import Transform, chain
from . import diffeo
from .base import Task

if TYPE_CHECKING:
    import torch

    from ..diffeo.deform import Deformation

Images = Literal["any", "one object", "different people", "two sensors", "movie frames"]

# Of LNCC on held-out pixels, absolute and relative, from which a deformation is accepted.
GAIN, SHARE = 0.005, 0.05
# Of LNCC gained beyond chance, from which the images are taken for one anatomy in different people, where
# no block of cortex predicts its neighbour. Noise alone reaches 0.025, two people's brains 0.08 to 0.17. A
# free deformation must gain as much more than the best one on held-out pixels.
EXCESS = 0.045
# Weight of that excess between two that gain about as much on held-out pixels. Less than EXCESS, as on the
# speckle of radar images, says nothing: counted, it chose 5.1 px where a stiffer deformation has 2.8.
BEYOND = 0.3
UNIFORM = 0.8  # of the relation of the brightnesses, below which a free deformation matches the wrong tissues
# Of the correlation of all pixels, below which brightness is no evidence: mean squares then match the wrong
# tissues. Two phases of one heart have 0.8 to 0.9, two people's brains 0.2 to 0.7. Not in 3D, where a lung
# that fills with air becomes darker (1.77 mm instead of 1.33).
ALIKE = 0.6
SQUARES = "mean squares, smoothness 1"
# How a deformation may be found, the stiffest first; the choice is made on held-out pixels.
WAYS: dict[int, dict[str, dict[str, Any]]] = {
    2: {
        "local correlation, smoothness 5": {"similarity": "local correlation", "smoothness": 5.0},
        "local correlation, smoothness 1": {"similarity": "local correlation", "smoothness": 1.0},
        "self-similarity, smoothness 0.3": {"similarity": "self-similarity", "smoothness": 0.3},
        "mutual information, smoothness 1": {"similarity": "mutual information", "smoothness": 1.0},
        SQUARES: {"similarity": "mean squares", "smoothness": 1.0},
    },
    3: {
        "local correlation, smoothness 5": {"similarity": "local correlation", "smoothness": 5.0},
        "self-similarity, smoothness 1": {"similarity": "self-similarity", "smoothness": 1.0},
        "local correlation, smoothness 1": {"similarity": "local correlation", "smoothness": 1.0},
    },
}
FREE = "local correlation, between subjects"
FREE_ACROSS = "self-similarity, between subjects"
BETWEEN = {FREE: "local correlation", FREE_ACROSS: "self-similarity"}
# Few steps are enough for a trial and where time counts, in 3D also far control points.
QUICK: dict[int, dict[str, Any]] = {2: {"iterations": 6}, 3: {"control_spacing": 8.0, "iterations": 4}}
QUICK_FREE: dict[int, dict[str, Any]] = {
    2: {"iterations": 6},
    3: {"control_spacing": 4.0, "iterations": 6, "inverse_consistent": False},
}


@dataclass(frozen=True)
class Choice:
    """The way to deform a pair, and what speaks for it; `accepted` says whether that is enough.

    Parameters
    ----------
    name : str
        The way, for the user and `way_of`.
    accepted : bool
    why : str
        A clause for the user.
    """

    name: str
    accepted: bool
    why: str


def choose(
    task: Task, start: Transform | None, images: Images, where: torch.device, progress: Progress
) -> Choice:
    """Whether and how to deform a pair, as far as small copies of it tell.

    Parameters
    ----------
    task : Task
        A pair as well aligned as the pose brings it.
    start : Transform or None
        A deformation of the pair with which each of those to choose from begins.
    images : str
        What is known of them and need not be found out: in one object nothing is new, different people
        always differ, and with two sensors local correlation misleads.
    where : torch.device
        Where to compute.
    progress : Progress
        Called during the trials.
    """
    copies = Copies(task.fixed, task.moving, task.fixed_mask, task.moving_mask)
    if images == "different people":
        known = Trial(FREE, math.nan, math.nan)
        free = copies.with_excess(known, _trial_of(task, start, FREE, where), progress)
        name = FREE if free.uniform > UNIFORM else FREE_ACROSS
        return Choice(name, True, "the deformation is soft, as the images show different people")
    trial = _tried(task, start, copies, images, where, progress)
    change = f"held-out pixels (LNCC{from_to(trial.before, trial.after)})"
    if trial.gain > max(GAIN, SHARE * trial.before):
        return Choice(trial.name, True, f"the deformation improves {change}")
    if trial.excess > EXCESS:
        gained = f"the deformation raises LNCC by {trial.excess:.3f} more than chance does"
        return Choice(trial.name, True, f"{gained}, as between different people")
    return Choice(trial.name, False, f"a deformation was tried and rejected: no gain on {change}")


def from_to(before: float, after: float) -> str:
    """A measure before and after, for a sentence."""
    return f" {before:.3f} -> {after:.3f}"


def ways(images: Images, ndim: int) -> list[str]:
    """Names of the ways that suit images of which something is known, the stiffest first."""
    if images == "different people":
        return [FREE, FREE_ACROSS]
    named = [
        name
        for name, way in WAYS[ndim].items()
        if images != "two sensors" or way["similarity"] != "local correlation"
    ]
    return [*named, FREE] if images == "any" else named


def way_of(name: str, ndim: int) -> dict[str, Any]:
    """The parameters of a way to find a deformation."""
    if name in WAYS[ndim]:
        return WAYS[ndim][name]
    # In 2D comparing both ways gains nothing between people.
    return {**diffeo.BETWEEN_SUBJECTS, "similarity": BETWEEN[name], "inverse_consistent": ndim == 3}


def quick_way_of(name: str, ndim: int) -> dict[str, Any]:
    """The same with few steps."""
    return way_of(name, ndim) | (QUICK if name in WAYS[ndim] else QUICK_FREE)[ndim]


def deformed(task: Task, way: Mapping[str, Any], where: torch.device, progress: Progress) -> Deformation:
    """What the deformable method finds with some parameters changed."""
    from ..diffeo.deform import deform_on
    from ..diffeo.settings import Settings

    return deform_on(where, task, Settings(**diffeo.METHOD.parameters(params=way).as_dict()), progress)


def _tried(
    task: Task,
    start: Transform | None,
    copies: Copies,
    images: Images,
    where: torch.device,
    progress: Progress,
) -> Trial:
    """The best of several deformations.

    The best way on held-out pixels competes with the free deformation that suits different people, whose
    held-out pixels tell little: what each gains beyond chance counts, too.
    """
    names = [n for n in ways(images, task.fixed.ndim) if n != SQUARES or copies.correlation > ALIKE]
    candidates = {name: _trial_of(task, start, name, where) for name in names}
    trials = copies.held_out(candidates, subprogress(progress, 0.0, 0.7))
    known = [trial for trial in trials.values() if math.isfinite(trial.gain)]
    free = None
    if FREE in trials:
        free = copies.with_excess(trials[FREE], candidates[FREE], subprogress(progress, 0.7, 0.8))
    people = free is not None and free.excess > EXCESS and free.uniform > UNIFORM
    # Of one scene the free deformation follows speckle, too.
    firm = [trial for trial in known if trial.name != FREE or people]
    best = sorted(firm, key=lambda trial: trial.gain, reverse=True)[:2]
    if not best:
        return trials[names[0]]
    if not people and not best[0].gain > GAIN:
        return best[0]
    finalists = {
        trial.name: copies.with_excess(
            trial, candidates[trial.name], subprogress(progress, 0.8 + 0.1 * k, 0.9 + 0.1 * k)
        )
        for k, trial in enumerate(best)
        if trial.name != FREE
    }
    if people and free is not None:
        others = max((trial.excess for trial in finalists.values()), default=0.0)
        if free.excess > EXCESS + others:
            return free
        if any(trial.name == FREE for trial in best):
            finalists[FREE] = free
    return max(finalists.values(), key=lambda trial: trial.gain + BEYOND * max(trial.excess, EXCESS))


def _trial_of(task: Task, start: Transform | None, name: str, where: torch.device) -> Deform:
    """A way to deform as a function that can be tried quickly on smaller images of the pair."""
    way = quick_way_of(name, task.fixed.ndim)

    def deform(*images: Any) -> Transform:
        fixed, moving, fixed_mask, moving_mask, progress = images
        small = replace(task, fixed=fixed, moving=moving, fixed_mask=fixed_mask, moving_mask=moving_mask)
        if start is None:
            return deformed(small, way, where, progress).transform
        return chain(deformed(small.placed(start), way, where, progress).transform, start)

    return deform
