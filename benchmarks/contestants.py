"""The contestants: this package's methods, ANTs and ConvexAdam, each from two images to a transform."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from napari_voxreg.core import process
from napari_voxreg.core.geometry import Array, Grid, Image
from napari_voxreg.core.progress import silent
from napari_voxreg.methods import METHODS
from napari_voxreg.registration.prepare import prepare
from napari_voxreg.transforms import Affine, Displacement, Transform, warp

OURS = ("elastix", "pose", "diffeo", "pyramid", "voxelmorph", "avsm", "jsm", "affinenet", "auto")
THEIRS = {"SyN": "antspyx", "SyN-quick": "antspyx", "ConvexAdam": "convexAdam"}
ORDER = (
    "identity",
    "elastix",
    "SyN",
    "SyN-quick",
    "ConvexAdam",
    "pose",
    "diffeo",
    "pyramid",
    "voxelmorph",
    "avsm",
    "jsm",
    "affinenet",
    "auto",
)


@dataclass(frozen=True, eq=False)
class Found:
    """A transform, the seconds it took with everything loaded and warm, and the notes."""

    transform: Transform
    seconds: float
    notes: tuple[str, ...] = ()
    confidence: float | None = None

    @property
    def reliable(self) -> bool:
        """Whether the method reports the result as reliable."""
        return not any("no reliable pose" in note.lower() for note in self.notes)


def missing() -> dict[str, str]:
    """Contestants that cannot take part here, with the reason."""
    absent = {name: "not among this package's methods yet" for name in OURS if name not in METHODS}
    for name, package in THEIRS.items():
        try:
            version(package)
        except PackageNotFoundError:
            absent[name] = f"{package} is not installed (pip install --group bench)"
    return absent


def refuses(name: str, ndim: int) -> str | None:
    """Why a contestant does not take images with so many axes, or None."""
    if name == "ConvexAdam" and ndim != 3:
        return "3D only"
    if name in METHODS and ndim not in METHODS[name].ndims:
        return f"not in {ndim}D"
    return None


def registered(name: str, fixed: Image, moving: Image) -> Found:
    """Register with a contestant at its defaults.

    Parameters
    ----------
    name : str
        One of `ORDER`, or any other of this package's methods.
    fixed, moving : Image
        One channel each.
    """
    if name == "identity":
        return Found(Affine.identity(fixed.ndim), 0.0)
    if name in THEIRS:
        run: Callable[[Image, Image], tuple[Transform, float]] = (
            _convex_adam if name == "ConvexAdam" else lambda f, m: _ants(name, f, m)
        )
        return Found(*run(fixed, moving))
    return _ours(name, fixed, moving)


def _ours(name: str, fixed: Image, moving: Image) -> Found:
    """A method of this package as `register` runs it, without the scores before and after."""
    method = METHODS[name]
    task = prepare(fixed, moving, device="cpu").task
    start = time.perf_counter()
    if method.isolate:
        outcome = process.call(method.run, task, method.parameters(), progress=silent)
    else:
        outcome = method.run(task, method.parameters(), silent)
    return Found(outcome.transform, time.perf_counter() - start, outcome.notes, outcome.confidence)


def _ants(name: str, fixed: Image, moving: Image) -> tuple[Transform, float]:
    """ANTsPy, whose arrays have one axis a world axis in the same order: ours, then, taken as they are."""
    import ants

    kind = {"SyN": "SyN", "SyN-quick": "antsRegistrationSyNQuick[s]"}[name]
    first, second = (
        ants.from_numpy(
            image.data.astype(np.float32),
            origin=image.grid.origin.tolist(),
            spacing=image.grid.spacing.tolist(),
            direction=image.grid.direction,
        )
        for image in (fixed, moving)
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        found = ants.registration(
            first, second, type_of_transform=kind, random_seed=1, outprefix=str(Path(folder) / "found")
        )
        seconds = time.perf_counter() - start
        whole = ants.apply_transforms(
            first, second, found["fwdtransforms"], compose=str(Path(folder) / "whole")
        )
        field = ants.image_read(whole).numpy().astype(np.float64)
    return Displacement(field, fixed.grid), seconds


def _convex_adam(fixed: Image, moving: Image) -> tuple[Transform, float]:
    """ConvexAdam with MIND-SSC; it ignores geometry, so the moving image is resampled first."""
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    resampled = warp(moving, None, fixed.grid).data
    if not resampled.any():
        raise ValueError("ConvexAdam needs images that overlap at their current positions.")
    start = time.perf_counter()
    pixels = convex_adam_pt(
        fixed.data.astype(np.float32),
        resampled.astype(np.float32),
        dtype=torch.float32,
        device=torch.device("cpu"),
    )
    seconds = time.perf_counter() - start
    return Displacement(pixels @ fixed.grid.affine[:-1, :-1].T, fixed.grid), seconds


def warm(name: str, ndim: int) -> None:
    """Load everything a contestant needs, by a run on a tiny pair, as an open panel has done."""
    rng = np.random.default_rng(0)
    small: Array = rng.random((48,) * ndim).astype(np.float32)
    for axis in range(ndim):
        small = (small + np.roll(small, 1, axis) + np.roll(small, 2, axis)) / 3
    image = Image(small, Grid.from_spacing(small.shape))
    registered(name, image, image)
