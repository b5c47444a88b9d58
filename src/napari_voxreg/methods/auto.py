"""Pose, then deformation, each kept only where it helps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..core.geometry import Grid, short_unit
from ..core.params import Params, param
from ..core.progress import Progress, subprogress
from ..metrics.pair import NOISE, SCARCE, PairMetrics
from ..metrics.verdict import objection
from ..transforms import Affine, Transform, chain
from . import pose
from .base import Method, Outcome, Task
from .deformations import Images, choose, deformed, from_to, quick_way_of, way_of, ways
from .flow import inverse_search as flow
from .networks import voxelmorph
from .proposals import weights

if TYPE_CHECKING:
    import torch

    from ..pose import Pose

Weights = tuple[tuple[str, str], ...]  # names and SHA-256
# The affine network has run, and what is refined is chosen here.
PREDICTION = {"affine_first": False, "refine": False}
# Axes of images whose deformation begins with the network's. In 3D that takes seconds and brings nothing:
# hippocampi 0.776 -> 0.772, a lung 1.33 -> 1.42 mm.
GUIDED = (2,)
# Of a fast deformation in 2D; whether nearer control points help takes trials.
FAR = {"control_spacing": 16.0}


@dataclass(frozen=True, kw_only=True)
class Auto(Params):
    """Parameters of the automatic method."""

    search: bool = param(
        True,
        "Search rotation, scale and translation globally; if off, start from the current layer positions.",
    )
    deform: bool = param(True, "Add a smooth deformation if it improves held-out pixels.")
    images: Images = param(
        "any",
        "What is known of the images and need not be found out: one object at two times, different people, "
        "one scene by two sensors, or frames of a movie (in 2D followed by optical flow).",
    )
    thorough: bool = param(
        True,
        "Search all poses where none is clear, and try several deformations; if off, this takes a third of "
        "the time and finds less.",
    )


@dataclass(frozen=True)
class Stage:
    """A transform found so far, two lines about it, its trace of the metric and the weights used.

    `edges` tells whether the images share edges, which the network needs.
    """

    transform: Transform
    done: str
    why: str
    trace: tuple[float, ...] = ()
    weights: Weights = ()
    edges: bool = True

    def rejected(self, why: str) -> Stage:
        """The same stage with the reason why a deformation was rejected."""
        return replace(self, done=f"{self.done}; no deformation", why=_joined(self.why, why))


@dataclass(frozen=True)
class Bent:
    """A deformation, None if there is no reason for any, its name, why, the trace and the weights used."""

    transform: Transform | None
    name: str
    why: str
    trace: tuple[float, ...] = ()
    weights: Weights = ()


def run(task: Task, params: Auto, progress: Progress) -> Outcome:
    """Find the pose, deform where that helps, and report why; see `Run`."""
    from ..tensor.device import with_fallback

    stage = Stage(Affine.identity(task.fixed.ndim), "Started from the current positions", "")
    notes: tuple[str, ...] = ()
    confidence: float | None = None
    used, sure = "cpu", True
    if params.search:
        found = pose.find(task, "auto", subprogress(progress, 0.0, 0.5), thorough=params.thorough)
        stage = replace(_with_pose(task, found), trace=tuple(found.trace), edges=found.edges)
        notes, confidence, used, sure = found.notes, found.confidence, found.device, found.reliable
    if params.deform:
        # As a whole, so that all trials and the chosen deformation run on one device.
        work = partial(_with_deformation, task, stage, params, sure, subprogress(progress, 0.5, 1.0))
        stage, used, note = with_fallback(work, task.device)
        notes += () if note is None or note in notes else (note,)
    lines = tuple(f"{line}." for line in (stage.done, stage.why) if line)
    opened = (weights(task.fixed.ndim) if params.search else ()) + stage.weights
    return Outcome(stage.transform, lines + notes, stage.trace, confidence, device=used, weights=opened)


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
            why = f"The landmarks fit it better (error{from_to(current, moved)} with the best other)"
            return Stage(here, "Pose left as it was", why)
    elif after < before - NOISE:  # never where one of them is nan
        why = f"The best other pose fits less well (LNCC{from_to(before, after)})"
        return Stage(here, "Pose left as it was", why)
    done = f"Pose found ({motion(found.transform, grid)}; confidence {found.confidence:.2f})"
    if math.isnan(before) or math.isnan(after):
        return Stage(found.transform, done, "The images did not overlap before")
    return Stage(found.transform, done, f"LNCC{from_to(before, after)} by the pose")


def _with_deformation(
    task: Task, stage: Stage, params: Auto, sure: bool, progress: Progress, where: torch.device
) -> Stage:
    """The stage with a deformation, if that improves the pair.

    Where no pose is `sure`, images may show different places, which a deformation makes similar, too. So it
    must gain more there than on unrelated images.
    """
    posed = task.placed(stage.transform)
    metrics = PairMetrics.of(posed)
    if metrics.overlap(None) < SCARCE:
        return stage.rejected("the overlap is too small for a deformation")
    if params.images == "movie frames" and task.fixed.ndim == 2:
        outcome = flow.METHOD.run(posed, flow.METHOD.parameters(), progress)
        why = "the deformation follows the frames, motion boundaries included"
        found = Bent(outcome.transform, "optical flow", why, outcome.trace)
    elif params.thorough:
        found = _chosen(posed, params.images, stage.edges, where, progress)
    else:
        found = _first(posed, params.images, where, progress)
    stage = replace(stage, weights=stage.weights + found.weights)
    if found.transform is None:
        return stage.rejected(found.why)
    before, after = (metrics.lncc(t) for t in (None, found.transform))
    current, moved = (metrics.landmark_error(t) for t in (None, found.transform))
    doubt = None
    if not after > before:
        doubt = f"no gain on the whole pair (LNCC{from_to(before, after)})"
    elif current is not None and moved is not None and moved > current:
        doubt = f"landmark error{from_to(current, moved)}"
    elif not sure:
        doubt = objection(metrics, found.transform)
    if doubt is not None:
        return stage.rejected(f"a deformation was tried and rejected: {doubt}")
    longest = _longest(found.transform, task.fixed.grid)
    return replace(
        stage,
        transform=chain(found.transform, stage.transform),
        done=f"{stage.done}; then a deformation of up to {longest} ({found.name})",
        why=_joined(stage.why, found.why),
        trace=found.trace,
    )


def _chosen(posed: Task, images: Images, edges: bool, where: torch.device, progress: Progress) -> Bent:
    """The deformation that a pair with its pose needs, begun by a network where its prediction fits."""
    start: Transform | None = None
    opened: Weights = ()
    if edges and posed.fixed.ndim in GUIDED:
        start, opened = _predicted(replace(posed, device=str(where)), subprogress(progress, 0.0, 0.15))
    trials = _unmeasured(subprogress(progress, 0.15, 0.5))
    choice = choose(posed, start, images, where, trials)
    if not choice.accepted:
        return Bent(None, choice.name, choice.why, weights=opened)
    placed = posed if start is None else posed.placed(start)
    found = deformed(placed, way_of(choice.name, posed.fixed.ndim), where, subprogress(progress, 0.5, 1.0))
    if start is None:
        return Bent(found.transform, choice.name, choice.why, found.trace, opened)
    name = f"network, then {choice.name}"
    return Bent(chain(found.transform, start), name, choice.why, found.trace, opened)


def _first(posed: Task, images: Images, where: torch.device, progress: Progress) -> Bent:
    """The first deformation that may suit the images, untried."""
    name = ways(images, posed.fixed.ndim)[0]
    way = quick_way_of(name, posed.fixed.ndim)
    found = deformed(posed, FAR | way if posed.fixed.ndim == 2 else way, where, progress)
    return Bent(found.transform, name, "no other deformation was tried", found.trace)


def _predicted(posed: Task, progress: Progress) -> tuple[Transform | None, Weights]:
    """What the network predicts where it raises the similarity, and the weights that were opened."""
    outcome = voxelmorph.METHOD.run(posed, voxelmorph.METHOD.parameters(params=PREDICTION), progress)
    rejected = outcome.rejected or isinstance(outcome.transform, Affine)
    return None if rejected else outcome.transform, outcome.weights


def _unmeasured(progress: Progress) -> Progress:
    """Progress without the metric: that of many small trials makes no curve."""
    return lambda fraction, message, metric=None: progress(fraction, "testing deformations on small copies")


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


METHOD = Method(
    name="auto",
    title="Auto",
    params=Auto,
    run=run,
    presets={
        "any pair": {},
        "fast": {"thorough": False},
        "one object, two times": {"images": "one object"},
        "different people": {"images": "different people"},
        "two sensors, one scene": {"images": "two sensors"},
        "movie frames": {"images": "movie frames", "search": False},
        "pose only": {"deform": False},
        "deformation only": {"search": False},
    },
    motion="deformable",
    isolate=True,
    landmarks=True,
    anywhere=True,
    device=True,
    loads=(*pose.METHOD.loads, *voxelmorph.METHOD.loads),
    reference="the methods pose, voxelmorph and diffeo; a deformation is kept if it improves held-out blocks",
)
