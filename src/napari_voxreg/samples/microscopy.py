"""A tissue section stained twice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..core.geometry import Array, Grid, Image
from ..transforms import warp
from .base import Sample, SampleInfo
from .drawing import known_warp, smooth_noise, soft

SIZE = 512  # micrometres and pixels along each axis of the fixed image
MARGIN = 64  # of tissue around it, which the moving image may show
LABELS = ("stroma", "gland", "lumen")
# Optical density for red, green and blue of haematoxylin and eosin, measured on no slide in particular.
HAEMATOXYLIN = (0.72, 0.68, 0.28)
EOSIN = (0.06, 0.55, 0.28)


@dataclass(frozen=True, eq=False)
class Section:
    """What the tissue consists of, all arrays of one shape.

    Parameters
    ----------
    nuclei : ndarray
        Chromatin, 0 to about 1.
    stroma, gland, lumen : ndarray
        Parts of the area, summing to 1.
    fibres : ndarray
        Relative density of the stroma.
    """

    nuclei: Array
    stroma: Array
    gland: Array
    lumen: Array
    fibres: Array


def make(info: SampleInfo, seed: int = 0) -> Sample:
    """H&E-like colours, (512, 512, 3) uint8, and fluorescence, (480, 500) uint16, on 1 micrometre pixels."""
    rng = np.random.default_rng(seed)
    whole = Grid.from_spacing((SIZE + 2 * MARGIN,) * 2, 1.0, -float(MARGIN), units="micrometer")
    tissue = _section(whole.shape, rng)
    fixed = Grid.from_spacing((SIZE, SIZE), 1.0, units="micrometer")
    moving = Grid.from_spacing((480, 500), 1.0, (22.0, -9.0), units="micrometer")
    truth = known_warp(fixed, rng, rotation=3.0, zoom=1.02, translation=(9.0, -12.0), wobble=4.0, length=70.0)
    crop = (slice(MARGIN, MARGIN + SIZE),) * 2
    parts = np.stack([np.zeros(whole.shape), tissue.stroma, tissue.gland, tissue.lumen], axis=-1)
    labels = Image(parts.argmax(axis=-1).astype(np.uint8), whole)
    back = truth.inverse(moving)
    glow = warp(Image(_glow(tissue, rng), whole), back, moving).data
    return Sample(
        info.name,
        info.title,
        info.description,
        Image(_stained(tissue, rng)[crop], fixed, "H&E fixed (simulated)"),
        Image(_exposed(glow, rng), moving, "fluorescence moving (simulated)"),
        truth,
        Image(labels.data[crop].copy(), fixed, "tissue labels fixed (simulated)"),
        Image(warp(labels, back, moving, order=0).data, moving, "tissue labels moving (simulated)"),
        label_names=LABELS,
    )


def _section(shape: tuple[int, ...], rng: np.random.Generator) -> Section:
    """Glands with a lumen and a palisade of nuclei, in fibrous stroma."""
    outside, thickness, direction = _glands(shape, rng)
    ragged = 1.2 * smooth_noise(shape, 4.0, rng)
    gland = soft(outside + ragged, 2.0)
    lumen = soft(outside + thickness + 1.6 * smooth_noise(shape, 3.0, rng), 2.5)
    nuclei = np.zeros(shape, dtype=np.float32)
    for row, column in _scattered(shape, 6.0, rng):
        depth = -outside[row, column]
        edge = 0 < depth < thickness[row, column] - 5
        if edge and depth < 11:
            _add_nucleus(nuclei, (row, column), (5.2, 3.0), direction[row, column] + rng.normal(0, 0.25), rng)
        elif depth < -4 and rng.uniform() < 0.3:
            slim = (5.0, 1.7) if rng.uniform() < 0.7 else (2.8, 2.6)
            _add_nucleus(
                nuclei, (row, column), slim, direction[row, column] + np.pi / 2 + rng.normal(0, 0.5), rng
            )
    fibres = _fibres(outside, rng)
    return Section(nuclei, 1 - gland, gland * (1 - lumen), gland * lumen, fibres)


def _glands(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Distance to the nearest gland's outline (negative inside), wall thickness there, direction outward."""
    rows, columns = np.indices(shape, dtype=np.float32)
    outside = np.full(shape, np.inf, dtype=np.float32)
    thickness = np.ones(shape, dtype=np.float32)
    for centre in _apart(shape, 104.0, rng):
        a, b = rng.uniform(32, 58), rng.uniform(26, 40)
        tilt, lobes, phase = rng.uniform(0, np.pi), rng.integers(3, 6), rng.uniform(0, 6)
        u, v = rows - centre[0], columns - centre[1]
        angle = np.arctan2(v, u)
        radius = 1 / np.sqrt((np.cos(angle - tilt) / a) ** 2 + (np.sin(angle - tilt) / b) ** 2)
        radius = radius * (1 + 0.1 * np.sin(lobes * angle + phase))
        distance = np.hypot(u, v) - radius
        nearer = distance < outside
        outside[nearer] = distance[nearer]
        thickness[nearer] = rng.uniform(17, 22)
    down, right = np.gradient(ndimage.gaussian_filter(outside, 3.0))
    return outside, thickness, np.arctan2(right, down)


def _apart(shape: tuple[int, ...], distance: float, rng: np.random.Generator) -> Array:
    """Points drawn at random, none nearer to another than a distance, (N, 2)."""
    kept: list[Array] = []
    for point in rng.uniform((0, 0), shape, (400, 2)):
        if all(np.hypot(*(point - other)) > distance for other in kept):
            kept.append(point)
    return np.array(kept)


def _scattered(shape: tuple[int, ...], distance: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """A jittered hexagonal lattice of pixels, away from the border."""
    found = []
    step = distance * math.sqrt(0.75)
    for i, row in enumerate(np.arange(12, shape[0] - 12, step)):
        for column in np.arange(12 + distance / 2 * (i % 2), shape[1] - 12, distance):
            jitter = rng.normal(0, 0.17 * distance, 2)
            found.append((int(row + np.clip(jitter[0], -2, 2)), int(column + np.clip(jitter[1], -2, 2))))
    return found


def _add_nucleus(
    nuclei: Array, place: tuple[int, int], axes: tuple[float, float], angle: float, rng: np.random.Generator
) -> None:
    """Paint one nucleus with clumped chromatin (in place)."""
    reach = 8
    window = tuple(slice(p - reach, p + reach + 1) for p in place)
    u, v = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    c, s = math.cos(angle), math.sin(angle)
    a, b = np.array(axes) * rng.uniform(0.85, 1.15, 2)
    scaled = np.hypot((c * u + s * v) / a, (-s * u + c * v) / b)
    body = soft((scaled - 1) * b, 1.2) * (0.72 + 0.28 * scaled.clip(0, 1)) * rng.uniform(0.75, 1.1)
    grains = 1 + 0.18 * rng.standard_normal(body.shape)
    nuclei[window] = np.maximum(nuclei[window], body * grains)


def _fibres(outside: Array, rng: np.random.Generator) -> Array:
    """Wavy strands that run around the glands."""
    wave = outside / 2.6 + 2.2 * smooth_noise(outside.shape, 14.0, rng)
    strands = 0.5 + 0.5 * np.sin(wave)
    gaps = soft(0.9 - smooth_noise(outside.shape, 5.0, rng) - 0.5 * strands, 1.0)
    return (0.62 + 0.38 * strands + 0.12 * smooth_noise(outside.shape, 1.5, rng)) * (1 - 0.75 * gaps)


def _stained(tissue: Section, rng: np.random.Generator) -> Array:
    """Transmitted light through haematoxylin and eosin, uint8."""
    cloud = 1 + 0.08 * smooth_noise(tissue.nuclei.shape, 40.0, rng)
    blue = (1.15 * tissue.nuclei + 0.13 * tissue.gland + 0.04 * tissue.stroma) * cloud
    pink = (0.95 * tissue.stroma * tissue.fibres + 0.5 * tissue.gland) * cloud * (1 - 0.6 * tissue.nuclei)
    density = blue[..., None] * np.array(HAEMATOXYLIN) + pink[..., None] * np.array(EOSIN)
    image = 0.95 * 10 ** -ndimage.gaussian_filter(density, (0.6, 0.6, 0))
    image += 0.008 * rng.standard_normal(image.shape)
    return np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)


def _glow(tissue: Section, rng: np.random.Generator) -> Array:
    """Light from the nuclear dye and the tissue itself, before the camera, float32."""
    haze = ndimage.gaussian_filter(tissue.nuclei, 7.0)
    own = 0.05 * tissue.gland + 0.07 * tissue.stroma * tissue.fibres
    uneven = 1 + 0.15 * smooth_noise(tissue.nuclei.shape, 120.0, rng)
    return ((ndimage.gaussian_filter(tissue.nuclei, 0.8) + 0.25 * haze + own) * uneven).astype(np.float32)


def _exposed(light: Array, rng: np.random.Generator) -> Array:
    """Photon noise and the camera's offset and read noise, uint16."""
    photons = rng.poisson(900 * np.clip(light, 0, None))
    counts = 100 + 2.2 * photons + 8 * rng.standard_normal(light.shape)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
