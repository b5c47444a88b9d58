"""Pose, then deformation, each kept only where it helps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.geometry import Grid, short_unit
from ..core.params import Params, param
from ..core.progress import Progress, subprogress
from ..metrics.holdout import Copies, Deform, Trial
from ..metrics.pair import NOISE, SCARCE, PairMetrics
from ..transforms import Affine, Transform, chain
from . import diffeo, pose
from .base import Method, Outcome, Task

if TYPE_CHECKING:
    import torch

    from ..diffeo.deform import Deformation
    from ..pose import Pose

# Of LNCC on held-out pixels, absolute and relative, from which a deformation is accepted.
GAIN, SHARE = 0.005, 0.05
# Of LNCC gained beyond chance, from which the images are taken for one anatomy in different people, where
# no block of cortex predicts its neighbour. Noise alone reaches 0.025, two people's brains 0.08 to 0.17. A
# free deformation must gain as much more than the best one on held-out pixels.
EXCESS = 0.045
BEYOND = 0.3  # weight of that excess between two that gain about as much on held-out pixels
UNIFORM = 0.8  # of the relation of the brightnesses, below which a free deformation matches the wrong tissues
# How a deformation may be found, the stiffest first; the choice is made on held-out pixels.
WAYS: dict[int, dict[str, dict[str, Any]]] = {
    2: {
        "local correlation, smoothness 5": {"similarity": "local correlation", "smoothness": 5.0},
        "local correlation, smoothness 1": {"similarity": "local correlation", "smoothness": 1.0},
        "self-similarity, smoothness 0.3": {"similarity": "self-similarity", "smoothness": 0.3},
        "mutual information, smoothness 1": {"similarity": "mutual information", "smoothness": 1.0},
    },
    3: {
        "local correlation, smoothness 5": {"similarity": "local correlation", "smoothness": 5.0},
        "self-similarity, smoothness 1": {"similarity": "self-similarity", "smoothness": 1.0},
        "local correlation, smoothness 1": {"similarity": "local correlation", "smoothness": 1.0},
    },
}
FREE = "local correlation, between subjects"
# Few steps are enough for a trial, in 3D also far control points.
QUICK: dict[int, dict[str, Any]] = {2: {"iterations": 6}, 3: {"control_spacing": 8.0, "iterations": 4}}
QUICK_FREE: dict[int, dict[str, Any]] = {
    2: {"iterations": 6},
    3: {"control_spacing": 4.0, "iterations": 6, "inverse_consistent": False},
}


@dataclass(frozen=True, kw_only=True)
class Auto(Params):
    """Parameters of the automatic method."""

    search: bool = param(
        True,
        "Search rotation, scale and translation globally; if off, start from the current layer positions.",
    )
    deform: bool = param(True, "Add a smooth deformation if it improves held-out pixels.")


@dataclass(frozen=True)
class Stage:
    """A transform found so far, two lines about it, and its trace of the metric."""

    transform: Transform
    done: str
    why: str
    trace: tuple[float, ...] = ()

    def rejected(self, why: str) -> Stage:
        """The same stage with the reason why a deformation was rejected."""
        return replace(self, done=f"{self.done}; no deformation", why=_joined(self.why, why))


def run(task: Task, params: Auto, progress: Progress) -> Outcome:
    """Find the pose, deform where that helps, and report why; see `Run`."""
    from ..tensor.device import with_fallback

    stage = Stage(Affine.identity(task.fixed.ndim), "Started from the current positions", "")
    notes: tuple[str, ...] = ()
    confidence: float | None = None
    used = "cpu"
    if params.search:
        found = pose.find(task, "auto", subprogress(progress, 0.0, 0.5))
        stage = replace(_with_pose(task, found), trace=tuple(found.trace))
        notes, confidence, used = found.notes, found.confidence, found.device
        if not found.reliable and params.deform:
            # A deformation of images of different places would only raise the similarity.
            stage = stage.rejected("so nothing is deformed (use the preset 'deformation only' to do so)")
    if params.deform and (not params.search or found.reliable):
        # As a whole, so that all trials and the chosen deformation run on one device.
        work = partial(_with_deformation, task, stage, subprogress(progress, 0.5, 1.0))
        stage, used, note = with_fallback(work, task.device)
        notes += () if note is None or note in notes else (note,)
    lines = tuple(f"{line}." for line in (stage.done, stage.why) if line)
    return Outcome(stage.transform, lines + notes, stage.trace, confidence, device=used)


def _with_pose(task: Task, found: Pose) -> Stage:
    """The pose that was found, unless the current one is as good."""
    grid = task.fixed.grid
    here = Affine.identity(grid.ndim)
    if not found.reliable:
        return Stage(here, "Pose left as it was", "No pose was reliable")
    if isinstance(found.transform, Affine) and np.allclose(found.transform.matrix, here.matrix):
        return Stage(here, "Pose left as it was", "No other pose fits clearly better")
    metrics = PairMetrics.of(task)
    before, after = (metrics.lncc(t) for t in (None, found.transform))
    current, moved = (metrics.landmark_error(t) for t in (None, found.transform))
    if current is not None and moved is not None:
        if moved > current:
            why = f"The landmarks fit it better (error{_from_to(current, moved)} with the best other)"
            return Stage(here, "Pose left as it was", why)
    elif after < before - NOISE:  # never where one of them is nan
        why = f"The best other pose fits less well (LNCC{_from_to(before, after)})"
        return Stage(here, "Pose left as it was", why)
    done = f"Pose found ({motion(found.transform, grid)}; confidence {found.confidence:.2f})"
    if math.isnan(before) or math.isnan(after):
        return Stage(found.transform, done, "The images did not overlap before")
    return Stage(found.transform, done, f"LNCC{_from_to(before, after)} by the pose")


def _with_deformation(task: Task, stage: Stage, progress: Progress, where: torch.device) -> Stage:
    """The stage with a deformation, if that improves held-out pixels."""
    grid, posed = task.fixed.grid, task.placed(stage.transform)
    metrics = PairMetrics.of(posed)
    if metrics.overlap(None) < SCARCE:
        return stage.rejected("the overlap is too small for a deformation")
    trial = _tried(posed, where, _unmeasured(subprogress(progress, 0.0, 0.4)))
    change = f"held-out pixels (LNCC{_from_to(trial.before, trial.after)})"
    if trial.gain > max(GAIN, SHARE * trial.before):
        evidence = f"improves {change}"
    elif trial.excess > EXCESS:
        evidence = f"raises LNCC by {trial.excess:.3f} more than chance does, as between different people"
    else:
        return stage.rejected(f"a deformation was tried and rejected: no gain on {change}")
    found = _deformed(posed, _way(trial.name, grid.ndim), where, subprogress(progress, 0.4, 1.0))
    before, after = (metrics.lncc(t) for t in (None, found.transform))
    if not after > before:
        return stage.rejected(
            f"a deformation was tried and rejected: no gain on the whole pair (LNCC{_from_to(before, after)})"
        )
    current, moved = (metrics.landmark_error(t) for t in (None, found.transform))
    if current is not None and moved is not None and moved > current:
        return stage.rejected(
            f"a deformation was tried and rejected: landmark error{_from_to(current, moved)}"
        )
    done = f"{stage.done}; then a deformation of up to {_longest(found.transform, grid)} ({trial.name})"
    why = _joined(stage.why, f"the deformation {evidence}")
    return Stage(chain(found.transform, stage.transform), done, why, found.trace)


def _way(name: str, ndim: int) -> dict[str, Any]:
    """The parameters of a way to find a deformation."""
    if name != FREE:
        return WAYS[ndim][name]
    # In 2D comparing both ways gains nothing between people.
    return {**diffeo.BETWEEN_SUBJECTS, "similarity": "local correlation", "inverse_consistent": ndim == 3}


def _tried(task: Task, where: torch.device, progress: Progress) -> Trial:
    """The best way to deform the pair, as far as small copies of it tell.

    The best way on held-out pixels competes with the free deformation that suits different people, whose
    held-out pixels tell little: what each gains beyond chance counts, too.
    """
    d = task.fixed.ndim
    copies = Copies(task.fixed, task.moving, task.fixed_mask, task.moving_mask)
    quick = {FREE: QUICK_FREE[d]}
    candidates = {
        name: _trial_of(task, _way(name, d) | quick.get(name, QUICK[d]), where) for name in (*WAYS[d], FREE)
    }
    trials = copies.held_out(candidates, subprogress(progress, 0.0, 0.7))
    known = {name: trial for name, trial in trials.items() if math.isfinite(trial.gain)}
    if not known:
        return trials[FREE]
    best = sorted(known.values(), key=lambda trial: trial.gain, reverse=True)[:2]
    free = copies.with_excess(trials[FREE], candidates[FREE], subprogress(progress, 0.7, 0.8))
    people = free.excess > EXCESS and free.uniform > UNIFORM
    if not people and not best[0].gain > GAIN:
        return best[0]
    finalists = [
        free
        if trial.name == FREE
        else copies.with_excess(
            trial, candidates[trial.name], subprogress(progress, 0.8 + 0.1 * k, 0.9 + 0.1 * k)
        )
        for k, trial in enumerate(best)
    ]
    if people and free.excess > EXCESS + max(trial.excess for trial in finalists if trial is not free):
        return free
    return max(finalists, key=lambda trial: trial.gain + BEYOND * trial.excess)


def _deformed(task: Task, way: Mapping[str, Any], where: torch.device, progress: Progress) -> Deformation:
    """What the deformable method finds with some parameters changed."""
    from ..diffeo.deform import deform_on
    from ..diffeo.settings import Settings

    return deform_on(where, task, Settings(**diffeo.METHOD.parameters(params=way).as_dict()), progress)


def _trial_of(task: Task, way: Mapping[str, Any], where: torch.device) -> Deform:
    """The deformable method as a function that can be tried on smaller images of the pair."""

    def deform(*images: Any) -> Transform:
        fixed, moving, fixed_mask, moving_mask, progress = images
        small = replace(task, fixed=fixed, moving=moving, fixed_mask=fixed_mask, moving_mask=moving_mask)
        return _deformed(small, way, where, progress).transform

    return deform


def _unmeasured(progress: Progress) -> Progress:
    """Progress without the metric: that of many small trials makes no curve."""
    return lambda fraction, message, metric=None: progress(
        fraction, "testing deformations on held-out pixels"
    )


def _joined(*clauses: str) -> str:
    """Clauses of a sentence, its first letter large."""
    sentence = "; ".join(clause for clause in clauses if clause)
    return sentence[:1].upper() + sentence[1:]


def motion(transform: Transform, grid: Grid) -> str:
    """Rotation, scale and translation of a pose at the middle of a grid, in words."""
    centre = grid.centre[None]
    u, stretch, vt = np.linalg.svd(transform.jacobian(centre)[0])
    cosine = (np.trace(u @ vt) - (grid.ndim - 2)) / 2
    angle = math.degrees(math.acos(float(np.clip(cosine, -1, 1))))
    scale = float(np.prod(stretch) ** (1 / grid.ndim))
    translation = float(np.linalg.norm(transform(centre) - centre))
    unit = short_unit(grid.units[0])
    return f"rotated by {angle:.1f}°, scaled by {scale:.3g}, translated by {translation:.3g} {unit}"


def _longest(transform: Transform, grid: Grid) -> str:
    """The longest displacement, on a lattice of the grid."""
    nodes = grid.coarsened([max(1, n // 64) for n in grid.shape]).nodes()
    longest = float(np.linalg.norm(transform(nodes) - nodes, axis=1).max())
    return f"{longest:.3g} {short_unit(grid.units[0])}"


def _from_to(before: float, after: float) -> str:
    return f" {before:.3f} -> {after:.3f}"


METHOD = Method(
    name="auto",
    title="Auto",
    params=Auto,
    run=run,
    presets={"any pair": {}, "pose only": {"deform": False}, "deformation only": {"search": False}},
    motion="deformable",
    isolate=True,
    landmarks=True,
    anywhere=True,
    device=True,
    loads=(*pose.METHOD.loads, "napari_voxreg.diffeo.deform"),
    reference="the methods pose and diffeo; a deformation is kept if it improves held-out blocks",
)
