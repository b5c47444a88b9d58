"""Pose, then deformation, each kept only where it helps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.geometry import Grid, Image
from ..core.params import Params, param
from ..core.progress import Progress, subprogress
from ..metrics.holdout import Deform, best_left_out
from ..metrics.lncc import LNCC
from ..metrics.similarity import landmark_errors
from ..transforms import Affine, Transform, chain, warp
from . import diffeo, pose
from .base import Method, Outcome

NOISE = 0.005  # change of the local correlation that interpolation alone may bring, as in the verdict
# Of the local correlation on pixels left out, absolute and relative, from which a deformation is believed.
GAIN, SHARE = 0.005, 0.05
SCARCE = 0.05  # part of the fixed image: with less overlap at the start there is nothing to compare with
# How a deformation may be found, the stiffest first; which one is right is tried out on pixels left out.
WAYS: dict[int, tuple[tuple[str, float], ...]] = {
    2: (
        ("local correlation", 30.0),
        ("local correlation", 5.0),
        ("self-similarity", 2.0),
        ("local correlation", 1.0),
        ("self-similarity", 0.3),
        ("mutual information", 1.0),
    ),
    3: (("local correlation", 5.0), ("self-similarity", 1.0), ("local correlation", 1.0)),
}


@dataclass(frozen=True, kw_only=True)
class Auto(Params):
    """Parameters of the automatic method."""

    search: bool = param(
        True, "Look for the pose among all turns, scales and shifts; else start as things lie."
    )
    deform: bool = param(True, "Go on to a smooth deformation where it also holds on pixels left out of it.")


@dataclass(frozen=True)
class Stage:
    """What the work has come to: a transform, two lines about it, its live metric and its device."""

    transform: Transform
    done: str
    why: str
    trace: tuple[float, ...] = ()
    device: str = "cpu"

    def without(self, why: str) -> Stage:
        """The same, with the reason why nothing was added."""
        return replace(self, done=f"{self.done}; no deformation", why=_joined(self.why, why))


class _Pair:
    """The pair with everything that its stages share."""

    def __init__(
        self,
        fixed: Image,
        moving: Image,
        fixed_mask: Image | None,
        moving_mask: Image | None,
        points: Any,
        seed: int,
        device: str,
    ) -> None:
        self.fixed, self.moving = fixed, moving
        self.fixed_mask, self.moving_mask = fixed_mask, moving_mask
        self.points, self.seed, self.device = points, seed, device
        self.likeness = LNCC(fixed, moving, fixed_mask, moving_mask)

    def posed(self, transform: Transform) -> _Pair:
        """The pair as it lies under a transform: an affine moves the grid, anything else resamples once."""
        moving, mask, points = self.moving, self.moving_mask, self.points
        if isinstance(transform, Affine):
            back: Transform = transform.inverse()
            grid = moving.grid.moved(np.linalg.inv(transform.matrix))
            moving = moving.with_grid(grid)
            mask = None if mask is None else mask.with_grid(grid)
        else:
            covered = mask or moving.with_data(np.ones(moving.grid.shape, bool))
            mask = warp(covered, transform, self.fixed.grid, order=0)
            back = transform.inverse(moving.grid)
            moving = warp(moving, transform, self.fixed.grid)
        points = None if points is None else (points[0], back(points[1]))
        return _Pair(self.fixed, moving, self.fixed_mask, mask, points, self.seed, self.device)

    def landmark_error(self, transform: Transform) -> float | None:
        """Mean distance of the landmarks, world units; None without any."""
        return None if self.points is None else float(landmark_errors(transform, *self.points).mean())


def run(
    fixed: Image,
    moving: Image,
    params: Auto,
    *,
    initial: Transform | None,
    fixed_mask: Image | None,
    moving_mask: Image | None,
    points: Any,
    seed: int,
    device: str,
    progress: Progress,
) -> Outcome:
    """Find the pose, deform where that helps, and say why; see `method.Run`."""
    pair = _Pair(fixed, moving, fixed_mask, moving_mask, points, seed, device)
    if initial is not None:
        pair = pair.posed(initial)  # a start that bends comes first; the stages add what it lacks
    stage = Stage(Affine.identity(fixed.ndim), "Started as the images lie", "")
    notes: tuple[str, ...] = ()
    confidence: float | None = None
    if params.search:
        found = pose.finder(fixed.ndim)(
            pair.fixed,
            pair.moving,
            model="auto",
            fixed_mask=pair.fixed_mask,
            moving_mask=pair.moving_mask,
            points=pair.points,
            seed=seed,
            device=device,
            progress=subprogress(progress, 0.0, 0.5),
        )
        stage = replace(_with_pose(pair, found), trace=tuple(found.trace), device=found.device)
        notes, confidence = found.notes, found.confidence
        if not found.reliable and params.deform:
            # What bends images that may not show the same place only makes them look alike.
            stage = stage.without("so nothing is bent (the preset 'deformation only' does)")
    if params.deform and (not params.search or found.reliable):
        stage = _with_deformation(pair, stage, subprogress(progress, 0.5, 1.0))
    transform = stage.transform if initial is None else chain(stage.transform, initial)
    lines = tuple(f"{line}." for line in (stage.done, stage.why) if line)
    return Outcome(transform, lines + notes, stage.trace, confidence, device=stage.device)


def _with_pose(pair: _Pair, found: Any) -> Stage:
    """The pose that was found, unless the present one is as good."""
    here = Affine.identity(pair.fixed.ndim)
    if not found.reliable:
        return Stage(here, "Pose left as it was", "No pose could be relied on")
    if isinstance(found.transform, Affine) and np.allclose(found.transform.matrix, here.matrix):
        return Stage(here, "Pose left as it was", "No other pose fits clearly better")
    (before, after), overlaps = pair.likeness.compare(here, found.transform)
    present, moved = (pair.landmark_error(t) for t in (here, found.transform))
    if present is not None and moved is not None:
        if moved > present:
            why = f"The landmarks fit it better (error{_from_to(present, moved)} with the best other)"
            return Stage(here, "Pose left as it was", why)
    elif not math.isnan(before) and overlaps[0] >= SCARCE and after < before - NOISE:
        why = f"The best other pose fits less well (local correlation{_from_to(before, after)})"
        return Stage(here, "Pose left as it was", why)
    done = f"Pose found ({motion(found.transform, pair.fixed.grid)}; confidence {found.confidence:.2f})"
    if math.isnan(before) or overlaps[0] < SCARCE:
        return Stage(found.transform, done, "The images did not overlap before")
    return Stage(found.transform, done, f"Local correlation{_from_to(before, after)} by the pose")


def _with_deformation(pair: _Pair, stage: Stage, progress: Progress) -> Stage:
    """The stage and a deformation, if that holds on pixels it has not seen."""
    posed = pair.posed(stage.transform)
    if not posed.likeness.warped(None)[1].any():
        return stage.without("nothing overlaps that could be deformed")
    images = (posed.fixed, posed.moving, posed.fixed_mask, posed.moving_mask)
    ways = {
        f"{similarity}, smoothness {smoothness:g}": {"similarity": similarity, "smoothness": smoothness}
        for similarity, smoothness in WAYS[pair.fixed.ndim]
    }
    # In 3D far control points and few steps are enough for a trial.
    quick = {"control_spacing": 8.0, "iterations": 4} if pair.fixed.ndim == 3 else {}
    candidates = {name: _trial_of(posed, way | quick) for name, way in ways.items()}
    trial = best_left_out(*images, candidates, _unmeasured(subprogress(progress, 0.0, 0.4)))
    held = f"local correlation{_from_to(trial.before, trial.after)} on pixels left out of it"
    if not trial.gain > max(GAIN, SHARE * trial.before):
        return stage.without(f"a deformation would not hold ({held})")
    found = _deformed(posed, ways[trial.name], *images, subprogress(progress, 0.4, 1.0))
    bent = found.transform
    (before, after), _ = posed.likeness.compare(None, bent)
    if not after > before:
        return stage.without(f"a deformation made it no better (local correlation{_from_to(before, after)})")
    present, moved = posed.landmark_error(Affine.identity(pair.fixed.ndim)), posed.landmark_error(bent)
    if present is not None and moved is not None and moved > present:
        return stage.without(f"a deformation led away from the landmarks (error{_from_to(present, moved)})")
    done = f"{stage.done}; then a deformation of up to {_longest(bent, pair.fixed.grid)} ({trial.name})"
    why = _joined(stage.why, f"the deformation holds ({held})")
    return Stage(chain(bent, stage.transform), done, why, found.trace, found.device)


def _deformed(
    pair: _Pair,
    way: Mapping[str, Any],
    fixed: Image,
    moving: Image,
    fixed_mask: Image | None,
    moving_mask: Image | None,
    progress: Progress,
) -> Outcome:
    """The deformable method, with some parameters changed, on images of the pair at any size."""
    return diffeo.METHOD.run(
        fixed,
        moving,
        diffeo.METHOD.parameters(params=way),
        initial=None,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        points=pair.points,
        seed=pair.seed,
        device=pair.device,
        progress=progress,
    )


def _trial_of(pair: _Pair, way: Mapping[str, Any]) -> Deform:
    """The deformable method in a form that can be tried out."""
    return lambda *images_and_progress: _deformed(pair, way, *images_and_progress).transform


def _unmeasured(progress: Progress) -> Progress:
    """Progress without the metric: that of many small trials makes no curve."""
    return lambda fraction, message, metric=None: progress(fraction, "trying whether a deformation holds")


def _joined(*clauses: str) -> str:
    """Clauses of a sentence, its first letter large."""
    sentence = "; ".join(clause for clause in clauses if clause)
    return sentence[:1].upper() + sentence[1:]


def motion(transform: Transform, grid: Grid) -> str:
    """Turn, scale and shift of a pose at the middle of a grid, in words."""
    centre = grid.centre[None]
    u, stretch, vt = np.linalg.svd(transform.jacobian(centre)[0])
    cosine = (np.trace(u @ vt) - (grid.ndim - 2)) / 2
    turn = math.degrees(math.acos(float(np.clip(cosine, -1, 1))))
    scale = float(np.prod(stretch) ** (1 / grid.ndim))
    shift = float(np.linalg.norm(transform(centre) - centre))
    return f"turned by {turn:.1f}°, scaled by {scale:.3g}, shifted by {shift:.3g} {grid.units[0]}"


def _longest(transform: Transform, grid: Grid) -> str:
    """The longest displacement, on a lattice of the grid."""
    nodes = grid.coarsened([max(1, n // 64) for n in grid.shape]).nodes()
    longest = float(np.linalg.norm(transform(nodes) - nodes, axis=1).max())
    return f"{longest:.3g} {grid.units[0]}"


def _from_to(before: float, after: float) -> str:
    return f" {before:.3f} -> {after:.3f}"


METHOD = Method(
    name="auto",
    title="Auto",
    params=Auto,
    run=run,
    presets={"any pair": {}, "pose only": {"deform": False}, "deformation only": {"search": False}},
    isolate=True,
    landmarks=True,
    anywhere=True,
    loads=("napari_voxreg.pose.plane", "napari_voxreg.pose.volume", "napari_voxreg.diffeo.deform"),
    reference="the methods pose and diffeo; a deformation is kept where it holds on blocks left out of it",
)
