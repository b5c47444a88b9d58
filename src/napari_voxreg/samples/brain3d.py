"""A simulated head, T1-like and T2-like."""

from __future__ import annotations

import math

import numpy as np

from ..core.geometry import Grid, Image
from .base import Sample, SampleInfo
from .drawing import known_warp
from .mri import T1, T2, scan
from .phantom import TISSUES, Head, tissue_labels


def make(info: SampleInfo, seed: int = 0) -> Sample:
    """The head at 2 mm, and deformed at 2.4 x 1.9 x 1.9 mm on a translated, rotated grid; int16, mm."""
    rng = np.random.default_rng(seed)
    head = Head(seed)
    fixed = Grid.from_spacing((96, 116, 92), 2.0, (-98.0, -121.0, -91.0), units="millimeter")
    # Rotated in the plane of display only: napari does not slice volumes that are tilted out of it.
    c, s = math.cos(math.radians(7.0)), math.sin(math.radians(7.0))
    rotation = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    moving = Grid.from_spacing(
        (80, 122, 104), (2.4, 1.9, 1.9), (-88.0, -127.0, -102.0), rotation, units="millimeter"
    )
    truth = known_warp(
        fixed, rng, rotation=4.0, zoom=0.97, translation=(4.0, -3.0, 5.0), wobble=2.2, length=32.0
    )
    seen_fixed = head.fractions(fixed.nodes(), 2.0).reshape(*fixed.shape, -1)
    seen_moving = head.fractions(truth.inverse(moving)(moving.nodes()), 2.0).reshape(*moving.shape, -1)
    return Sample(
        info.name,
        info.title,
        info.description,
        scan(seen_fixed, fixed, T1, rng, bias=0.05, noise=0.015, name="brain T1 fixed (simulated)"),
        scan(seen_moving, moving, T2, rng, bias=0.12, noise=0.015, name="brain T2 moving (simulated)"),
        truth,
        Image(tissue_labels(seen_fixed), fixed, "brain labels fixed (simulated)"),
        Image(tissue_labels(seen_moving), moving, "brain labels moving (simulated)"),
        label_names=TISSUES[1:],
    )
