"""The simulated head as a scanner shows it."""

from __future__ import annotations

import numpy as np

from ..core.geometry import Array, Grid, Image
from .drawing import smooth_noise

# Brightness of air, skin, skull, fluid, grey, white, ventricles, nuclei, eyes, muscle.
T1 = (0.0, 0.9, 0.12, 0.24, 0.52, 0.8, 0.18, 0.63, 0.26, 0.4)
T2 = (0.0, 0.42, 0.1, 0.9, 0.56, 0.38, 1.0, 0.45, 0.95, 0.22)


def scan(
    fractions: Array,
    grid: Grid,
    brightness: tuple[float, ...],
    rng: np.random.Generator,
    *,
    bias: float,
    noise: float,
    name: str,
) -> Image:
    """Tissue fractions (*grid.shape, tissues) as a magnitude image, int16, about 0 to 1000.

    Parameters
    ----------
    brightness : tuple of float
        Of each tissue, 0 to 1.
    bias : float
        Relative standard deviation of the coil's smooth sensitivity.
    noise : float
        Standard deviation of the Rician noise, relative to full brightness.
    """
    length = 45.0 / float(grid.spacing.max())
    texture = 1 + 0.035 * smooth_noise(grid.shape, 1.2, rng)
    signal = fractions @ np.array(brightness, dtype=np.float32) * texture
    signal = signal * np.exp(bias * smooth_noise(grid.shape, length, rng))
    real = signal + noise * rng.standard_normal(grid.shape, dtype=np.float32)
    imaginary = noise * rng.standard_normal(grid.shape, dtype=np.float32)
    return Image(np.rint(1000 * np.hypot(real, imaginary)).astype(np.int16), grid, name)
