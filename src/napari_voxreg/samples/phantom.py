"""A simulated head: tissue fractions as a function of position.

The head is at the origin of a world in millimetres, in array-axis order (plane, row, column). Planes go from
bottom to top, rows from front to back and columns from the right side to the left. Being a function of
position it can be sampled on any grid and through any warp without interpolation, and drawn with another seed
it is another person's head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array
from .drawing import smooth_noise, soft

TISSUES = (
    "air", "skin", "skull", "cerebrospinal fluid", "grey matter", "white matter", "ventricles", "deep nuclei",
    "eyes", "muscle",
)  # fmt: skip
_AIR, _SKIN, _SKULL, _FLUID, _GREY, _WHITE, _VENTRICLE, _NUCLEI, _EYES, _MUSCLE = range(10)
_LATTICE = 80  # nodes along each axis of the noise that folds the cortex
_REACH = 115.0  # millimetres from the origin that the noise covers
_PIAL = 0.7  # millimetres of fluid in a sulcus on either side of its middle
_CORTEX = 3.5  # millimetres from the middle of a sulcus to the white matter
_SULCUS = 16.0  # mean depth of the sulci, millimetres


@dataclass(frozen=True)
class Head:
    """One person's head.

    Parameters
    ----------
    seed : int
        Draws the folds of the cortex and the proportions.
    variation : float
        How far proportions differ between seeds, as a fraction (0 gives everybody the same outline).
    """

    seed: int = 0
    variation: float = 0.04

    def fractions(self, points: npt.ArrayLike, pixel: float) -> Array:
        """Fraction of each tissue around world points.

        Parameters
        ----------
        points : array_like, shape (N, 3)
            Millimetres, (plane, row, column).
        pixel : float
            Size of a pixel, millimetres: edges between tissues are as soft as such a pixel makes them.

        Returns
        -------
        ndarray, shape (N, len(TISSUES)), float32
            Rows sum to 1; columns in the order of `TISSUES`.
        """
        rng = np.random.default_rng(self.seed)
        stretch = 1 + self.variation * rng.uniform(-1, 1, 3)
        folds = smooth_noise((_LATTICE,) * 3, 1.2, rng)
        z, y, x = (np.asarray(points, dtype=np.float32) / stretch.astype(np.float32)).T
        return _mixed(_layers(z, y, x, folds), pixel)


def tissue_labels(fractions: Array) -> Array:
    """The most abundant tissue, 0 for air, uint8, shape of `fractions` without its last axis."""
    return fractions.argmax(axis=-1).astype(np.uint8)


def _mixed(layers: list[tuple[int, Array]], pixel: float) -> Array:
    """Paint layers (tissue, signed distance) one over the other with soft edges."""
    fractions = np.zeros((len(layers[0][1]), len(TISSUES)), dtype=np.float32)
    fractions[:, _AIR] = 1
    for tissue, distance in layers:
        cover = soft(distance, 1.2 * pixel).astype(np.float32)
        fractions *= 1 - cover[:, None]
        fractions[:, tissue] += cover
    return fractions


def _layers(z: Array, y: Array, x: Array, folds: Array) -> list[tuple[int, Array]]:
    """Signed distances (millimetres, negative inside) of all structures, to be painted in this order."""
    side = np.abs(x)
    cerebrum = _union(
        _egg(z - 6, y, x, (64, 84, 66), (38, 84, 64)),
        _ellipsoid(z + 24, y + 12, side - 40, (22, 36, 21)),
        smooth=8.0,
    )
    cerebellum = _ellipsoid(z + 44, y - 46, x, (24, 31, 48))
    stem = np.maximum(np.hypot(y - 14 - 0.12 * (z + 40), x) - 12, z + 12)
    brain = np.minimum(cerebrum, cerebellum)
    cavity = _union(brain, stem, smooth=6.0) - 3.0
    outline = _outline(z, y, x)
    return [
        (_SKIN, outline),
        (_MUSCLE, outline + 6.0),
        (_AIR, _airways(z, y, x)),
        (_SKULL, np.maximum(cavity - 6.5, outline + 4.0)),
        (_EYES, np.hypot(np.hypot(z + 34, y + 80), side - 32) - 12.0),
        (_FLUID, cavity),
        *_cortex(z, y, x, cerebrum, folds),
        *_hindbrain(z, y, x, cerebellum, stem, folds),
        *_core(z, y, x, side),
    ]


def _outline(z: Array, y: Array, x: Array) -> Array:
    """The surface of the head: skull cap, face with nose, neck."""
    cap = _egg(z, y, x, (82, 100, 80), (110, 100, 77))
    face = _ellipsoid(z + 62, y + 46, x, (56, 56, 56))
    nose = _ellipsoid(z + 56 - 0.4 * (y + 100), y + 103, x, (20, 15, 12))
    neck = np.maximum(np.hypot(y - 22 - 0.2 * (z + 90), 0.9 * x) - 56, z + 40)
    return _union(_union(cap, face, 10.0), _union(nose, neck, 4.0), 8.0)


def _airways(z: Array, y: Array, x: Array) -> Array:
    """Nasal cavity, sinuses and throat."""
    nasal = _ellipsoid(z + 58, y + 62, np.abs(x) - 8, (18, 26, 5))
    sinus = _ellipsoid(z + 60, y + 64, np.abs(x) - 30, (13, 15, 11))
    throat = np.maximum(np.hypot(y + 22, x) - 9, z + 52)
    return np.minimum(np.minimum(nasal, sinus), throat)


def _cortex(z: Array, y: Array, x: Array, surface: Array, folds: Array) -> list[tuple[int, Array]]:
    """Folded grey matter over white matter: fluid, where thin sheets cut in from the surface."""
    depth = -surface
    # Shrinking towards the centre line follows a sulcus inward, so the sheets stand upright on the surface.
    radius = np.sqrt(z**2 + (0.75 * y) ** 2 + x**2) + 1e-3
    outward = (64 / radius) ** 0.7
    sheet = _distance_to_sheets(np.stack([z * outward, y * outward, x * outward]), folds) / outward
    deep = _SULCUS + 6 * np.sin(0.11 * z + 1.3 * folds[0, 0, 0]) * np.sin(0.09 * y + 0.4) + 0.04 * x
    sulcus = np.hypot(sheet, np.maximum(depth - deep, 0))
    fissure = np.hypot(x, np.maximum(depth - 30, 0)) - 0.5
    pia = np.minimum(np.minimum(depth, sulcus), fissure)
    return [(_GREY, np.maximum(_PIAL - pia, surface)), (_WHITE, np.maximum(_CORTEX - pia, surface))]


def _hindbrain(
    z: Array, y: Array, x: Array, cerebellum: Array, stem: Array, folds: Array
) -> list[tuple[int, Array]]:
    """Cerebellum with fine leaves around a tree of white matter, brain stem, fourth ventricle."""
    centre = np.stack([z + 44, y - 34])
    angle = np.arctan2(centre[0], centre[1])
    distance = np.hypot(centre[0], centre[1])
    wave = np.cos(13 * angle + 0.002 * x**2) * np.clip(distance / 30, 0, 1)
    tree = -cerebellum - 5 - 5 * wave
    leaves = np.maximum(cerebellum, -(-cerebellum + 1.2 * (wave + 0.75)))
    fourth = _ellipsoid(z + 42, y - 27, x, (9, 4, 6))
    return [
        (_GREY, leaves),
        (_WHITE, np.maximum(-tree, cerebellum)),
        (_WHITE, stem),
        (_VENTRICLE, fourth),
    ]


def _core(z: Array, y: Array, x: Array, side: Array) -> list[tuple[int, Array]]:
    """Deep nuclei and ventricles."""
    spread = 5 + 0.0075 * (y + 6) ** 2 * np.where(y > -6, 1.0, 0.5)  # the horns diverge front and back
    rise = 15 - 0.004 * (y - 4) ** 2
    body = _ellipsoid(z - rise, y - 6, side - spread - 2, (7, 36, 5.5))
    third = _ellipsoid(z - 1, y - 4, x, (10, 13, 2.2))
    horn = _ellipsoid(z + 20 + 0.3 * (y + 5), y + 2, side - 36, (3.5, 18, 3))
    thalamus = _ellipsoid(z - 3, y - 14, side - 11.5, (9, 15, 8))
    caudate = _ellipsoid(z - 8 + 0.15 * (y + 20), y + 20, side - 14, (10, 12, 5))
    lentiform = _ellipsoid(z - 1, y + 3, side - 24 - 0.15 * (y + 3), (10, 18, 6))
    return [
        (_NUCLEI, np.minimum(np.minimum(thalamus, caudate), lentiform)),
        (_VENTRICLE, np.minimum(np.minimum(body, third), horn)),
    ]


def _distance_to_sheets(places: Array, folds: Array) -> Array:
    """About how far places (3, N), millimetres, are from where the folding noise is zero."""
    from scipy.ndimage import map_coordinates

    spacing = 2 * _REACH / (_LATTICE - 1)
    slope = np.sqrt(sum(np.gradient(folds, axis=k) ** 2 for k in range(3))) / spacing
    index = (places + _REACH) / spacing
    value = map_coordinates(folds, index, order=2, mode="grid-wrap", prefilter=False)
    steepness = map_coordinates(slope, index, order=1, mode="grid-wrap")
    return np.abs(value) / np.maximum(steepness, 0.35 * float(slope.mean()))


def _ellipsoid(z: Array, y: Array, x: Array, axes: tuple[float, float, float]) -> Array:
    """Signed distance to an ellipsoid at the origin, good near its surface."""
    a, b, c = axes
    scaled = np.sqrt((z / a) ** 2 + (y / b) ** 2 + (x / c) ** 2)
    steep = np.sqrt((z / a**2) ** 2 + (y / b**2) ** 2 + (x / c**2) ** 2)
    return scaled * (scaled - 1) / np.maximum(steep, 1e-6)


def _egg(z: Array, y: Array, x: Array, above: tuple[float, ...], below: tuple[float, ...]) -> Array:
    """Signed distance to a body of two half ellipsoids."""
    up = z > 0
    a, b, c = (np.where(up, p, q).astype(np.float32) for p, q in zip(above, below, strict=True))
    scaled = np.sqrt((z / a) ** 2 + (y / b) ** 2 + (x / c) ** 2)
    steep = np.sqrt((z / a**2) ** 2 + (y / b**2) ** 2 + (x / c**2) ** 2)
    return scaled * (scaled - 1) / np.maximum(steep, 1e-6)


def _union(first: Array, second: Array, smooth: float) -> Array:
    """Signed distance to both, their seam rounded over `smooth` millimetres."""
    blend = np.clip(0.5 + 0.5 * (second - first) / smooth, 0, 1)
    return second + blend * (first - second) - smooth * blend * (1 - blend)
