"""What the tests of this folder do, on any device; so a machine without a GPU can try it, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from napari_voxreg import METHODS, Affine, Cancelled, Grid, Image, Result, StationaryVelocity, register, warp
from napari_voxreg.core.progress import silent
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, PairSet
from napari_voxreg.methods.base import Outcome, Task
from napari_voxreg.train.events import Began, EpochDone, Event
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.run import train_pairs
from napari_voxreg.transforms import chain

SHAPES = {2: (192, 208), 3: (64, 72, 80)}
CASES = [(name, d) for name, method in METHODS.items() if method.device for d in method.ndims]


@dataclass(frozen=True)
class Comparison:
    """A method on a device and on the CPU.

    Parameters
    ----------
    distance : float
        Mean over the fixed grid of how far the two transforms lead apart, in pixels.
    motion : float
        Mean length of the displacements, in pixels: what a method that found nothing would miss.
    seconds, cpu_seconds : float
        Of the method on the device and on the CPU.
    result : Result
        On the device.
    """

    distance: float
    motion: float
    seconds: float
    cpu_seconds: float
    result: Result


@cache
def moved_pair(shape: tuple[int, ...]) -> tuple[Image, Image]:
    """A textured image and a larger one, of which it shows a part under a rotation and a deformation."""
    d, rng = len(shape), np.random.default_rng(1)
    grid = Grid.from_spacing(shape, 1.5)
    wide = Grid.from_spacing([n + 32 for n in shape], 1.5, -24.0)
    texture = sum(gaussian_filter(rng.normal(size=wide.shape), s) * s ** (d / 2) for s in (1.5, 3, 6))
    # An object on a dark ground, as in a scan.
    nodes = [np.linspace(-1, 1, n) for n in wide.shape]
    ball = sum(x**2 for x in np.meshgrid(*nodes, indexing="ij")) < 0.8
    data = np.where(ball, texture - texture.min(), 0).astype(np.float32)
    noise = [gaussian_filter(rng.normal(size=shape), 12, mode="constant") for _ in range(d)]
    velocity = np.stack(noise, -1)
    velocity *= 3.0 / np.linalg.norm(velocity, axis=-1).mean()
    matrix = np.eye(d + 1)
    angle = np.deg2rad(6)
    matrix[-3:-1, -3:-1] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:-1, -1] = grid.centre - matrix[:-1, :-1] @ grid.centre + 4.0
    moving = Image(data, wide)
    return warp(moving, chain(StationaryVelocity(velocity, grid), Affine(matrix)), grid), moving


def compared(method: str, shape: tuple[int, ...], device: str) -> Comparison:
    """Register the pair with a method's first preset on a device and on the CPU."""
    fixed, moving = moved_pair(shape)
    here, there = (register(fixed, moving, method=method, device=name) for name in ("cpu", device))
    nodes = fixed.grid.nodes()
    pixel = float(fixed.grid.spacing.mean())
    distance, motion = (
        float(np.linalg.norm(there.transform(nodes) - other, axis=1).mean()) / pixel
        for other in (here.transform(nodes), nodes)
    )
    return Comparison(distance, motion, there.seconds, here.seconds, there)


@contextmanager
def without_memory(device: str) -> Iterator[None]:
    """Leave this process next to nothing of a GPU's memory; the CPU keeps its own."""
    if torch.device(device).type != "cuda":
        yield
        return
    torch.cuda.empty_cache()  # else the process goes on with what it holds
    torch.cuda.set_per_process_memory_fraction(1e-5)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def run_here(method: str, shape: tuple[int, ...], device: str) -> Outcome:
    """Run a method on the pair in this process, whose memory `without_memory` limits."""
    fixed, moving = moved_pair(shape)
    return METHODS[method].run(Task(fixed, moving, device=device), METHODS[method].parameters(), silent)


def one_epoch(device: str, folder: Path) -> tuple[Began, EpochDone]:
    """Train a small network on four pairs for one epoch; what it said of its begin and of the epoch."""
    rng, grid, pairs = np.random.default_rng(0), Grid.from_spacing((32, 32)), []
    for k in range(6):
        data = gaussian_filter(rng.normal(size=(34, 34)), 2).astype(np.float32)
        files = {side: folder / f"{side}{k}.tif" for side in ("fixed", "moving")}
        for file, pixels in zip(files.values(), (data[2:, 2:], data[:-2, :-2]), strict=True):
            write_image(Image(pixels, grid), file)
        pairs.append(Pair(str(k), **files))
    events: list[Event] = []
    options = TrainOptions(epochs=1, batch_size=2, size=32, workers=0, device=device)
    train_pairs(PairSet(tuple(pairs[:4]), tuple(pairs[4:])), options, folder / "run", report=events.append)
    (began,) = [event for event in events if isinstance(event, Began)]
    (done,) = [event for event in events if isinstance(event, EpochDone)]
    return began, done


def seconds_to_cancel(device: str, shape: tuple[int, ...]) -> float:
    """From the wish to cancel a long run, once its first metric has come, to its end."""
    wished = 0.0

    def progress(fraction: float | None, message: str, metric: float | None = None) -> None:
        nonlocal wished
        if metric is not None:
            wished = time.perf_counter()
            raise Cancelled

    fixed, moving = moved_pair(shape)
    many = {"iterations": 1000, "finest": 1}
    try:
        register(fixed, moving, method="diffeo", params=many, device=device, progress=progress)
    except Cancelled:
        return time.perf_counter() - wished
    raise AssertionError("the run ended before it could be cancelled")


def device_title(device: str) -> str:
    """The device's name as its maker gives it."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


def table(title: str, rows: list[tuple[str, int, Comparison]]) -> str:
    """How far each method is from the CPU's result, and how long it took on each."""
    head = f"{title}\n{'method':12}{'axes':>6}{'apart, px':>12}{'seconds':>10}{'on the CPU':>12}"
    lines = [
        f"{name:12}{d:>6}{found.distance:>12.4f}{found.seconds:>10.2f}{found.cpu_seconds:>12.2f}"
        for name, d, found in rows
    ]
    return "\n".join([head, *lines])
