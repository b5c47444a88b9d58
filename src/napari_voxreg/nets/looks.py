"""Looks of a network at a pair: one, several steps of an affine map, or from coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..geometry import Grid, Image
from ..method import Progress, part
from ..transforms import Displacement, StationaryVelocity, Transform, chain, displacement_on
from .folds import unfolded
from .frame import coarsened, index_map, lattice_grid, network_grid, sampled, vectors, world_affine
from .network import Network, Prediction
from .warp import normalised, sample, warp

DAMAGED = "The network's answer is not a number; its weights are damaged, choose others."

# Of an affine network that looks first: pixels along the longest side that it sees, and how often it looks.
AFFINE_SIDE = {2: 128, 3: 48}
AFFINE_LOOKS = {2: 2, 3: 1}

NEARLY = 0.1  # of a doubling: so little larger than the first look calls for no other

Extras = dict[str, Image | Transform]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images in [0, 1], a network in its last place of work, and where to start from, or None."""

    fixed: Image
    moving: Image
    net: Network
    initial: Transform | None
    device: torch.device

    def whole(self, *parts: Transform) -> Transform:
        """Parts in order, then the start."""
        return chain(*parts) if self.initial is None else chain(*parts, self.initial)


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
    d = pair.fixed.ndim
    parts, _ = _Look(replace(pair, net=lead), AFFINE_SIDE[d]).run(AFFINE_LOOKS[d], progress)
    return replace(pair, initial=pair.whole(*parts))


def looks(pair: Pair, steps: int, size: int, progress: Progress) -> tuple[Transform, Extras]:
    """What a network finds, the start included, and what else it has to show.

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
    parts, extras = _Look(pair, size).run(steps, progress)
    return pair.whole(*parts), extras


def _leads(net: Network) -> bool:
    """Whether an affine network comes before what bends, as in AVSM."""
    return hasattr(net, "affine")


def _coarse_to_fine(pair: Pair, steps: int, size: int, progress: Progress) -> tuple[Transform, Extras]:
    """Looks from small to `size`, each through the displacement that was found by then."""
    net, d = pair.net, pair.fixed.ndim
    sides = _sides(net, min(size, max(network_grid(pair.fixed.grid, 1, size).shape)))
    work = np.cumsum([0, *(side**d for side in sides)]) / sum(side**d for side in sides)
    look = _Look(pair, sides[0])
    shown: Extras = {}
    if _leads(net):
        parts, shown = look.run(steps, part(progress, 0.0, float(work[1])))
        field = look.pixels(chain(*parts))
    else:
        progress(0.0, f"network, look 1 of {len(sides)}")
        answer = look.answer(net, ())
        field, shown = answer.displacement[0].float(), look.extras(answer)
    for k, side in enumerate(sides[1:], 1):
        progress(float(work[k]), f"network, look {k + 1} of {len(sides)}")
        coarse, look = look.grid, _Look(pair, side)
        so_far = _on_grid(field, coarse, look.grid)
        answer = look.answer(net.again, (look.bend(so_far),))
        field = answer.displacement[0].float()
        field = field + warp(so_far, field)
        shown = {**look.extras(answer), **(shown if _leads(net) else {})}
    field = unfolded(field[None])[0]
    return pair.whole(look.bend(field)), shown


def _sides(net: Network, size: int) -> list[int]:
    """Pixels along the longest side of each look: in equal steps, at most doublings, from the first on."""
    assert net.first_side is not None
    growth = size / net.first_side
    further = max(0, math.ceil(math.log2(growth) - NEARLY))
    return [round(size * growth ** (k / further - 1)) for k in range(further)] + [size]


def _on_grid(field: Tensor, old: Grid, new: Grid) -> Tensor:
    """A displacement (d, *old.shape) in pixels of one grid, on another and in its pixels; its rim goes on."""
    d = new.ndim
    matrix = np.linalg.inv(old.affine) @ new.affine
    carried = sample(field, normalised(index_map(matrix, new.shape, field.device), old.shape))
    back = torch.from_numpy(np.linalg.inv(matrix[:d, :d])).to(carried)
    return torch.einsum("ij,j...->i...", back, carried)


class _Look:
    """A pair on a network's grid."""

    def __init__(self, pair: Pair, size: int) -> None:
        self.pair = pair
        self.grid = network_grid(pair.fixed.grid, pair.net.stride, size)
        self.net = pair.net.eval().to(pair.device)
        self.fixed = sampled(coarsened(pair.fixed, self.grid), self.grid, None, pair.device)
        self.moving = coarsened(pair.moving, self.grid)

    def run(self, steps: int, progress: Progress) -> tuple[tuple[Transform, ...], Extras]:
        """All looks of an affine network, and the one of a network that bends: maps in order, extras."""
        lead = getattr(self.net, "affine", self.net)
        so_far: tuple[Transform, ...] = ()
        shown: Extras = {}
        for k in range(steps):
            progress(k / (steps + 1), f"network, step {k + 1} of {steps}" if steps > 1 else "network")
            answer = self.answer(lead, so_far)
            if answer.affine is None:
                return (_bend(answer, self.grid),), self.extras(answer)
            so_far = (chain(world_affine(answer.affine[0], self.grid), *so_far),)
            shown[f"step {k + 1}"] = self.pair.whole(*so_far)
        if lead is self.net:
            del shown[f"step {steps}"]  # it is the result
            return so_far, {**shown, **self.extras(answer)}
        progress(steps / (steps + 1), "network")
        answer = self.answer(self.net, so_far)
        if answer.affine is not None:
            shown["affine part"] = self.pair.whole(world_affine(answer.affine[0], self.grid), *so_far)
        return (_bend(answer, self.grid), *so_far), {**shown, **self.extras(answer)}

    def answer(
        self, net: Callable[[Tensor, Tensor], Prediction], so_far: tuple[Transform, ...]
    ) -> Prediction:
        """A network's answer to the pair as it lies by now, checked."""
        parts = (*so_far, *(() if self.pair.initial is None else (self.pair.initial,)))
        through = chain(*parts) if parts else None
        with torch.inference_mode():
            answer = net(self.fixed, sampled(self.moving, self.grid, through, self.pair.device))
        given = [t for t in (answer.displacement, answer.velocity, answer.affine) if t is not None]
        if not all(bool(torch.isfinite(t).all()) for t in given):
            raise ValueError(DAMAGED)
        return answer

    def bend(self, field: Tensor) -> Displacement:
        """A displacement (d, *shape) in pixels of this grid, in the world."""
        return Displacement(vectors(field, self.grid), self.grid)

    def pixels(self, transform: Transform) -> Tensor:
        """The displacement (d, *shape) of a transform in pixels of this grid: the way back from `bend`."""
        d = self.grid.ndim
        field = displacement_on(transform, self.grid) @ np.linalg.inv(self.grid.affine[:d, :d]).T
        return torch.from_numpy(np.moveaxis(field, -1, 0).astype(np.float32)).to(self.pair.device)

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
