"""Families of poses: similarity, affine, homography and quadratic, many at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..core.geometry import Array

Model = Literal["similarity", "affine", "homography", "quadratic"]


def basis(u: Array) -> Array:
    """1, u0, u1, u0^2, u0 u1, u1^2 at points (..., 2): (..., 6)."""
    a, b = u[..., 0], u[..., 1]
    return np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], -1)


def freedoms(model: Model) -> Array:
    """Small motions that a model allows, as displacements in `basis`: (parameters, 2, 6)."""
    if model == "quadratic":
        return np.eye(12).reshape(12, 2, 6)
    if model == "similarity":
        motions = np.zeros((4, 2, 6))
        motions[0, 0, 0] = motions[1, 1, 0] = 1
        motions[2, 0, 1] = motions[2, 1, 2] = 1  # scale
        motions[3, 0, 2], motions[3, 1, 1] = -1, 1  # rotation
        return motions
    motions = np.zeros((8, 2, 6))
    motions[:3, 0, :3] = motions[3:6, 1, :3] = np.eye(3)
    motions[6, 0, 3] = motions[6, 1, 4] = 1  # perspective: u (p . u)
    motions[7, 0, 4] = motions[7, 1, 5] = 1
    return motions if model == "homography" else motions[:6]


@dataclass(frozen=True, eq=False)
class Poses:
    """Poses of one model, from world points of the fixed image to world points of the moving image.

    Parameters
    ----------
    model : str
        The family.
    numbers : ndarray, shape (n, 3, 3) or (n, 2, 6)
        Homogeneous matrices of u, or coefficients of `basis` for the quadratic, where
        u = (x - centre) / radius; the values are world points.
    centre : ndarray, shape (2,)
        World units.
    radius : float
        World units.
    """

    model: Model
    numbers: Array
    centre: Array
    radius: float

    @classmethod
    def of(cls, matrices: Array, centre: Array, radius: float, model: Model = "affine") -> Poses:
        """From homogeneous world matrices (n, 3, 3)."""
        inner = np.diag([radius, radius, 1.0])
        inner[:2, 2] = centre
        return cls(model, matrices @ inner, centre, radius)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Array | slice | list[int]) -> Poses:
        return replace(self, numbers=self.numbers[index])

    def joined(self, other: Poses) -> Poses:
        """Both one after the other."""
        return replace(self, numbers=np.concatenate([self.numbers, other.numbers]))

    @property
    def matrices(self) -> Array:
        """Homogeneous world matrices (n, 3, 3); not of a quadratic."""
        inner = np.diag([self.radius, self.radius, 1.0])
        inner[:2, 2] = self.centre
        matrices: Array = self.numbers @ np.linalg.inv(inner)
        return matrices / matrices[:, 2:, 2:]

    def __call__(self, points: Array) -> Array:
        """Where world points (m, 2) go: (n, m, 2)."""
        return self.at((points - self.centre) / self.radius)

    def at(self, u: Array) -> Array:
        """Where points (m, 2) or (n, m, 2) in units of u go: (n, m, 2)."""
        if self.model == "quadratic":
            return basis(u) @ self.numbers.transpose(0, 2, 1)
        mapped = u @ self.numbers[:, :, :2].transpose(0, 2, 1) + self.numbers[:, None, :, 2]
        return mapped[..., :2] / mapped[..., 2:]

    def linear(self) -> Array:
        """Derivative at the centre, world per world, (n, 2, 2)."""
        if self.model == "quadratic":
            return self.numbers[:, :, 1:3] / self.radius
        middle = self.numbers[:, :2, 2] / self.numbers[:, 2:, 2]
        slope = self.numbers[:, :2, :2] - middle[:, :, None] * self.numbers[:, 2:, :2]
        return slope / self.numbers[:, 2:, 2:] / self.radius

    def scale(self) -> Array:
        """Moving length per fixed length at the centre, (n,)."""
        return np.sqrt(np.abs(np.linalg.det(self.linear())))

    def rotation(self) -> Array:
        """Rotation at the centre, degrees from -180 to 180, (n,)."""
        linear = self.linear()
        sine, cosine = linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1]
        return np.rad2deg(np.arctan2(sine, cosine))

    def after(self, motions: Array) -> Poses:
        """The poses applied after the inverse of small displacements (n, 2, 6) of u.

        Exact for matrices; a quadratic is fitted again on a lattice over the unit square.
        """
        if self.model == "quadratic":
            line = np.linspace(-1, 1, 9)
            u = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
            moved = u - basis(u) @ motions.transpose(0, 2, 1)
            values = self.at(moved)
            fit = np.linalg.pinv(basis(u))
            return replace(self, numbers=(fit @ values).transpose(0, 2, 1))
        steps = np.tile(np.eye(3), (len(motions), 1, 1))
        steps[:, :2, :2] += motions[:, :, 1:3]
        steps[:, :2, 2] = motions[:, :, 0]
        if self.model == "homography":
            steps[:, 2, 0] = -motions[:, 0, 3]
            steps[:, 2, 1] = -motions[:, 1, 5]
        return replace(self, numbers=self.numbers @ np.linalg.inv(steps))

    def relaxed(self, model: Model) -> Poses:
        """The same poses as members of a family that contains theirs."""
        if model != "quadratic" or self.model == "quadratic":
            return replace(self, model=model)
        line = np.linspace(-1, 1, 9)
        u = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
        fit = np.linalg.pinv(basis(u))
        return Poses("quadratic", (fit @ self.at(u)).transpose(0, 2, 1), self.centre, self.radius)
