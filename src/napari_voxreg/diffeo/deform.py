"""Deformable registration coarse to fine: entry point of the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..core.geometry import Array, Grid
from ..core.progress import Progress, silent, subprogress
from ..images.task import Task
from ..tensor.device import with_fallback
from ..tensor.integrate import squarings
from ..tensor.similarity import pooled_mind_ssc
from ..transforms import StationaryVelocity
from .folding import unfolded
from .forces import LocalCorrelation, MutualInformation, Squares
from .lattice import Lattice, control_lattice
from .optimise import Control, Force, Landmarks, Side, run_level
from .prepare import Prepared, eroded, factors, level_factors, pooled, prepare
from .refine import trial
from .settings import Settings

# Weight of the smoothness term for each similarity, tuned on known deformations; see `Settings.smoothness`.
SMOOTHNESS = {
    "local correlation": 0.3,
    "self-similarity": 20.0,
    "mutual information": 3.0,
    "mean squares": 0.1,
}
UNIFORM = 0.8  # of the relation between both images' brightness, see `Pull`
CELL = 2  # pixels of a level between its control points, at least, unless their distance is given
POLISH = 3  # steps at twice the resolution of the finest full level
AT_ONCE = 8_000_000  # pixels whose self-similarity is found at once; a head has fewer
FAR = 16  # finest pixels between the control points that are used without a trial


@dataclass(frozen=True)
class Deformation:
    """What `deform` found.

    Parameters
    ----------
    transform : StationaryVelocity
        From world points of the fixed image to those of the moving image.
    trace : tuple of float
        The cost after each step, all levels in order.
    notes : tuple of str
        Sentences for the user.
    device : str
        Where it was computed in the end: "cpu", "cuda", "cuda:1" or "mps".
    """

    transform: StationaryVelocity
    trace: tuple[float, ...]
    notes: tuple[str, ...]
    device: str = "cpu"


def deform(task: Task, settings: Settings | None = None, progress: Progress = silent) -> Deformation:
    """Find the smooth invertible deformation that makes two images most similar.

    Parameters
    ----------
    task : Task
        Two images that are already roughly aligned in the world. Pixels outside the moving image never
        count; landmarks act as springs. The CPU takes over if the device runs out of memory.
    settings : Settings, optional
        Defaults if None.
    progress : Progress
        Called after every step with the cost.

    Raises
    ------
    ValueError
        If nothing that counts overlaps, or the device is not there.
    """
    chosen = Settings() if settings is None else settings
    found, _, note = with_fallback(lambda where: deform_on(where, task, chosen, progress), task.device)
    return found if note is None else replace(found, notes=(*found.notes, note))


def deform_on(where: torch.device, task: Task, settings: Settings, progress: Progress) -> Deformation:
    """`deform` on a device that must have enough memory; for callers with a fallback of their own."""
    with torch.inference_mode():
        similarity: str = settings.similarity
        squares = similarity == "mean squares"
        pair = prepare(task, where, squares)
        notes = []
        if similarity == "auto":
            similarity = guess_similarity(pair)
            notes.append(f"Compared by {similarity}, chosen from the pair.")
        grid = task.fixed.grid
        targets = None if task.landmarks is None else _targets(task.landmarks, grid)
        velocity, control, trace = _coarse_to_fine(pair, similarity, settings, targets, where, progress)
        velocity, rounds = unfolded(velocity, control)
        if rounds:
            notes.append("The deformation was smoothed where it would have folded.")
        return Deformation(_transform(velocity, control, grid), tuple(trace), tuple(notes), str(where))


def guess_similarity(pair: Prepared) -> str:
    """Local correlation where both brightnesses rise together, or one as the other falls, all over the image.

    Where one tissue is brighter here and darker there, as between T1 and T2, self-similarity.
    """
    pool = factors(pair.spacing, max(1, min(max(pair.shape) // 96, min(pair.shape) // 8)))
    force = LocalCorrelation(pooled(pair.fixed, pool), 7)
    lattice = pair.fixed_lattice.pooled(pool)
    moving = pair.moving_lattice.pooled(pool).resampled(pooled(pair.moving, pool), lattice)
    uniform = force(moving, None).uniform()
    return "local correlation" if uniform > UNIFORM else "self-similarity"


def _coarse_to_fine(
    pair: Prepared,
    similarity: str,
    settings: Settings,
    targets: tuple[Tensor, Tensor] | None,
    device: torch.device,
    progress: Progress,
) -> tuple[Tensor, Control, list[float]]:
    """The velocity in finest pixels on its control grid, and the trace."""
    stages = _stages(pair, settings)
    shown, shrunk = (pair.fixed, pair.moving), (1,) * len(pair.shape)
    if similarity == "self-similarity":
        shrunk = _common(pair, stages)
        first, second = (
            pooled_mind_ssc(x, partial(pooled, factors=shrunk), shrunk[0], AT_ONCE) for x in shown
        )
        shown = first, second
    landmarks = None
    if targets is not None and settings.landmark_weight > 0:
        landmarks = Landmarks(targets[0].to(device), targets[1].to(device), settings.landmark_weight)
    control = Control(control_lattice(pair.shape, [1e9] * len(pair.shape)), pair.spacing, device)
    velocity = torch.zeros(control.nodes.shape, device=device)
    usual = SMOOTHNESS[similarity] * settings.smoothness
    anchor: Tensor | None = None
    smoothness, trusted = usual, True
    trace: list[float] = []
    sides: list[Side] = []
    last = 0
    for stage in stages:
        report = _reporter(subprogress(progress, stage.start, stage.stop), stage.name, stage.steps, trace)
        if stage.level != last:
            sides = _sides(pair, similarity, settings, factors(pair.spacing, stage.level), shown, shrunk)
        last = stage.level
        if stage.cell and trusted:
            lattice = control_lattice(pair.shape, [max(stage.cell / s, 1.0) for s in pair.spacing])
            finer = Control(lattice, pair.spacing, device)
            start = control.lattice.resampled(velocity, lattice)
            if stage.tried:
                refined, chosen = trial(sides, finer, start, usual)
                trusted = chosen is not None
                if chosen is None:
                    continue
                smoothness, anchor, start = chosen, start, refined
            control, velocity = finer, start
        elif stage.cell:
            continue
        velocity = run_level(sides, control, velocity, smoothness, stage.steps, landmarks, report, anchor)
    return velocity, control, trace


@dataclass(frozen=True)
class _Stage:
    """A level, the distance of its control points in finest pixels, and its fraction of the progress."""

    level: int
    cell: float  # 0 keeps those there are
    tried: bool  # whether a trial must first show that these control points help
    steps: int
    name: str
    start: float
    stop: float


def _stages(pair: Prepared, settings: Settings) -> list[_Stage]:
    """Levels coarse to fine with far control points, then nearer ones at the finest level."""
    levels = level_factors(pair.fixed_lattice.shape, pair.spacing, settings.levels, settings.finest)
    finest = levels[-1]
    far = settings.control_spacing or max(FAR, CELL * finest)
    least = 1 if settings.control_spacing else CELL  # a spacing that was asked for is kept where pixels allow
    plan = [(level, max(far, least * level), False) for level in levels]
    while not settings.control_spacing and far / 2 >= CELL * finest:
        far /= 2
        plan.append((finest, far, True))
    steps = [settings.iterations] * len(plan)
    if finest > 1 and not settings.finest:
        plan.append((finest // 2, 0.0, False))
        steps.append(POLISH)
    work = np.array([n / level ** len(pair.shape) for n, (level, _, _) in zip(steps, plan, strict=True)])
    ends = 0.02 + 0.98 * np.cumsum(work) / work.sum()
    starts = [0.02, *ends[:-1]]
    return [
        _Stage(*of_stage, count, f"deformation, stage {k + 1} of {len(plan)}", float(a), float(b))
        for k, (of_stage, count, a, b) in enumerate(zip(plan, steps, starts, ends, strict=True))
    ]


def _common(pair: Prepared, stages: Sequence[_Stage]) -> tuple[int, ...]:
    """Blocks that those of all levels are made of: the finest level's, if they divide the others."""
    pools = [factors(pair.spacing, level) for level in sorted({stage.level for stage in stages})]
    least = pools[0]
    nested = all(n % k == 0 for pool in pools for n, k in zip(pool, least, strict=True))
    return least if nested else (1,) * len(least)


def _reporter(
    progress: Progress, name: str, iterations: int, trace: list[float]
) -> Callable[[int, float], None]:
    """What keeps the trace and reports each step of a stage."""
    progress(0.0, name)

    def report(step: int, cost: float) -> None:
        trace.append(cost)
        progress((step + 1) / (iterations + 1), name, cost)

    return report


def _sides(
    pair: Prepared,
    similarity: str,
    settings: Settings,
    pool: tuple[int, ...],
    shown: tuple[Tensor, Tensor],
    shrunk: tuple[int, ...],
) -> list[Side]:
    """What of two images, shrunk so far already, is warped and compared at one level."""
    first, second = (pooled(x, tuple(p // s for p, s in zip(pool, shrunk, strict=True))) for x in shown)
    weights = [
        None if x is None else eroded(pooled(x, pool)) for x in (pair.fixed_weight, pair.moving_weight)
    ]
    lattices = pair.fixed_lattice.pooled(pool), pair.moving_lattice.pooled(pool)

    def side(a: int, b: int, sign: float) -> Side:
        images = first, second
        force = _force(similarity, images[a], settings)
        return Side(images[b], weights[b], lattices[b], lattices[a], force, weights[a], sign)

    sides = [side(0, 1, 1.0)]
    if settings.inverse_consistent:
        sides.append(side(1, 0, -1.0))
    return sides


def _force(similarity: str, fixed: Tensor, settings: Settings) -> Force:
    """The similarity against one image."""
    if similarity == "local correlation":
        return LocalCorrelation(fixed, 2 * settings.radius + 1)
    if similarity == "mutual information":
        return MutualInformation(fixed)
    if similarity == "self-similarity":
        return Squares(fixed, 20.0)
    return Squares(fixed, 1 / float(fixed.var() + 1e-12))


def _targets(landmarks: tuple[Array, Array], grid: Grid) -> tuple[Tensor, Tensor]:
    """Corresponding world points in index coordinates of the fixed image."""
    fixed, moving = (torch.from_numpy(grid.to_index(points)).float() for points in landmarks)
    return fixed, moving


def _transform(velocity: Tensor, control: Control, grid: Grid) -> StationaryVelocity:
    """The velocity in the world."""
    steps = squarings(float((velocity / control.cell).abs().max()))
    pixels = np.moveaxis((velocity / control.pixel).double().cpu().numpy(), 0, -1)
    world = pixels @ grid.affine[:-1, :-1].T
    return StationaryVelocity(world, _grid(control.lattice, grid), steps)


def _grid(lattice: Lattice, grid: Grid) -> Grid:
    """A lattice of the fixed grid as a grid of its own."""
    affine = grid.affine.copy()
    affine[:-1, -1] = grid.to_world([lattice.start])[0]
    affine[:-1, :-1] *= np.asarray(lattice.step)
    return Grid(lattice.shape, affine, grid.units)
