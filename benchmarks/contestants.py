"""The contestants: this package's methods and its peers, each from two images to a transform."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

import peers
from napari_voxreg.core import process
from napari_voxreg.core.geometry import Array, Grid, Image
from napari_voxreg.core.progress import silent
from napari_voxreg.methods import METHODS
from napari_voxreg.registration.prepare import prepare
from napari_voxreg.transforms import Affine, Transform

OURS = ("elastix", "pose", "diffeo", "pyramid", "voxelmorph", "avsm", "jsm", "affinenet", "auto")
ORDER = (
    "identity",
    "elastix",
    "SyN",
    "SyN-quick",
    "ConvexAdam",
    "greedy",
    "SIFT",
    "pose",
    "diffeo",
    "pyramid",
    "voxelmorph",
    "avsm",
    "jsm",
    "affinenet",
    "auto, fast",
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
    ours = {name: "not among this package's methods yet" for name in OURS if name not in METHODS}
    return ours | peers.missing()


def refuses(name: str, ndim: int) -> str | None:
    """Why a contestant does not take images with so many axes, or None."""
    if name == "ConvexAdam" and ndim != 3:
        return "3D only"
    if name == "SIFT" and ndim != 2:
        return "2D only"
    ours = name.partition(", ")[0]
    if ours in METHODS and ndim not in METHODS[ours].ndims:
        return f"not in {ndim}D"
    return None


def registered(name: str, fixed: Image, moving: Image) -> Found:
    """Register with a contestant at its defaults.

    Parameters
    ----------
    name : str
        One of `ORDER`, or any other of this package's methods, perhaps with a preset: ``auto, fast``.
    fixed, moving : Image
        One channel each.
    """
    if name == "identity":
        return Found(Affine.identity(fixed.ndim), 0.0)
    if name in peers.RUN:
        return Found(*peers.RUN[name](fixed, moving))
    return _ours(name, fixed, moving)


def _ours(name: str, fixed: Image, moving: Image) -> Found:
    """A method of this package as `register` runs it, without the scores before and after.

    A preset may follow its name and a comma.
    """
    ours, _, preset = name.partition(", ")
    method = METHODS[ours]
    params = method.parameters(preset=preset or None)
    task = prepare(fixed, moving, device="cpu").task
    start = time.perf_counter()
    if method.isolate:
        outcome = process.call(method.run, task, params, progress=silent)
    else:
        outcome = method.run(task, params, silent)
    return Found(outcome.transform, time.perf_counter() - start, outcome.notes, outcome.confidence)


def warm(name: str, ndim: int) -> None:
    """Load everything a contestant needs, by a run on a tiny pair, as an open panel has done."""
    rng = np.random.default_rng(0)
    small: Array = rng.random((48,) * ndim).astype(np.float32)
    for axis in range(ndim):
        small = (small + np.roll(small, 1, axis) + np.roll(small, 2, axis)) / 3
    image = Image(small, Grid.from_spacing(small.shape))
    registered(name, image, image)
