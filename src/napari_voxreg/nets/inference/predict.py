"""A pair of images through a network: the room's one entry."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from ...core.geometry import Grid, Image
from ...core.progress import Progress, silent, subprogress
from ...images.task import Task
from ...tensor.device import free_memory, is_memory_short, with_fallback
from ...transforms import Transform
from ..architectures.network import Network
from .frame import Picture, network_grid
from .multipass import Extras, Pair, after_affine, looks

T = TypeVar("T")

SIZES = {2: 512, 3: 224}  # pixels along the longest side that a network sees, at most
FIRST = 0.2  # of the progress, for an affine network that looks first
SMALLEST = 32  # pixels to which that is lowered when memory is short
# That a pass takes for each pixel: 300 to 620 bytes in 3D with the shipped sizes, up to 1200 in 2D.
NEED = {2: 1200, 3: 650}


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a network answered, in the world.

    Parameters
    ----------
    transform : Transform
        From world points of the fixed image to those of the moving image.
    extras : dict
        What else there is to see by name: images on the network's grid (vectors in world units, their
        components last) and transforms.
    notes : tuple of str
        Sentences for the user.
    seconds : float
        Of all passes, sampling included.
    device : str
        On which the network ran in the end: "cpu", "cuda", "cuda:1" or "mps".
    """

    transform: Transform
    extras: dict[str, Image | Transform] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    device: str = "cpu"


def predict(
    task: Task,
    net: Network,
    *,
    lead: Network | None = None,
    steps: int = 1,
    size: int | None = None,
    progress: Progress = silent,
) -> Predicted:
    """Register a pair with a network.

    The network sees both images on a grid of its own: cubic pixels on the fixed image's axes, padded to what
    it needs. It looks once, or several times from coarse to fine (`Network.first_side`). If its device cannot
    hold that, it goes on on the CPU; if memory is short there, with larger pixels.

    Parameters
    ----------
    task : Task
        Two images of any size, spacing and orientation. Masks, landmarks and the seed are not used.
    net : Network
        Moved to the device and left there.
    lead : Network, optional
        An affine network that looks before; what it finds is an extra named "affine first".
    steps : int
        How often an affine network looks, each time at the original moving image through all that it has
        found so far.
    size : int, optional
        Pixels along the longest side that the network sees, at most; more than suits it
        (`Network.last_side`) it never sees, nor more than 512 in 2D and 224 in 3D if left out.
    progress : Progress
        Called before every pass; may raise `Cancelled`.

    Raises
    ------
    ValueError
        If the network is for another number of axes, its weights are damaged, the device is not there or
        memory is too short for even a coarse look.
    """
    fixed, moving = task.fixed, task.moving
    if net.ndim != fixed.ndim:
        raise ValueError(
            f"The weights are for {net.ndim}D images and the pair is {fixed.ndim}D; choose other weights."
        )
    size = min(size or SIZES[fixed.ndim], net.last_side or sys.maxsize)
    whole = max(network_grid(fixed.grid, 1, size).shape)
    for each in (net, lead):
        _one_step(each)

    def passes(where: torch.device, size: int) -> tuple[Transform, Extras, float]:
        began = time.perf_counter()
        _check_room(network_grid(fixed.grid, net.stride, size), where)
        pair = Pair(Picture.of(fixed, where), Picture.of(moving, where), net, None)
        transform, extras = _seen(pair, lead, steps, size, progress)
        return transform, extras, time.perf_counter() - began

    def work(where: torch.device) -> tuple[tuple[Transform, Extras, float], str | None]:
        if where.type == "cpu":
            return _with_room(lambda size: passes(where, size), size, whole)
        return passes(where, size), None

    (found, shrunk), used, moved = with_fallback(work, task.device)
    notes = tuple(note for note in (moved, shrunk) if note is not None)
    return Predicted(found[0], found[1], notes, found[2], used)


def _with_room(look: Callable[[int], T], size: int, whole: int) -> tuple[T, str | None]:
    """What comes of so many pixels, at most `whole`, or of fewer where memory is short; and a note if so."""
    note = None
    while True:
        try:
            return look(size), note
        except (RuntimeError, MemoryError) as error:
            if not is_memory_short(error):
                raise
        # Outside of the handler, which would keep alive what fills the memory.
        size = min(size, whole) // 2
        if size < SMALLEST:
            raise ValueError("There is too little memory for this network; close other programs.")
        note = f"Memory is short: the network saw {size} pixels along the longest side."


def _one_step(net: Network | None) -> None:
    """Steps are taken here: a network's own would look at pictures cut off at the fixed image's rim."""
    for module in () if net is None else net.modules():
        if isinstance(module, Network):
            module.steps = 1


def _seen(
    pair: Pair, lead: Network | None, steps: int, size: int, progress: Progress
) -> tuple[Transform, Extras]:
    """What a network finds, after an affine one if there is any, and what else there is to show."""
    if lead is None:
        return looks(pair, steps, size, progress)
    led = after_affine(pair, lead, subprogress(progress, 0.0, FIRST))
    transform, extras = looks(led, steps, size, subprogress(progress, FIRST, 1.0))
    return transform, extras if led.lead is None else {"affine first": led.lead, **extras}


def _check_room(grid: Grid, device: torch.device) -> None:
    """Raise a `MemoryError` before the CPU is asked for more than there is; a GPU says so itself."""
    if device.type == "cpu" and math.prod(grid.shape) * NEED[grid.ndim] > free_memory():
        raise MemoryError
