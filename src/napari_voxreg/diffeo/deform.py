"""Deformable registration coarse to fine: the room's one entry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..geometry import Array, Grid, Image
from ..method import Progress, silent
from ..nets.integrate import squarings
from ..nets.similarity import mind_ssc
from ..transforms import StationaryVelocity, Transform
from .folds import unfolded
from .forces import LocalCorrelation, MutualInformation, Squares
from .lattice import Lattice, control_lattice
from .optimise import Control, Force, Landmarks, Side, run_level
from .prepare import Prepared, eroded, factors, level_factors, pooled, prepare
from .settings import Settings

# Bending that suits each similarity, found where deformations are known; see `Settings.smoothness`.
SMOOTHNESS = {
    "local correlation": 0.1,
    "self-similarity": 0.3,
    "mutual information": 0.1,
    "mean squares": 0.1,
}
CELL = 2  # pixels of a level between its control points


@dataclass(frozen=True)
class Deformation:
    """What `deform` found.

    Parameters
    ----------
    transform : StationaryVelocity
        From world points of the fixed image to those of the moving image, or to where an initial transform
        takes over.
    trace : tuple of float
        The cost after each step, all levels in order.
    notes : tuple of str
        Sentences for the user.
    """

    transform: StationaryVelocity
    trace: tuple[float, ...]
    notes: tuple[str, ...]


def deform(
    fixed: Image,
    moving: Image,
    settings: Settings | None = None,
    *,
    initial: Transform | None = None,
    fixed_mask: Image | None = None,
    moving_mask: Image | None = None,
    points: tuple[Array, Array] | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Deformation:
    """Find the smooth invertible deformation that makes two images most alike.

    Parameters
    ----------
    fixed, moving : Image
        One channel, finite, 2D or 3D alike, in the same units; already roughly aligned in the world.
    settings : Settings, optional
        Defaults where left out.
    initial : Transform, optional
        Applied after the deformation; it is not part of the result.
    fixed_mask, moving_mask : Image, optional
        Boolean, on the images' grids; True counts. Pixels outside the moving image never do.
    points : tuple of ndarray, optional
        Corresponding world points of fixed and moving, (N, d) each, which pull softly.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda" or "mps".
    progress : Progress
        Called after every step with the cost.

    Raises
    ------
    ValueError
        If nothing that counts overlaps.
    """
    settings = Settings() if settings is None else settings
    where = torch_device(device)
    with torch.inference_mode():
        pair = prepare(fixed, moving, initial, fixed_mask, moving_mask, where)
        similarity: str = settings.similarity
        notes = []
        if similarity == "auto":
            similarity = guess_similarity(pair)
            notes.append(f"Compared by {similarity}, chosen from the pair.")
        targets = None if points is None else _targets(points, fixed.grid, moving.grid, initial)
        velocity, control, trace = _coarse_to_fine(pair, similarity, settings, targets, where, progress)
        velocity, rounds = unfolded(velocity, control)
        if rounds:
            notes.append("The deformation was smoothed where it would have folded.")
        return Deformation(_transform(velocity, control, fixed.grid), tuple(trace), tuple(notes))


def torch_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def guess_similarity(pair: Prepared) -> str:
    """Local correlation for images whose brightness rises together, self-similarity for others."""
    small = tuple(max(1, n // 64) for n in pair.shape)
    a = pooled(pair.fixed, small)
    b = pair.moving_lattice.pooled(small).resampled(
        pooled(pair.moving, small), pair.fixed_lattice.pooled(small)
    )
    a, b = a - a.mean(), b - b.mean()
    correlation = (a * b).sum() / ((a * a).sum() * (b * b).sum() + 1e-12).sqrt()
    return "local correlation" if float(correlation) > 0.3 else "self-similarity"


def _coarse_to_fine(
    pair: Prepared,
    similarity: str,
    settings: Settings,
    targets: tuple[Tensor, Tensor] | None,
    device: torch.device,
    progress: Progress,
) -> tuple[Tensor, Control, list[float]]:
    """The velocity in finest pixels on its control grid, and the trace."""
    levels = level_factors(pair.fixed_lattice.shape, pair.spacing, settings.levels, settings.finest)
    # A level takes about eight times as long as the next coarser one (in 2D four times).
    work = np.array([1.0 / (level / levels[-1]) ** len(pair.shape) for level in levels])
    parts = np.concatenate([[0], np.cumsum(work) / work.sum()])
    velocity: Tensor | None = None
    control: Control | None = None
    trace: list[float] = []
    smoothness = SMOOTHNESS[similarity] * settings.smoothness
    finest_cell = settings.control_spacing or CELL * levels[-1]
    features = (mind_ssc(pair.fixed), mind_ssc(pair.moving)) if similarity == "self-similarity" else None
    for k, level in enumerate(levels):
        name = f"deformation, level {k + 1} of {len(levels)}"
        progress(0.02 + 0.98 * float(parts[k]), name)
        cell = finest_cell * level / levels[-1]
        lattice = control_lattice(pair.shape, [max(cell / s, 1.0) for s in pair.spacing])
        finer = Control(lattice, pair.spacing, device)
        if velocity is None or control is None:
            velocity = torch.zeros((len(pair.shape), *lattice.shape), device=device)
        else:
            velocity = control.lattice.resampled(velocity, lattice)
        control = finer

        def report(step: int, cost: float, start: float = parts[k], stop: float = parts[k + 1]) -> None:
            trace.append(cost)
            done = start + (stop - start) * (step + 1) / (settings.iterations + 1)
            progress(0.02 + 0.98 * float(done), name, cost)  # noqa: B023 (called within this round)

        sides = _sides(pair, similarity, settings, factors(pair.spacing, level), features)
        landmarks = None
        if targets is not None and settings.landmark_weight > 0:
            landmarks = Landmarks(targets[0].to(device), targets[1].to(device), settings.landmark_weight)
        velocity = run_level(sides, control, velocity, smoothness, settings.iterations, landmarks, report)
    assert velocity is not None and control is not None  # there is at least one level
    return velocity, control, trace


def _sides(
    pair: Prepared,
    similarity: str,
    settings: Settings,
    pool: tuple[int, ...],
    features: tuple[Tensor, Tensor] | None,
) -> list[Side]:
    """What is warped and compared at one level."""
    shown = (pair.fixed, pair.moving) if features is None else features
    still, shifted = (pooled(x, pool) for x in shown)
    weights = [
        None if x is None else eroded(pooled(x, pool)) for x in (pair.fixed_weight, pair.moving_weight)
    ]
    lattices = pair.fixed_lattice.pooled(pool), pair.moving_lattice.pooled(pool)

    def side(a: int, b: int, sign: float) -> Side:
        images = still, shifted
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


def _targets(
    points: tuple[Array, Array], fixed: Grid, moving: Grid, initial: Transform | None
) -> tuple[Tensor, Tensor]:
    """Corresponding points in index coordinates of the fixed image, before the initial transform."""
    goal = points[1] if initial is None else initial.inverse(moving)(points[1])
    return tuple(torch.from_numpy(fixed.to_index(p)).float() for p in (points[0], goal))  # type: ignore[return-value]


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
