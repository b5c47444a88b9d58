"""Series whose motion is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from napari_voxreg.core.geometry import Array, Grid

MARGIN = 24  # pixels of the scene beyond the frames


@dataclass(frozen=True)
class Known:
    """Frames (n, *shape) on a grid, and the matrix of each in the world, up to one common motion."""

    data: Array
    grid: Grid
    matrices: list[Array]

    def errors(self, found: list[Array], left_out: tuple[int, ...] = ()) -> Array:
        """Mean distance of the corners from where they should be, in pixels, for each frame."""
        kept = [k for k in range(len(found)) if k not in left_out]
        common = np.mean([np.linalg.solve(self.matrices[k], found[k]) for k in kept], axis=0)
        corners = np.c_[self.grid.corners(), np.ones(2**self.grid.ndim)]
        apart = [corners @ (found[k] - self.matrices[k] @ common).T for k in kept]
        return np.array([np.linalg.norm(a[:, :-1], axis=1).mean() for a in apart]) / self.grid.spacing.min()


def moved_scene(
    count: int,
    shape: tuple[int, ...],
    *,
    jitter: float = 2.0,
    drift: float = 0.0,
    degrees: float = 0.0,
    noise: float = 0.1,
    spacing: tuple[float, ...] | None = None,
    seed: int = 0,
) -> Known:
    """A scene that moves from frame to frame: jitter and a steady drift in pixels, and rotations."""
    rng = np.random.default_rng(seed)
    d = len(shape)
    grid = Grid.from_spacing(shape, 1.0 if spacing is None else spacing, units="micrometer")
    scene = gaussian_filter(rng.standard_normal([n + 2 * MARGIN for n in shape]), 2.5)
    scene += 0.5 * gaussian_filter(rng.standard_normal(scene.shape), 1.2)
    scene /= scene.std()
    direction = np.array([0.8, -0.6, 0.0][:d])
    frames, matrices = [], []
    for k in range(count):
        moved = np.eye(d + 1)
        angle = np.radians(degrees) * rng.standard_normal()
        moved[-3:-1, -3:-1] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        way = (jitter * rng.standard_normal(d) + direction * drift * k / count) * grid.spacing
        moved[:d, d] = grid.centre + way - moved[:d, :d] @ grid.centre
        # The frame shows at y what the scene has at M^-1 y.
        back = np.linalg.inv(grid.affine) @ np.linalg.inv(moved) @ grid.affine
        image = affine_transform(scene, back[:d, :d], back[:d, d] + MARGIN, output_shape=shape, order=3)
        frames.append(image + noise * rng.standard_normal(shape))
        matrices.append(moved)
    return Known(np.array(frames, dtype=np.float32), grid, matrices)


@pytest.fixture(scope="session")
def scene() -> Callable[..., Known]:
    """`moved_scene`."""
    return moved_scene
