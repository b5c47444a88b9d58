"""Large images that are small, so that the tests are quick."""

from __future__ import annotations

import numpy as np
import pytest

from napari_voxreg import Affine, Composite, Displacement, Grid, Image

MICROMETRES = {"units": "micrometer"}


@pytest.fixture(scope="session")
def moving() -> Image:
    """Smooth colours, 700 x 800 pixels of half a micrometre."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).random((700, 800, 3))
    smooth = gaussian_filter(noise, (3, 3, 0))
    data = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    return Image(data, Grid.from_spacing((700, 800), 0.5, (10.0, -5.0), **MICROMETRES), "moving")


@pytest.fixture(scope="session")
def fixed_grid() -> Grid:
    """600 x 750 pixels of the same size."""
    return Grid.from_spacing((600, 750), 0.5, (0.0, 3.0), **MICROMETRES)


@pytest.fixture(scope="session")
def deformation() -> Composite:
    """A deformation of some micrometres, then a rotation with a translation."""
    coarse = Grid.from_spacing((12, 12), 40.0, (-20.0, -20.0), **MICROMETRES)
    field = np.random.default_rng(1).normal(0, 4, (12, 12, 2))
    matrix = np.array([[0.9812, 0.1013, 3.017], [-0.0987, 0.9791, 20.011], [0.0, 0.0, 1.0]])
    return Composite((Displacement(field, coarse), Affine(matrix)))
