"""Looks of a network at a pair: one, several steps of an affine map, or from coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...core.geometry import Grid, Image
from ...core.progress import Progress, subprogress
from ...tensor.folding import unfolded
from ...tensor.warp import normalised, sample, warp
from ...transforms import Affine, Displacement, StationaryVelocity, Transform, chain
from ..architectures.network import Network, Prediction
from .frame import (
    Picture,
    coarsened,
    displaced,
    lattice_grid,
    moved,
    network_grid,
    sampled,
    vectors,
    world_affine,
)

DAMAGED = "The network's answer is not a number; its weights are damaged, choose others."

# Of an affine network that looks first: pixels along the longest side that it sees, how often it looks at
# most, and the part of the diagonal by which a look must move the fixed image's corners to call for another.
AFFINE_SIDE = {2: 128, 3: 48}
AFFINE_LOOKS = {2: 2, 3: 1}
STILL = 0.1

FIRST = 0.75  # part of the last look's pixels that the first has at most: small pairs are seen twice, too
NEARLY = 0.25  # of a doubling, by which a look may exceed it

Extras = dict[str, Image | Transform]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two pictures and a network in their place of work, and what an affine network found before, or None."""

    fixed: Picture
    moving: Picture
    net: Network
    lead: Affine | None

    def whole(self, *parts: Transform) -> Transform:
        """Parts in order, then what was found before."""
        return chain(*parts) if self.lead is None else chain(*parts, self.lead)


def after_affine(pair: Pair, lead: Network, progress: Progress) -> Pair:
    """The pair as it lies after an affine network has looked at small images.

    It compares every place with every other, so large turns, scales and shifts are found, and fits to what
    most of them agree on, so that what only one image shows pulls less at what follows.

    Parameters
    ----------
    pair : Pair
    lead : Network
        That answers with an affine map.
    progress : Progress
        Called before each look; may raise `Cancelled`.
    """
    grid = pair.fixed.grid
    corners, most = grid.corners(), AFFINE_LOOKS[grid.ndim]
    look = _Look(replace(pair, net=lead), AFFINE_SIDE[grid.ndim])
    found = Affine.identity(grid.ndim)
    for k in range(most):
        progress(k / most, "affine network")
        before, found = found, look.further(look.answer(lead, found), found)
        if np.linalg.norm(found(corners) - before(corners), axis=1).max() < STILL * grid.diagonal:
            break
    return replace(pair, lead=found)


def looks(pair: Pair, steps: int, size: int, progress: Progress) -> tuple[Transform, Extras]:
    """What a network finds, the lead included, and what else it has to show.

    Parameters
    ----------
    pair : Pair
        Its network knows how it wants to look (`Network.first_side`).
    steps : int
        How often an affine network, or one that leads another, looks.
    size : int
        Pixels along the longest side that the network sees, at most.
    progress : Progress
        Called before every pass; may raise `Cancelled`.

    Raises
    ------
    ValueError
        If an answer is not a number.
    """
    if pair.net.first_side is not None:
        return _coarse_to_fine(pair, steps, size, progress)
    look = _Look(pair, size)
    affine, answer, shown = look.run(steps, progress)
    if affine is None:
        return pair.whole(_bend(answer, look.grid)), shown
    if pair.net.affine_part is None:
        return pair.whole(affine), shown
    return pair.whole(_bend(answer, look.grid), affine), shown


def _coarse_to_fine(pair: Pair, steps: int, size: int, progress: Progress) -> tuple[Transform, Extras]:
    """Looks from small to `size`, each through the displacement that was found by then."""
    net, d = pair.net, pair.fixed.grid.ndim
    sides = _sides(net, min(size, max(network_grid(pair.fixed.grid, 1, size).shape)))
    work = np.cumsum([0, *(side**d for side in sides)]) / sum(side**d for side in sides)
    look = _Look(pair, sides[0])
    leads = net.affine_part is not None
    affine, answer, shown = look.run(steps if leads else 1, subprogress(progress, 0.0, float(work[1])))
    field = answer.displacement[0].float()
    if affine is not None:
        field = displaced(affine, look.grid, field)
    for k, side in enumerate(sides[1:], 1):
        progress(float(work[k]), f"network, look {k + 1} of {len(sides)}")
        coarse, look = look.grid, _Look(pair, side)
        so_far = _on_grid(field, coarse, look.grid)
        answer = look.answer(net.again, bend=so_far)
        field = answer.displacement[0].float()
        field = field + warp(so_far, field)
        shown = {**look.extras(answer), **(shown if leads else {})}
    field = unfolded(field[None])[0]
    return pair.whole(Displacement(vectors(field, look.grid), look.grid)), shown


def _sides(net: Network, size: int) -> list[int]:
    """Pixels along the longest side of each look: two or more, in equal steps of about a doubling at most."""
    assert net.first_side is not None
    growth = size / min(net.first_side, FIRST * size)
    further = max(1, math.ceil(math.log2(growth) - NEARLY))
    return [round(size * growth ** (k / further - 1)) for k in range(further)] + [size]


def _on_grid(field: Tensor, old: Grid, new: Grid) -> Tensor:
    """A displacement (d, *old.shape) in pixels of one grid, on another and in its pixels; its rim goes on."""
    d = new.ndim
    matrix = np.linalg.inv(old.affine) @ new.affine
    carried = sample(field, normalised(moved(matrix, new.shape, field.device), old.shape))
    back = field.new_tensor(np.linalg.inv(matrix[:d, :d]))
    return torch.einsum("ij,j...->i...", back, carried)


class _Look:
    """A pair on a network's grid."""

    def __init__(self, pair: Pair, size: int) -> None:
        self.pair = pair
        self.grid = network_grid(pair.fixed.grid, pair.net.stride, size)
        self.net = pair.net.eval().to(pair.fixed.pixels.device)
        self.fixed = sampled(coarsened(pair.fixed, self.grid), self.grid)
        self.moving = coarsened(pair.moving, self.grid)

    def run(self, steps: int, progress: Progress) -> tuple[Affine | None, Prediction, Extras]:
        """All looks of an affine network or part, and the one of a network that bends.

        Returns
        -------
        affine : Affine or None
            That was found in so many looks, if the network answers with one or is led by one.
        answer : Prediction
            The last one; of a network that bends, what comes before the affine map.
        extras : dict
        """
        lead = self.net if self.net.affine_part is None else self.net.affine_part
        found: Affine | None = None
        shown: Extras = {}
        for k in range(steps):
            progress(k / (steps + 1), f"network, step {k + 1} of {steps}" if steps > 1 else "network")
            answer = self.answer(lead, found)
            if answer.affine is None:
                return None, answer, self.extras(answer)
            found = self.further(answer, found)
            shown[f"step {k + 1}"] = self.pair.whole(found)
        if lead is self.net:
            del shown[f"step {steps}"]  # it is the result
            return found, answer, {**shown, **self.extras(answer)}
        progress(steps / (steps + 1), "network")
        answer = self.answer(self.net, found)
        if answer.affine is not None:
            shown["affine part"] = self.pair.whole(self.further(answer, found))
        return found, answer, {**shown, **self.extras(answer)}

    def further(self, answer: Prediction, found: Affine | None) -> Affine:
        """An affine answer to the pair as it lay through what was found, and that."""
        assert answer.affine is not None
        step = world_affine(answer.affine[0], self.grid)
        return step if found is None else Affine(found.matrix @ step.matrix)

    def answer(
        self,
        net: Callable[[Tensor, Tensor], Prediction],
        affine: Affine | None = None,
        bend: Tensor | None = None,
    ) -> Prediction:
        """A network's answer to the pair as it lies through a displacement, then an affine map; checked."""
        parts = [part for part in (affine, self.pair.lead) if part is not None]
        through = chain(*parts) if parts else None
        with torch.inference_mode():
            answer = net(self.fixed, sampled(self.moving, self.grid, through, bend))
        given = [t for t in (answer.displacement, answer.velocity, answer.affine) if t is not None]
        if not all(bool(torch.isfinite(t).all()) for t in given):
            raise ValueError(DAMAGED)
        return answer

    def extras(self, answer: Prediction) -> Extras:
        """What else the network has to show; the affine part is there as a transform already."""
        tensors = {name: t for name, t in answer.extras.items() if not name.startswith("affine")}
        if answer.velocity is not None:
            tensors["velocity"] = answer.velocity
        shown: Extras = {}
        for name, values in tensors.items():
            shown.update(_images(name.replace("_", " "), values[0].float(), self.grid))
        return shown


def _bend(answer: Prediction, grid: Grid) -> Transform:
    """A deformable network's answer in the world."""
    if answer.velocity is None:
        return Displacement(vectors(answer.displacement[0].float(), grid), grid)
    lattice = lattice_grid(grid, tuple(answer.velocity.shape[2:]))
    return StationaryVelocity(vectors(answer.velocity[0].float(), grid), lattice)


def _images(name: str, values: Tensor, grid: Grid) -> Iterator[tuple[str, Image]]:
    """A tensor (C, *nodes) as an image of its own: a scalar, vectors, or one image a channel."""
    nodes = lattice_grid(grid, tuple(values.shape[1:]))
    if len(values) == grid.ndim and not name.startswith("log"):  # logarithms have no direction
        yield name, Image(vectors(values, grid).astype(np.float32), nodes, name)
        return
    for k, channel in enumerate(values.cpu().numpy()):
        title = name if len(values) == 1 else f"{name} {k + 1}"
        yield title, Image(channel, nodes, title)
