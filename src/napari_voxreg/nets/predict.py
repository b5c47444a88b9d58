"""A pair of images through a network: the room's one entry."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..geometry import Grid, Image
from ..method import Progress, silent
from ..preprocess import unit_range
from ..transforms import Displacement, StationaryVelocity, Transform, chain
from .device import device_named, free_memory, reason_to_leave
from .folds import unfolded
from .frame import coarsened, index_map, lattice_grid, network_grid, sampled, vectors, world_affine
from .network import Network, Prediction
from .warp import normalised, sample, warp

SIZES = {2: 512, 3: 224}  # pixels along the longest side that a network sees, at most
SMALLEST = 32  # pixels to which that is lowered when memory is short
# That a pass takes for each pixel: 300 to 620 bytes in 3D with the shipped sizes, up to 1200 in 2D.
NEED = {2: 1200, 3: 650}
DAMAGED = "The network's answer is not a number; its weights are damaged, choose others."


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a network answered, in the world.

    Parameters
    ----------
    transform : Transform
        From world points of the fixed image to those of the moving image, the start included.
    extras : dict
        What else there is to see by name: images on the network's grid (vectors in world units, their
        components last) and transforms, the start included.
    notes : tuple of str
        Sentences for the user.
    seconds : float
        Of all passes, sampling included.
    device : str
        On which the network ran in the end: "cpu", "cuda" or "mps".
    """

    transform: Transform
    extras: dict[str, Image | Transform] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    device: str = "cpu"


def predict(
    fixed: Image,
    moving: Image,
    net: Network,
    *,
    initial: Transform | None = None,
    steps: int = 1,
    size: int | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Predicted:
    """Register a pair with a network.

    The network sees both images on a grid of its own: cubic pixels on the fixed image's axes, padded to what
    it needs. It looks once, or several times from coarse to fine (`Network.first_side`). If its device cannot
    hold that, it goes on on the CPU; if memory is short there, with larger
    pixels.

    Parameters
    ----------
    fixed, moving : Image
        One channel, finite, 2D or 3D alike, of any size, spacing and orientation, in the same units.
    net : Network
        Moved to the device and left there.
    initial : Transform, optional
        Where to start; applied after what the network finds.
    steps : int
        How often an affine network looks, each time at the original moving image through all that it has
        found so far.
    size : int, optional
        Pixels along the longest side that the network sees, at most; if left out what suits it
        (`Network.last_side`), else 512 in 2D and 224 in 3D.
    device : str
        "auto" (CUDA, else MPS, else the CPU), "cpu", "cuda" or "mps".
    progress : Progress
        Called before every pass; may raise `Cancelled`.

    Raises
    ------
    ValueError
        If the network is for another number of axes, its weights are damaged, the device is not there or
        memory is too short for even a coarse look.
    """
    if net.ndim != fixed.ndim:
        raise ValueError(
            f"The weights are for {net.ndim}D images and the pair is {fixed.ndim}D; choose other weights."
        )
    where, size = device_named(device), size or net.last_side or SIZES[fixed.ndim]
    for part in net.modules():
        if isinstance(part, Network) and hasattr(part, "steps"):
            # Steps are taken here: those of its own would look at pictures cut off at the fixed image's rim.
            part.steps = 1  # type: ignore[assignment]
    fixed, moving = (image.with_data(unit_range(image.data)) for image in (fixed, moving))
    moved = shrunk = ""
    while True:
        began = time.perf_counter()
        try:
            _check_room(network_grid(fixed.grid, net.stride, size), where)
            if net.first_side is None:
                found = _Pass(fixed, moving, net, initial, where, size).run(steps, progress)
            else:
                found = _coarse_to_fine(fixed, moving, net, initial, where, size, progress)
            notes = tuple(note for note in (moved, shrunk) if note)
            seconds = time.perf_counter() - began
            return replace(found, notes=notes, seconds=seconds, device=where.type)
        except (RuntimeError, MemoryError) as error:
            why = reason_to_leave(error)
            if why is None:
                raise
        # Outside of the handler, which would keep alive what fills the memory.
        if where.type != "cpu":
            moved = f"The {where.type.upper()} device {why}; the network ran on the CPU."
            where = torch.device("cpu")
            continue
        size = min(size, max(network_grid(fixed.grid, 1, size).shape)) // 2
        if size >= SMALLEST:
            shrunk = f"Memory is short: the network saw {size} pixels along the longest side."
        else:
            raise ValueError("There is too little memory for this network; close other programs.")


def _check_room(grid: Grid, device: torch.device) -> None:
    """Raise a `MemoryError` before the CPU is asked for more than there is; a GPU says so itself."""
    if device.type == "cpu" and math.prod(grid.shape) * NEED[grid.ndim] > free_memory():
        raise MemoryError


def _coarse_to_fine(
    fixed: Image,
    moving: Image,
    net: Network,
    initial: Transform | None,
    device: torch.device,
    size: int,
    progress: Progress,
) -> Predicted:
    """Looks at a pair from small to `size`, each through the displacement that was found by then."""
    sides = _sides(net, min(size, max(network_grid(fixed.grid, 1, size).shape)))
    work = np.cumsum([0, *(side**fixed.ndim for side in sides)]) / sum(side**fixed.ndim for side in sides)
    found: tuple[Tensor, Grid] | None = None
    for k, side in enumerate(sides):
        progress(float(work[k]), f"network, look {k + 1} of {len(sides)}")
        if not k or side != sides[k - 1]:
            look = _Pass(fixed, moving, net, initial, device, side)
        if found is None:
            answer = look.answer(net, ())
            field = answer.displacement[0].float()
        else:
            lead = _on_grid(*found, look.grid)
            answer = look.answer(net, (Displacement(vectors(lead, look.grid), look.grid),))
            field = answer.displacement[0].float()
            field = field + warp(lead, field)
        found = field, look.grid
    field = unfolded(field[None])[0]
    bend = Displacement(vectors(field, look.grid), look.grid)
    return Predicted(look.whole(bend), look.extras(answer))


def _sides(net: Network, size: int) -> list[int]:
    """Pixels along the longest side of each look: `size`, and half as many as long as that is enough."""
    sides = [size]
    while net.first_side is not None and sides[0] > 1.5 * net.first_side:
        sides.insert(0, sides[0] // 2)
    return [sides[0]] * (net.first_looks - 1) + sides


def _on_grid(field: Tensor, old: Grid, new: Grid) -> Tensor:
    """A displacement (d, *old.shape) in pixels of one grid, on another and in its pixels; its rim goes on."""
    d = new.ndim
    matrix = np.linalg.inv(old.affine) @ new.affine
    carried = sample(field, normalised(index_map(matrix, new.shape, field.device), old.shape))
    back = torch.from_numpy(np.linalg.inv(matrix[:d, :d])).to(carried)
    return torch.einsum("ij,j...->i...", back, carried)


class _Pass:
    """A pair on a network's grid, on one device."""

    def __init__(
        self,
        fixed: Image,
        moving: Image,
        net: Network,
        initial: Transform | None,
        device: torch.device,
        size: int,
    ) -> None:
        self.grid = network_grid(fixed.grid, net.stride, size)
        self.net = net.eval().to(device)
        self.initial, self.device = initial, device
        self.fixed = sampled(coarsened(fixed, self.grid), self.grid, None, device)
        self.moving = coarsened(moving, self.grid)

    def run(self, steps: int, progress: Progress) -> Predicted:
        """All looks of an affine network, and the one of a network that bends."""
        lead = getattr(self.net, "affine", self.net)  # AVSM holds an affine network to begin with
        so_far: tuple[Transform, ...] = ()
        shown: dict[str, Image | Transform] = {}
        for k in range(steps):
            progress(k / (steps + 1), f"network, step {k + 1} of {steps}" if steps > 1 else "network")
            answer = self.answer(lead, so_far)
            if answer.affine is None:
                return Predicted(self.whole(_bend(answer, self.grid)), self.extras(answer))
            so_far = (chain(world_affine(answer.affine[0], self.grid), *so_far),)
            shown[f"step {k + 1}"] = self.whole(*so_far)
        if lead is self.net:
            del shown[f"step {steps}"]  # it is the result
            return Predicted(self.whole(*so_far), {**shown, **self.extras(answer)})
        progress(steps / (steps + 1), "network")
        answer = self.answer(self.net, so_far)
        if answer.affine is not None:
            shown["affine part"] = self.whole(world_affine(answer.affine[0], self.grid), *so_far)
        return Predicted(self.whole(_bend(answer, self.grid), *so_far), {**shown, **self.extras(answer)})

    def answer(self, net: Network, so_far: tuple[Transform, ...]) -> Prediction:
        """A network's answer to the pair as it lies by now, checked."""
        parts = (*so_far, *(() if self.initial is None else (self.initial,)))
        through = chain(*parts) if parts else None
        with torch.inference_mode():
            answer = net(self.fixed, sampled(self.moving, self.grid, through, self.device))
        given = [t for t in (answer.displacement, answer.velocity, answer.affine) if t is not None]
        if not all(bool(torch.isfinite(t).all()) for t in given):
            raise ValueError(DAMAGED)
        return answer

    def whole(self, *parts: Transform) -> Transform:
        """Parts in order, then the start."""
        return chain(*parts) if self.initial is None else chain(*parts, self.initial)

    def extras(self, answer: Prediction) -> dict[str, Image | Transform]:
        """What else the network has to show; the affine part is there as a transform already."""
        tensors = {name: t for name, t in answer.extras.items() if not name.startswith("affine")}
        if answer.velocity is not None:
            tensors["velocity"] = answer.velocity
        shown: dict[str, Image | Transform] = {}
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
