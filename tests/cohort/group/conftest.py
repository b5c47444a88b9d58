"""A cohort whose images are known deformations of one scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_voxreg.core.geometry import Array, Grid, Image

SIDE = 96
GRID = Grid.from_spacing((SIDE, SIDE), 0.5, units="millimeter")


@dataclass(frozen=True)
class Cohort:
    """Images, and where each shows the points of the scene: (n, points, d), world units."""

    images: list[Image]
    scene: Array
    places: Array


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    """Five images: a disc with texture, moved by up to a few pixels and deformed by two."""
    rng = np.random.default_rng(0)
    wide = SIDE + 40
    texture = gaussian_filter(rng.standard_normal((wide, wide)), 2.5)
    rows, columns = np.indices((wide, wide)) - (wide - 1) / 2
    scene = (1.5 + texture / texture.std() * 0.4) / (1 + np.exp((np.hypot(rows, columns * 1.2) - 42) / 1.5))
    index = np.indices((SIDE, SIDE)).astype(float)
    images, places = [], []
    points = rng.uniform(30, SIDE - 30, (40, 2))
    for k in range(5):
        field = np.stack([gaussian_filter(rng.standard_normal((SIDE, SIDE)), 12) for _ in range(2)])
        field *= 2 / np.sqrt((field**2).sum(axis=0)).mean()
        field += rng.normal(0, 2, 2)[:, None, None]
        pixels = map_coordinates(scene, index + field + 20, order=3)
        images.append(
            Image((pixels + 0.02 * rng.standard_normal(pixels.shape)).astype(np.float32), GRID, f"p{k}.tif")
        )
        # Where the image shows a point p of the scene: y with y + u(y) = p.
        found = points.copy()
        for _ in range(30):
            found = points - np.stack([map_coordinates(u, found.T, order=1) for u in field], axis=1)
        places.append(GRID.to_world(found))
    return Cohort(images, scene, np.array(places))
