"""An axial slice of a simulated head, T1-like and T2-like."""

from __future__ import annotations

import math

import numpy as np

from ..core.geometry import Array, Grid, Image
from .base import Sample, SampleInfo
from .drawing import known_warp
from .mri import T1, T2, scan
from .phantom import TISSUES, Head, tissue_labels

LEVEL = 8.0  # millimetres above the head's middle: ventricles, nuclei and cortex in one slice


def make(info: SampleInfo, seed: int = 0) -> Sample:
    """The slice at 1 mm, and deformed at 1.2 x 1.1 mm on a translated, rotated grid; int16, millimetres."""
    rng = np.random.default_rng(seed)
    head = Head(seed)
    fixed = Grid.from_spacing((228, 192), 1.0, (-113.5, -95.5), units="millimeter")
    c, s = math.cos(math.radians(6.0)), math.sin(math.radians(6.0))
    moving = Grid.from_spacing(
        (200, 192), (1.2, 1.1), (-112.0, -118.0), [[c, -s], [s, c]], units="millimeter"
    )
    truth = known_warp(fixed, rng, rotation=5.0, zoom=0.97, translation=(5.0, -4.0), wobble=2.2, length=26.0)
    seen_fixed = _slice(head, fixed.nodes(), 1.0).reshape(*fixed.shape, -1)
    seen_moving = _slice(head, truth.inverse(moving)(moving.nodes()), 1.15).reshape(*moving.shape, -1)
    return Sample(
        info.name,
        info.title,
        info.description,
        scan(seen_fixed, fixed, T1, rng, bias=0.05, noise=0.02, name="brain T1 fixed (simulated)"),
        scan(seen_moving, moving, T2, rng, bias=0.12, noise=0.025, name="brain T2 moving (simulated)"),
        truth,
        Image(tissue_labels(seen_fixed), fixed, "brain labels fixed (simulated)"),
        Image(tissue_labels(seen_moving), moving, "brain labels moving (simulated)"),
        label_names=TISSUES[1:],
    )


def _slice(head: Head, points: Array, pixel: float) -> Array:
    """Fractions at points (N, 2) of the slice."""
    return head.fractions(np.column_stack([np.full(len(points), LEVEL), points]), pixel)
