"""A landscape seen by radar at two incidence angles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..core.geometry import Array, Grid, Image
from ..transforms import StationaryVelocity, chain, warp
from .base import Sample, SampleInfo
from .drawing import rim, similarity, smooth_noise, soft, velocity_grid

PIXEL = 10.0  # metres
SIZE = 400  # pixels along each axis of the fixed image
MARGIN = 56  # pixels of landscape around it, which the moving image may show
LOOKS = 4
# Backscatter of each land cover at 27 and 41 degrees, decibel.
COVERS = {"water": (-19.0, -25.0), "road": (-17.0, -20.0), "wood": (-7.5, -9.0)}
FIELDS = ((-14.5, -17.0), (-12.5, -14.0), (-11.0, -13.5), (-9.5, -11.0), (-13.5, -13.0), (-10.5, -14.5))


@dataclass(frozen=True, eq=False)
class Landscape:
    """Land cover backscatter for both angles, terrain and buildings, all on one grid.

    Parameters
    ----------
    backscatter : tuple of ndarray
        Decibel, one array an angle.
    height : ndarray
        Terrain, metres.
    buildings : ndarray, shape (N, 5)
        Row, column, rows, columns (pixels) and height (metres).
    """

    backscatter: tuple[Array, Array]
    height: Array
    buildings: Array


def make(info: SampleInfo, seed: int = 0) -> Sample:
    """Four-look amplitudes on 10 m pixels, float32, shapes (400, 400) and (384, 416), in metres.

    The radar views along the columns from the left. The hills stand nearer to it at the steeper angle: that
    parallax, height times the difference of the angles' cotangents, is the smooth part of the truth.
    """
    rng = np.random.default_rng(seed)
    whole = Grid.from_spacing((SIZE + 2 * MARGIN,) * 2, PIXEL, -MARGIN * PIXEL, units="meter")
    land = _landscape(whole.shape, rng)
    angles = (math.radians(27.0), math.radians(41.0))
    fixed = Grid.from_spacing((SIZE, SIZE), PIXEL, units="meter")
    moving = Grid.from_spacing((384, 416), PIXEL, (60.0, -90.0), units="meter")
    truth = chain(similarity(fixed, 1.5, 1.01, (70.0, -55.0)), _parallax(land.height, whole, angles))
    steep, shallow = (Image(_reflected(land, k, angle), whole) for k, angle in enumerate(angles))
    crop = slice(MARGIN, MARGIN + SIZE)
    seen = warp(shallow, truth.inverse(moving), moving).data
    return Sample(
        info.name,
        info.title,
        info.description,
        Image(_speckled(steep.data[crop, crop], rng), fixed, "SAR 27° fixed (simulated)"),
        Image(_speckled(seen, rng), moving, "SAR 41° moving (simulated)"),
        truth,
    )


def _parallax(height: Array, grid: Grid, angles: tuple[float, float]) -> StationaryVelocity:
    """The displacement of the hills along range between two incidence angles."""
    nearer = height / math.tan(angles[0]) - height / math.tan(angles[1])
    field = velocity_grid(grid, 4 * PIXEL)
    along_range = warp(Image(nearer - nearer.mean(), grid), None, field).data * rim(field.shape)
    return StationaryVelocity(np.stack([np.zeros(field.shape), along_range], axis=-1), field)


def _landscape(shape: tuple[int, ...], rng: np.random.Generator) -> Landscape:
    """Fields, woods, a river, roads, towns and hills."""
    rows, columns = np.indices(shape, dtype=np.float32)
    height = 70 * np.clip(0.4 + smooth_noise(shape, 80.0, rng), 0, None)
    parcel = _parcels(rows, columns, rng)
    river = _river(rows, columns, rng)
    wood = (smooth_noise(shape, 20.0, rng) + 0.3 * smooth_noise(shape, 3.0, rng) > 1.1) & (river > 5)
    roads = _roads(rows, columns, rng)
    layers = []
    for k in (0, 1):
        levels = np.array([field[k] for field in FIELDS], dtype=np.float32)
        decibel = levels[parcel % len(FIELDS)] + 0.5 * smooth_noise(shape, 2.5, rng)
        decibel = np.where(wood, COVERS["wood"][k] + 1.1 * smooth_noise(shape, 1.5, rng), decibel)
        decibel += (COVERS["road"][k] - decibel) * soft(roads - 1.0, 1.5)
        bank = soft(np.abs(river - 6.5) - 0.8, 1.5)
        decibel += (-8.0 - decibel) * 0.7 * bank
        decibel += (COVERS["water"][k] - decibel) * soft(river - 5.5, 1.5)
        layers.append(decibel.astype(np.float32))
    return Landscape((layers[0], layers[1]), height, _towns(shape, river, roads, rng))


def _parcels(rows: Array, columns: Array, rng: np.random.Generator) -> Array:
    """Numbers of roughly rectangular fields; neighbourhoods differ in how their fields lie."""
    n = rows.shape[0]
    hamlets = rng.uniform(0, n, (9, 2))
    angles = rng.uniform(-0.6, 0.6, 9)
    nearest = cKDTree(hamlets).query(np.stack([rows.ravel(), columns.ravel()], axis=1))[1]
    c, s = np.cos(angles[nearest]), np.sin(angles[nearest])
    along = (c * rows.ravel() - s * columns.ravel()) / 1.0
    across = (s * rows.ravel() + c * columns.ravel()) / 1.8  # fields are longer than wide
    seeds = rng.uniform(-n, 2 * n, (9000, 2))
    field = cKDTree(seeds).query(np.stack([along, across], axis=1), p=np.inf)[1]
    kind = rng.integers(0, 10_000, len(seeds) * 9)
    return kind[field + len(seeds) * nearest].reshape(rows.shape)


def _river(rows: Array, columns: Array, rng: np.random.Generator) -> Array:
    """Distance to a meandering centre line, pixels."""
    n = rows.shape[0]
    along = np.arange(n)
    phase = rng.uniform(0, 2 * np.pi, 3)
    line = 0.6 * n + 38 * np.sin(along / 70 + phase[0]) + 17 * np.sin(along / 29 + phase[1])
    line = line + 5 * np.sin(along / 11 + phase[2]) - 0.25 * (along - n / 2)
    tree = cKDTree(np.stack([line, along], axis=1))
    distance = tree.query(np.stack([rows.ravel(), columns.ravel()], axis=1))[0]
    return distance.reshape(rows.shape).astype(np.float32)


def _roads(rows: Array, columns: Array, rng: np.random.Generator) -> Array:
    """Distance to the nearest of a few gently curved roads, pixels."""
    n = rows.shape[0]
    nearest = np.full(rows.shape, np.inf, dtype=np.float32)
    for angle in (0.25, 1.35, 1.75, 2.75):
        angle = angle + rng.uniform(-0.12, 0.12)
        middle = rng.uniform(0.3, 0.7, 2) * n
        along = math.cos(angle) * (rows - middle[0]) + math.sin(angle) * (columns - middle[1])
        across = -math.sin(angle) * (rows - middle[0]) + math.cos(angle) * (columns - middle[1])
        curve = 9 * np.sin(along / rng.uniform(55, 80) + rng.uniform(0, 6))
        nearest = np.minimum(nearest, np.abs(across - curve))
    return nearest


def _towns(shape: tuple[int, ...], river: Array, roads: Array, rng: np.random.Generator) -> Array:
    """Buildings of a town and some villages, on street grids."""
    n = shape[0]
    found = []
    for radius in (52, 30, 24, 20, 16, 14, 12):
        centre = rng.uniform(0.12, 0.88, 2) * n
        angle = rng.uniform(-0.5, 0.5)
        c, s = math.cos(angle), math.sin(angle)
        for i, j in np.ndindex(2 * radius // 5 + 1, 2 * radius // 6 + 1):
            if rng.uniform() < 0.35 or i % 4 == 0 or j % 5 == 0:  # gardens and streets
                continue
            u, v = 5 * i - radius + rng.normal(0, 0.5), 6 * j - radius + rng.normal(0, 0.6)
            row, column = centre[0] + c * u - s * v, centre[1] + s * u + c * v
            inside = (
                8 < row < n - 9 and 8 < column < n - 9 and math.hypot(u, v) < radius * rng.uniform(0.7, 1.1)
            )
            if inside and river[int(row), int(column)] > 11 and roads[int(row), int(column)] > 2.5:
                high = rng.gamma(2.5, 3.2) * (1.8 if math.hypot(u, v) < 0.35 * radius else 1.0)
                found.append((row, column, rng.uniform(0.6, 3), rng.uniform(0.6, 3.2), high))
    return np.array(found)


def _reflected(land: Landscape, which: int, angle: float) -> Array:
    """Mean intensity at one angle: cover, slopes facing the radar, layover, walls and shadows."""
    decibel = land.backscatter[which].copy()
    slope = np.gradient(land.height, PIXEL, axis=1)
    decibel += np.clip(14 * slope / math.tan(angle), -6, 8)
    bright = np.zeros(decibel.shape, dtype=np.float32)
    for row, column, tall, wide, height in land.buildings:
        top, bottom = round(row - tall / 2), round(row + tall / 2) + 1
        near, far = round(column - wide / 2), round(column + wide / 2) + 1
        layover = round(height / math.tan(angle) / PIXEL)
        shadow = round(height * math.tan(angle) / PIXEL)
        decibel[top:bottom, far : far + shadow] = -21.0
        decibel[top:bottom, max(near - layover, 0) : far] = -5.0
        bright[top:bottom, near] += 10 ** (0.1 * (5.0 + 0.25 * height - 3.0 * which))
    return 10 ** (0.1 * decibel) + ndimage.gaussian_filter(bright, 0.45)


def _speckled(intensity: Array, rng: np.random.Generator) -> Array:
    """Amplitude with multiplicative gamma speckle and the receiver's noise floor, float32."""
    floor = 10 ** (0.1 * -26.0)
    looks = rng.gamma(LOOKS, 1 / LOOKS, intensity.shape)
    return np.sqrt((intensity + floor) * looks).astype(np.float32)
