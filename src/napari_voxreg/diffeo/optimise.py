"""Gauss-Newton steps on a stationary velocity, one level.

Each step warps the moving image through phi = exp(v) and computes force and curvature of the similarity.
Both are gathered on the control grid, where a linear system gives the update x that lowers the similarity
term and the smoothness term together.
phi o exp(x) is, to first order, exp(v + x) (log-demons: Vercauteren et al., MICCAI 2008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..tensor.integrate import integrate, squarings
from ..tensor.warp import apply_along, normalised, sample
from .forces import Pull
from .lattice import Lattice
from .prepare import pooled
from .solve import step, stiffness

CONJUGATE = 10  # gradient steps for each system; the next system continues from there
LONGEST = 1.0  # pixels of the level that one step may move
STALL = 2e-3  # fraction of its cost by which a level must improve

Force = Callable[[Tensor, Tensor | None], Pull]


@dataclass(frozen=True, eq=False)
class Side:
    """One image to be warped, and what it is compared with.

    `image` (C, *shape) and `weight` (1, *shape) or None lie on `source`; `force` compares on `target`, where
    `target_weight` says what counts. `sign` is 1 for exp(v) and -1 for exp(-v).
    """

    image: Tensor
    weight: Tensor | None
    source: Lattice
    target: Lattice
    force: Force
    target_weight: Tensor | None
    sign: float = 1.0


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Corresponding points of both images, (N, d), index coordinates of the fixed image."""

    fixed: Tensor
    moving: Tensor
    weight: float


class Control:
    """A control grid with what is precomputed for it."""

    def __init__(self, lattice: Lattice, spacing: tuple[float, ...], device: torch.device) -> None:
        d = len(spacing)
        self.lattice, self.spacing, self.d, self.device = lattice, spacing, d, device
        axes = [lattice.positions(k, device).float() for k in range(d)]
        self.nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        self.pixel = self.column(spacing)
        self.step = self.column(lattice.step)
        self.cell = self.step * self.pixel

    def column(self, values: tuple[float, ...]) -> Tensor:
        """One value an axis, (d, 1, ...)."""
        return torch.tensor(values, dtype=torch.float32, device=self.device).view(-1, *(1,) * self.d)

    def flow(self, velocity: Tensor) -> Tensor:
        """exp(v) as displacement in pixels of the fixed image at the nodes; v in finest pixels."""
        nodes = velocity / self.cell
        return integrate(nodes, squarings(float(nodes.abs().max()))) * self.step


def run_level(
    sides: list[Side],
    control: Control,
    velocity: Tensor,
    smoothness: float,
    iterations: int,
    landmarks: Landmarks | None,
    report: Callable[[int, float], None],
    anchor: Tensor | None = None,
) -> Tensor:
    """Improve a velocity (d, *control shape), in finest pixels, until the cost stalls.

    The difference from `anchor` must be smooth, or the velocity itself without an anchor. `report` is called
    after each step with its number and the cost: similarity and smoothness terms together.
    """
    stiff = [smoothness / float(c) ** 2 for c in control.cell.flatten()]
    gather = [_gatherer(side.target, control) for side in sides]
    longest = LONGEST * min(s * p for s, p in zip(sides[0].target.step, control.spacing, strict=True))
    anchor = torch.zeros_like(velocity) if anchor is None else anchor
    lowest, best, stalled = float("inf"), velocity, 0
    for iteration in range(iterations):
        force, curvature, cost = _assemble(sides, gather, control, velocity)
        if landmarks is not None:
            _pull(landmarks, control, velocity, force, curvature)
        cost += _roughness(velocity - anchor, stiff)
        report(iteration, cost)
        stalled = 0 if cost < lowest * (1 - STALL) else stalled + 1
        if cost < lowest:
            lowest, best = cost, velocity
        if stalled == 2:
            break
        x = step(force, curvature, velocity - anchor, stiff, CONJUGATE)
        velocity = velocity + x / (x.norm(dim=0) / longest).clamp_min(1)
    else:
        best = velocity  # its cost was not measured, but every step so far has paid
    return best


def _roughness(velocity: Tensor, stiff: list[float]) -> float:
    """Half the smoothness term, a mean over the control points."""
    return 0.5 * float((velocity * stiffness(velocity, stiff)).sum()) / velocity[0].numel()


def _gatherer(target: Lattice, control: Control) -> tuple[int, list[Tensor]]:
    """How a level's pixels are gathered at the control points: pooled first, then by these matrices."""
    # Pixels pooled by two lose nothing where control points are two pixels apart, and cost an eighth.
    pool = 2 if min(n for n in target.shape) >= 16 else 1
    coarse = target.pooled((pool,) * control.d)
    volume = 1.0
    for a, b in zip(coarse.step, control.lattice.step, strict=True):
        volume *= (a / b) ** (1 / control.d)
    matrices = control.lattice.matrices(coarse, control.device)
    return pool, [m.T.contiguous() * volume for m in matrices]


def _assemble(
    sides: list[Side], gather: list[tuple[int, list[Tensor]]], control: Control, velocity: Tensor
) -> tuple[Tensor, Tensor, float]:
    """Force (d, *control), curvature (d, d, *control) and cost of the similarity, over all sides."""
    d = control.d
    total, cost = None, 0.0
    for side, (pool, matrices) in zip(sides, gather, strict=True):
        warped, weight = warped_side(side, control, velocity)
        pull = side.force(warped, weight)
        terms = pooled(_terms(warped, pull, weight, side, control), (pool,) * d)
        terms = apply_along(terms, matrices)
        terms[:d] *= side.sign
        total = terms if total is None else total + terms
        cost += float(pull.cost)
    assert total is not None  # there is at least one side
    total /= len(sides)
    curvature = torch.empty((d, *total[:d].shape), device=control.device)
    rows = iter(total[d:])
    for k in range(d):
        for j in range(k, d):
            curvature[k, j] = curvature[j, k] = next(rows)
    return total[:d], curvature, cost / len(sides)


def warped_side(side: Side, control: Control, velocity: Tensor) -> tuple[Tensor, Tensor | None]:
    """The side's image on its target lattice, and where it counts there."""
    flow = control.flow(side.sign * velocity)
    start, step_ = control.column(side.source.start), control.column(side.source.step)
    place = normalised((control.nodes + flow - start) / step_, side.source.shape)
    matrices = control.lattice.matrices(side.target, control.device)
    at = apply_along(place.movedim(-1, 0), matrices).movedim(0, -1)
    warped = sample(side.image, at)
    inside = ((at.abs() <= 1.0).all(-1))[None].to(warped.dtype)
    if side.weight is not None:
        # A mask's rim need be no sharper than the control grid.
        inside = inside * apply_along(sample(side.weight, place), matrices)
    return warped, inside if side.target_weight is None else inside * side.target_weight


def _terms(warped: Tensor, pull: Pull, weight: Tensor | None, side: Side, control: Control) -> Tensor:
    """At each pixel the force (d) and the upper triangle of the curvature, (d + d (d + 1) / 2, *shape)."""
    d = control.d
    count = d + d * (d + 1) // 2
    terms = torch.zeros((count, *warped.shape[1:]), device=warped.device)
    for channel in range(len(warped)):
        force = pull.force[channel]
        curvature = pull.curvature[channel] if isinstance(pull.curvature, Tensor) else pull.curvature
        if weight is not None:
            force, curvature = force * weight[0], curvature * weight[0]
        slopes = [gradient(warped[channel], k, side.target.step[k] * control.spacing[k]) for k in range(d)]
        row = d
        for k in range(d):
            terms[k].addcmul_(force, slopes[k])
            weighted = slopes[k] * curvature
            for j in range(k, d):
                terms[row].addcmul_(weighted, slopes[j])
                row += 1
    return terms


def gradient(image: Tensor, axis: int, spacing: float) -> Tensor:
    """Central differences along one axis, one-sided at the rim."""
    n = image.shape[axis]
    result = torch.zeros_like(image)
    if n < 3:
        return result
    torch.sub(image.narrow(axis, 2, n - 2), image.narrow(axis, 0, n - 2), out=result.narrow(axis, 1, n - 2))
    result.narrow(axis, 0, 1).copy_(2 * (image.narrow(axis, 1, 1) - image.narrow(axis, 0, 1)))
    result.narrow(axis, n - 1, 1).copy_(2 * (image.narrow(axis, n - 1, 1) - image.narrow(axis, n - 2, 1)))
    return result.mul_(1 / (2 * spacing))


def _pull(landmarks: Landmarks, control: Control, velocity: Tensor, force: Tensor, curvature: Tensor) -> None:
    """Add the landmarks' springs to the force and curvature at the control points around each."""
    d, lattice = control.d, control.lattice
    flow = control.flow(velocity)
    start, step_ = control.column(lattice.start), control.column(lattice.step)
    place = (landmarks.fixed.T.reshape(d, *(1,) * (d - 1), -1) - start) / step_
    moved = sample(flow, normalised(place, lattice.shape)).reshape(d, -1) + landmarks.fixed.T
    missed = (landmarks.moving.T - moved) * control.pixel.view(d, 1)
    # As firm as the similarity is where it is firm, however bright or large the images are.
    firm = landmarks.weight * (curvature.diagonal().mean() * 10 + 1e-6)
    index = place.reshape(d, -1)
    low = index.floor()
    for corner in range(2**d):
        share, at = torch.ones_like(index[0]), torch.zeros_like(index[0], dtype=torch.long)
        for k, n in enumerate(lattice.shape):
            up = corner >> k & 1
            fraction = index[k] - low[k]
            share = share * (fraction if up else 1 - fraction)
            at = at * n + (low[k] + up).clamp(0, n - 1).long()
        for k in range(d):
            force[k].view(-1).index_add_(0, at, firm * share * missed[k])
            curvature[k, k].view(-1).index_add_(0, at, firm * share)
