"""Positions of pixels, pooled pixels and control points in index coordinates of the fixed image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..tensor.warp import apply_along, interpolation


@dataclass(frozen=True)
class Lattice:
    """Points `start + step * i` along each axis."""

    shape: tuple[int, ...]
    start: tuple[float, ...]
    step: tuple[float, ...]

    def positions(self, axis: int, device: torch.device) -> Tensor:
        """Index coordinates along one axis."""
        count = torch.arange(self.shape[axis], dtype=torch.float64, device=device)
        return self.start[axis] + self.step[axis] * count

    def pooled(self, factors: tuple[int, ...]) -> Lattice:
        """Centres of blocks of this lattice's points; an incomplete last block is dropped."""
        shape = tuple(n // f for n, f in zip(self.shape, factors, strict=True))
        start = tuple(a + s * (f - 1) / 2 for a, s, f in zip(self.start, self.step, factors, strict=True))
        return Lattice(shape, start, tuple(s * f for s, f in zip(self.step, factors, strict=True)))

    def matrices(self, points: Lattice, device: torch.device) -> list[Tensor]:
        """Matrices that interpolate values on this lattice at the points of another one, axis by axis."""
        result = []
        for axis, n in enumerate(self.shape):
            place = (points.positions(axis, device) - self.start[axis]) / self.step[axis]
            result.append(interpolation(place, n))
        return result

    def resampled(self, field: Tensor, points: Lattice) -> Tensor:
        """A field (C, *self.shape) interpolated linearly on another lattice."""
        return apply_along(field, self.matrices(points, field.device))


def control_lattice(shape: tuple[int, ...], distance: list[float]) -> Lattice:
    """Control points at that distance (pixels along each axis) over an image and one cell more."""
    counts, starts = [], []
    for n, step in zip(shape, distance, strict=True):
        cells = math.ceil(n / step) + 2
        counts.append(cells + 1)
        starts.append((n - 1) / 2 - step * cells / 2)
    return Lattice(tuple(counts), tuple(starts), tuple(distance))
