"""How each shipped network is trained: its architecture, its data and the number of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...nets.architectures.pyramid import SHIPPED
from .scenes import Objects
from .synthetic_pairs import Motion

LEAST_RATE = 0.05  # fraction of the learning rate at the end


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One network's training on synthetic pairs.

    Parameters
    ----------
    name : str
        Of the recipe and of the weights.
    architecture : str
        A name in `nets.checkpoint.ARCHITECTURES`.
    arguments : mapping
        Of the architecture.
    loss : str
        A name in `objectives.OBJECTIVES`.
    shape : tuple of int
        Of the training images.
    batch : int
        Pairs a step.
    motion : Motion
        The largest.
    objects : Objects
        That only one image shows.
    alike : bool
        Whether the two images of a pair have the same contrast.
    rate : float
        Learning rate of Adam.
    steps : int
        Optimiser steps.
    settling : int
        Of these the last ones, over which the rate falls linearly to a twentieth: at the full rate the
        weights keep fluctuating around the minimum.
    ramp : int
        Steps over which the motion grows from a third to all of it.
    start : str
        The recipe whose result this one begins with, as far as names and shapes of the layers agree; none
        begins with random weights.
    keep : bool
        Whether these layers stay as they are: the first gradients through a network that knows nothing yet
        would spoil them.
    """

    name: str
    architecture: str
    loss: str
    shape: tuple[int, ...]
    batch: int
    steps: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    motion: Motion = field(default_factory=Motion)
    objects: Objects = field(default_factory=Objects)
    alike: bool = False
    rate: float = 5e-4
    ramp: int = 1000
    settling: int = 1500
    start: str = ""
    keep: bool = False

    def rate_at(self, step: int) -> float:
        """Learning rate after so many steps."""
        left = (self.steps - step) / self.settling
        return self.rate * min(1.0, max(LEAST_RATE, left))


# For the affine networks: 30 degrees, 0.8 to 1.25, a fifth of the side, and a small deformation.
FAR = Motion(deformation=0.01, rotation=30.0, scale=0.25, shear=0.08, translation=0.2)
# For networks with a small affine part.
ROTATED = Motion(deformation=0.025, rotation=15.0, scale=0.15, shear=0.04, translation=0.1)
# What remains after an affine network, and a little more.
LED = Motion(deformation=0.035, rotation=6.0, scale=0.06, shear=0.03, translation=0.035)
# Objects that only one image shows, for networks that must tolerate them.
MANY = Objects(chance=0.8, largest=0.4)

_BEGUN = (
    Recipe(
        name="pyramid2d-begun",
        architecture="pyramid",
        arguments=SHIPPED[2],
        loss="levels",
        shape=(96, 96),
        batch=8,
        steps=9_250,
        objects=MANY,
    ),
    # It moves more where images have nothing in common, so the others begin with it and it is not shipped.
    Recipe(
        name="pyramid2d-near",
        architecture="pyramid",
        arguments=SHIPPED[2],
        loss="levels",
        shape=(128, 128),
        batch=5,
        steps=4_500,
        motion=LED,
        objects=MANY,
        ramp=1,
        start="pyramid2d-begun",
    ),
    Recipe(
        name="pyramid3d-begun",
        architecture="pyramid",
        arguments=SHIPPED[3],
        loss="levels",
        shape=(48, 48, 48),
        batch=2,
        steps=6_000,
    ),
    Recipe(
        name="affine2d-begun",
        architecture="matching affine",
        arguments={"ndim": 2, "steps": 1, "features": 32},
        loss="matches",
        shape=(80, 80),
        batch=6,
        steps=16_250,
        motion=FAR,
        objects=MANY,
        rate=1e-3,
        ramp=2000,
        start="pyramid2d-begun",
    ),
    Recipe(
        name="affine3d",
        architecture="matching affine",
        arguments={"ndim": 3, "steps": 1, "features": 24},
        loss="matches",
        shape=(48, 48, 48),
        batch=2,
        steps=8_000,
        motion=FAR,
        rate=1e-3,
        start="pyramid3d-begun",
    ),
    Recipe(
        name="voxelmorph2d-begun",
        architecture="voxelmorph",
        arguments={"ndim": 2, "half": True, "int_steps": 5, "compare": "pyramid"},
        loss="displacement",
        shape=(64, 64),
        batch=8,
        steps=2_750,
        settling=1_000,
        ramp=500,
        objects=MANY,
        rate=1e-3,
        start="pyramid2d-near",
        keep=True,
    ),
    Recipe(
        name="voxelmorph3d-begun",
        architecture="voxelmorph",
        arguments={"ndim": 3, "half": True, "int_steps": 5, "compare": "pyramid"},
        loss="displacement",
        shape=(48, 48, 48),
        batch=2,
        steps=1_750,
        settling=500,
        rate=1e-3,
        start="pyramid3d-begun",
        keep=True,
    ),
    Recipe(
        name="avsm2d-begun",
        architecture="avsm",
        arguments={"ndim": 2, "width": 8, "steps": 3, "compare": "pyramid", "residual": True},
        loss="affine and displacement",
        shape=(64, 64),
        batch=8,
        steps=1_250,
        settling=400,
        motion=ROTATED,
        rate=1e-3,
        start="pyramid2d-near",
        keep=True,
    ),
    Recipe(
        name="avsm3d",
        architecture="avsm",
        arguments={"ndim": 3, "width": 8, "steps": 1, "compare": "pyramid", "residual": True},
        loss="affine and displacement",
        shape=(48, 48, 48),
        batch=2,
        steps=1_000,
        settling=400,
        motion=ROTATED,
        rate=1e-3,
        start="pyramid3d-begun",
        keep=True,
    ),
    Recipe(
        name="jsm2d-begun",
        architecture="jsm",
        arguments={"width": 0.25, "side": 128, "compare": "pyramid"},
        loss="coarse and fine",
        shape=(128, 128),
        batch=4,
        steps=1_200,
        settling=400,
        ramp=1,
        objects=MANY,
        start="pyramid2d-near",
        keep=True,
    ),
    Recipe(
        name="stn2d",
        architecture="stn",
        arguments={"ndim": 2, "width": 16, "compare": "pyramid"},
        loss="affine",
        shape=(96, 96),
        batch=16,
        steps=3_500,
        settling=2_500,
        motion=ROTATED,
        rate=1e-3,
        start="pyramid2d",
        keep=True,
    ),
)


def _gone_on(name: str, batch: int, steps: int, rate: float, **other: Any) -> Recipe:
    """Training continued from a first network, mostly on a GPU in large batches; the rate soon falls."""
    begun = next(recipe for recipe in _BEGUN if recipe.name == f"{name}-begun")
    return replace(
        begun,
        name=name,
        start=begun.name,
        keep=False,
        batch=batch,
        steps=steps,
        rate=rate,
        settling=2 * steps // 3,
        ramp=1,
        **other,
    )


_WIDE: dict[str, Any] = {"shape": (128, 128), "objects": MANY}
_ALL = (
    *_BEGUN,
    _gone_on("pyramid2d", 64, 3_000, 8e-4, **_WIDE),
    _gone_on("affine2d", 8, 4_000, 5e-4, shape=(128, 128)),
    _gone_on("pyramid3d", 8, 2_800, 5e-4),
    _gone_on("voxelmorph2d", 40, 2_600, 6e-4, **_WIDE),
    _gone_on("voxelmorph3d", 8, 2_000, 5e-4),
    _gone_on("avsm2d", 24, 1_300, 6e-4, **_WIDE),
    _gone_on(
        "jsm2d",
        40,
        2_600,
        6e-4,
        arguments={"width": 0.25, "side": 256, "compare": "pyramid"},
        **_WIDE,
    ),
)


def _unsupervised(name: str, architecture: str, start: str, **arguments: Any) -> Recipe:
    """Trained on the images alone, of equal contrast, with objects that pull the map."""
    return Recipe(
        name=name,
        architecture=architecture,
        arguments={"compare": "pyramid", **arguments},
        loss="similarity",
        shape=(64, 64),
        batch=4,
        steps=300,
        settling=150,
        ramp=1,
        motion=Motion(deformation=0.03, rotation=4.0, scale=0.04, shear=0.02, translation=0.03),
        objects=Objects(chance=0.5),
        alike=True,
        start=start,
    )


# What the joint saliency brings: with the map, with ones in its place, and VoxelMorph, all trained alike.
_GUIDED: dict[str, Any] = {"width": 1 / 16, "side": 64}
ABLATION: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _unsupervised("saliency-map", "jsm", "pyramid2d", **_GUIDED, guidance="fill"),
        _unsupervised("saliency-ones", "jsm", "pyramid2d", **_GUIDED, guidance="ones"),
        _unsupervised("saliency-voxelmorph", "voxelmorph", "voxelmorph2d", ndim=2, half=True, int_steps=5),
    )
}

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
