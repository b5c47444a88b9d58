"""Kinds of images with known truth that are unlike those the shipped networks learnt from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_voxreg.core.geometry import Array, Grid, Image
from napari_voxreg.io.images import write_image
from napari_voxreg.samples.drawing import smooth_noise, soft

SIDE, MARGIN = 128, 16  # pixels of the images, and of the scene around them
# Backscatter of five land covers at two sensors, decibel: neither a function of the other.
COVERS = np.array([(-15.0, -12.0), (-14.0, -15.0), (-12.5, -13.5), (-11.0, -15.5), (-13.0, -11.5)])
TOWARDS = (-6, 5)  # pixels by which buildings lean to the two sensors, which look from opposite sides
LOOKS = 2


def deformation(rng: np.random.Generator, side: int) -> Array:
    """A smooth displacement (2, side, side) with a small rotation, scale and translation, in pixels."""
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    angle, zoom = np.radians(rng.uniform(-4, 4)), rng.uniform(-0.04, 0.04)
    linear = np.stack([zoom * rows - angle * columns, angle * rows + zoom * columns])
    smooth = np.stack([smooth_noise((side, side), 24.0, rng) for _ in range(2)])
    return linear + 1.5 * smooth + rng.uniform(-4, 4, (2, 1, 1))


def shown(scene: Array, field: Array) -> Array:
    """A scene at x + u(x) for each pixel x."""
    return ndimage.map_coordinates(scene, np.indices(scene.shape) + field, order=1, mode="nearest")


def radar(rng: np.random.Generator, field: Array) -> tuple[Array, Array]:
    """Fields, roads and leaning buildings at two sensors, in speckle; decibel."""
    n = field.shape[1]
    places = np.stack(np.indices((n, n)), axis=-1)
    seeds = rng.uniform(0, n, (120, 2))
    cover = rng.integers(0, len(COVERS), len(seeds))[cKDTree(seeds).query(places, p=np.inf)[1]]
    buildings = rng.integers(MARGIN, n - MARGIN, (150, 2))
    images = []
    for sensor, lean in enumerate(TOWARDS):
        decibel = COVERS[cover, sensor] + 0.7 * smooth_noise((n, n), 2.5, rng)
        for row, column in buildings:
            edge = column + lean
            decibel[row : row + 3, min(column, edge) : max(column, edge)] = -4.0
            away = column - np.sign(lean) * 4
            decibel[row : row + 3, min(column, away) : max(column, away)] = -24.0
        power = 10 ** (0.1 * decibel)
        power = ndimage.gaussian_filter(power if sensor else shown(power, field), 0.5)
        images.append(10 * np.log10(power * rng.gamma(LOOKS, 1 / LOOKS, power.shape)))
    return images[0], images[1]


def fundus(rng: np.random.Generator, field: Array) -> tuple[Array, Array]:
    """A retina photographed twice: vessels, disc, a dark border; lesions and light differ."""
    n = field.shape[1]
    rows, columns = np.indices((n, n))
    disc = np.array([n / 2 + rng.uniform(-8, 8), n / 2 + rng.choice((-1, 1)) * 28])
    vessels = np.zeros((n, n))
    for _ in range(9):
        _grow(vessels, disc, rng.uniform(0, 2 * np.pi), 1.6, rng)
    vessels = np.clip(ndimage.gaussian_filter(vessels, 0.7), 0, 1)
    away = np.hypot(rows - disc[0], columns - disc[1])
    back = 0.5 + 0.03 * smooth_noise((n, n), 30.0, rng) + 0.35 * soft(away - 9, 4.0)
    images = []
    for visit in range(2):
        image = back - 0.25 * vessels if visit == 0 else 0.85 * back + 0.2 * vessels - 0.1
        for row, column, radius in np.column_stack([rng.uniform(30, n - 30, (6, 2)), rng.uniform(2, 6, 6)]):
            image += rng.choice((-0.2, 0.25)) * soft(np.hypot(rows - row, columns - column) - radius, 2.0)
        image = image if visit else shown(image, field)
        light = 1 + 0.25 * smooth_noise((n, n), 60.0, rng)
        eye = soft(np.hypot(rows - (n - 1) / 2, columns - (n - 1) / 2) - 60, 2.0)
        images.append(eye * (light * image + 0.04 * rng.standard_normal((n, n))))
    return images[0], images[1]


def _grow(vessels: Array, start: Array, heading: float, width: float, rng: np.random.Generator) -> None:
    """Draw a winding vessel that branches."""
    place = start.copy()
    while width > 0.3 and (place > 1).all() and (place < len(vessels) - 2).all():
        row, column = np.round(place).astype(int)
        vessels[row, column] = max(vessels[row, column], 2 * width)
        heading += rng.normal(0, 0.12)
        place += (np.sin(heading), np.cos(heading))
        width *= 0.994
        if rng.random() < 0.03:
            _grow(vessels, place, heading + rng.choice((-1, 1)) * rng.uniform(0.4, 0.9), 0.7 * width, rng)


KINDS: Mapping[str, Callable[[np.random.Generator, Array], tuple[Array, Array]]] = {
    "radar": radar,
    "fundus": fundus,
}


def pairs_of(kind: str, count: int, seed: int) -> list[tuple[Image, Image, Array]]:
    """Pairs of a kind with their true displacements in pixels."""
    inner, grid, found = slice(MARGIN, -MARGIN), Grid.from_spacing((SIDE, SIDE)), []
    for k in range(count):
        rng = np.random.default_rng((seed, k))
        field = deformation(rng, SIDE + 2 * MARGIN)
        images = (image[inner, inner].astype(np.float32) for image in KINDS[kind](rng, field))
        fixed, moving = (Image(image, grid) for image in images)
        found.append((fixed, moving, field[:, inner, inner].astype(np.float32)))
    return found


def write(kind: str, folder: Path, count: int, seed: int, truth: bool) -> None:
    """Write pairs as files with a table of them, and with their true displacements if wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["fixed,moving,displacement"]
    for k, (fixed, moving, field) in enumerate(pairs_of(kind, count, seed)):
        names = [f"fixed-{k:02d}.tif", f"moving-{k:02d}.tif", f"truth-{k:02d}.npy" if truth else ""]
        for name, image in zip(names, (fixed, moving), strict=False):
            write_image(image, folder / name)
        if truth:
            np.save(folder / names[2], field)
        lines.append(",".join(names))
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
