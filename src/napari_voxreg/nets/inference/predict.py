"""Entry point of the package: registers a pair of images with a network."""

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
from .frame import TensorImage, network_grid
from .multipass import Extras, Pair, after_affine, run_passes

T = TypeVar("T")

SIZES = {2: 512, 3: 224}  # pixels along the longest side for a network, at most
FIRST = 0.2  # of the progress, for an affine network in front
SMALLEST = 32  # pixels to which `SIZES` are reduced when memory is short
# Bytes per pixel for a pass: 300 to 620 measured in 3D with the shipped sizes, up to 1200 in 2D.
NEED = {2: 1200, 3: 650}


@dataclass(frozen=True, eq=False)
class Predicted:
    """A network's prediction in the world.

    Parameters
    ----------
    transform : Transform
        From world points of the fixed image to those of the moving image.
    extras : dict
        Other results by name: images on the network's grid (vectors in world units, components last) and
        transforms.
    notes : tuple of str
        Sentences for the user.
    seconds : float
        Of all passes, sampling included.
    device : str
        Where the network finally ran: "cpu", "cuda", "cuda:1" or "mps".
    shape : tuple of int
        Pixels of the images that the network saw, in its last pass; empty if unknown.
    """

    transform: Transform
    extras: dict[str, Image | Transform] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    device: str = "cpu"
    shape: tuple[int, ...] = ()


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

    Both images are resampled on the network's own grid: cubic pixels on the fixed image's axes, padded to its
    stride. There is one pass, or several from coarse to fine (`Network.first_side`). If the device has too
    little memory, the CPU takes over; if memory is short there too, pixels become larger.

    Parameters
    ----------
    task : Task
        Two images of any size, spacing and orientation. Masks, landmarks and the seed are not used.
    net : Network
        Moved to the device and left there.
    lead : Network, optional
        An affine network that runs first; its map is the extra "affine first".
    steps : int
        Passes of an affine network, each on the original moving image under the map so far.
    size : int, optional
        Pixels along the longest side, at most; by default 512 in 2D and 224 in 3D. `Network.last_side` is
        never exceeded.
    progress : Progress
        Called before every pass; may raise `Cancelled`.

    Raises
    ------
    ValueError
        If the network is for another number of axes, its weights are damaged, the device is absent, or memory
        is too short even for a coarse pass.
    """
    fixed, moving = task.fixed, task.moving
    if net.ndim != fixed.ndim:
        raise ValueError(
            f"The weights are for {net.ndim}D images and the pair is {fixed.ndim}D; choose other weights."
        )
    size = min(size or SIZES[fixed.ndim], net.last_side or sys.maxsize)
    longest = max(network_grid(fixed.grid, 1, size).shape)
    for each in (net, lead):
        _one_step(each)

    def passes(where: torch.device, size: int) -> tuple[Transform, Extras, float, tuple[int, ...]]:
        began = time.perf_counter()
        grid = network_grid(fixed.grid, net.stride, size)
        _check_memory(grid, where)
        pair = Pair(TensorImage.of(fixed, where), TensorImage.of(moving, where), net, None)
        transform, extras = _run(pair, lead, steps, size, progress)
        return transform, extras, time.perf_counter() - began, grid.shape

    def work(where: torch.device) -> tuple[tuple[Transform, Extras, float, tuple[int, ...]], str | None]:
        if where.type == "cpu":
            return _within_memory(lambda size: passes(where, size), size, longest)
        return passes(where, size), None

    (found, shrunk), used, moved = with_fallback(work, task.device)
    notes = tuple(note for note in (moved, shrunk) if note is not None)
    transform, extras, seconds, shape = found
    return Predicted(transform, extras, notes, seconds, used, shape)


def _within_memory(work: Callable[[int], T], size: int, longest: int) -> tuple[T, str | None]:
    """Result of `work` with `size` pixels, or fewer where memory is short; and a note if so."""
    note = None
    while True:
        try:
            return work(size), note
        except (RuntimeError, MemoryError) as error:
            if not is_memory_short(error):
                raise
        # Outside the handler, which would keep alive what fills the memory.
        size = min(size, longest) // 2
        if size < SMALLEST:
            raise ValueError("There is too little memory for this network; close other programs.")
        note = f"Memory is short: the network used {size} pixels along the longest side."


def _one_step(net: Network | None) -> None:
    """Steps are iterated here: inside the network, images are cut off at the border of the fixed image."""
    for module in () if net is None else net.modules():
        if isinstance(module, Network):
            module.steps = 1


def _run(
    pair: Pair, lead: Network | None, steps: int, size: int, progress: Progress
) -> tuple[Transform, Extras]:
    """Transform and extras of a network, after an affine network if there is one."""
    if lead is None:
        return run_passes(pair, steps, size, progress)
    pair = after_affine(pair, lead, subprogress(progress, 0.0, FIRST))
    transform, extras = run_passes(pair, steps, size, subprogress(progress, FIRST, 1.0))
    return transform, extras if pair.lead is None else {"affine first": pair.lead, **extras}


def _check_memory(grid: Grid, device: torch.device) -> None:
    """Raise a `MemoryError` if the CPU has too little memory; a GPU raises its own error."""
    if device.type == "cpu" and math.prod(grid.shape) * NEED[grid.ndim] > free_memory():
        raise MemoryError
