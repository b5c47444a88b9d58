"""Pairs for optical flow with a dense truth: a stereo pair and generated ones."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import color, data, transform

from case import Case
from napari_voxreg.core.geometry import Array, Grid, Image

IMAGES = ("astronaut", "coffee", "chelsea", "brick", "grass", "gravel", "rocket", "moon", "camera", "coins")
MARGIN = 40  # pixels of texture around what is shown
NOISE = 0.01  # standard deviation, of the whole range; both images have 8 bits


def make(name: str) -> Case:
    """``smooth-SEED``, ``layers-SEED``, ``large-SEED``, ``light-SEED`` or ``stereo-DIVISOR``."""
    kind, number = name.split("-")
    if kind == "stereo":
        return stereo(int(number))
    rng = np.random.default_rng([sum(map(ord, kind)), int(number)])
    if kind == "smooth":
        return smooth(rng, 5.0)
    shape, pixels = ((436, 1024), 14.0) if kind == "large" else ((388, 584), 4.0)
    return layers(rng, shape, pixels, light=kind == "light")


def stereo(divisor: int) -> Case:
    """scikit-image's motorcycle from the left and from the right, shrunk; points seen by both."""
    left, right, disparity = data.stereo_motorcycle()
    rows, columns = (n // divisor * divisor for n in disparity.shape)
    fixed, moving = (
        transform.downscale_local_mean(color.rgb2gray(x[:rows, :columns]), (divisor, divisor))
        for x in (left, right)
    )
    middle = divisor // 2
    disparity = disparity[middle:rows:divisor, middle:columns:divisor] / divisor
    known = np.isfinite(disparity)
    disparity = np.where(known, disparity, 0)
    flow = np.stack([np.zeros_like(disparity), -disparity])
    return _case(fixed, moving, flow, known & (np.arange(fixed.shape[1]) >= disparity))


def smooth(rng: np.random.Generator, pixels: float, shape: tuple[int, int] = (388, 584)) -> Case:
    """A texture under a smooth flow."""
    wide = (shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN)
    scene = _texture(rng, wide)
    flow = _smooth_flow(rng, wide, pixels)
    inner = (slice(MARGIN, -MARGIN),) * 2
    fixed = _sampled(scene, np.indices(wide) + flow)[inner]
    return _case(*_seen(rng, fixed, scene[inner], False), flow[(slice(None), *inner)])


def layers(rng: np.random.Generator, shape: tuple[int, int], pixels: float, light: bool) -> Case:
    """Objects with motions and textures of their own over a background; some of it gets hidden."""
    index = np.indices(shape, dtype=float)
    half = np.array(shape) / 2
    flow = _affine_flow(rng, shape, pixels / 2, half) + 0.3 * _smooth_flow(rng, shape, pixels / 2)
    back = _inverted(flow)
    scene = _texture(rng, (shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN))
    fixed, moving = _sampled(scene, index + MARGIN), _sampled(scene, index + MARGIN + back)
    for _ in range(12):
        centre = rng.uniform(0.1, 0.9, 2) * shape
        radius = rng.uniform(0.06, 0.22) * min(shape)
        angle, flat, square = rng.uniform(0, np.pi), rng.uniform(0.4, 1), rng.random() < 0.5

        def cover(
            places: Array, centre=centre, radius=radius, angle=angle, flat=flat, square=square
        ) -> Array:
            y, x = places[0] - centre[0], places[1] - centre[1]
            a, b = np.cos(angle) * y + np.sin(angle) * x, (np.cos(angle) * x - np.sin(angle) * y) / flat
            distance = np.maximum(np.abs(a), np.abs(b)) if square else np.hypot(a, b)
            return 1 / (1 + np.exp(np.clip(3 * (distance - radius), -30, 30)))

        own = _affine_flow(rng, shape, pixels, centre)
        scene = _texture(rng, (shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN))
        back = _inverted(own)
        here, there = cover(index), cover(index + back)
        fixed = fixed + here * (_sampled(scene, index + MARGIN) - fixed)
        moving = moving + there * (_sampled(scene, index + MARGIN + back) - moving)
        flow = np.where(here > 0.5, own, flow)
    return _case(*_seen(rng, fixed, moving, light), flow)


def _case(fixed: Array, moving: Array, flow: Array, known: Array | None = None) -> Case:
    """Images of unit pixels and every tenth node with its truth."""
    grid = Grid.from_spacing(fixed.shape)
    nodes = np.indices(fixed.shape, dtype=float).reshape(2, -1).T
    chosen = np.arange(len(nodes)) % 10 == 0
    if known is not None:
        chosen &= known.ravel()
    points = nodes[chosen], (nodes + flow.reshape(2, -1).T)[chosen]
    first, second = (Image(x.astype(np.float32), grid) for x in (fixed, moving))
    return Case(first, second, points)


def _seen(rng: np.random.Generator, fixed: Array, moving: Array, light: bool) -> tuple[Array, Array]:
    """With noise and in 8 bits; the second in another light on request."""
    if light:
        shade = 0.08 * _noise(rng, moving.shape, min(moving.shape) / 5)
        moving = rng.uniform(0.85, 1.15) * moving + rng.uniform(-0.08, 0.08) + shade
    noisy = (x + NOISE * rng.standard_normal(x.shape) for x in (fixed, moving))
    first, second = (np.round(255 * x.clip(0, 1)) / 255 for x in noisy)
    return first, second


def _texture(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """A piece of one of scikit-image's photographs, in [0, 1]."""
    image = getattr(data, IMAGES[rng.integers(len(IMAGES))])()
    image = color.rgb2gray(image[..., :3]) if image.ndim == 3 else image / 255
    zoom = max(1.0, *(1.15 * n / m for n, m in zip(shape, image.shape, strict=True)))
    image = ndimage.zoom(image, zoom, order=3)
    corner = [rng.integers(0, m - n + 1) for n, m in zip(shape, image.shape, strict=True)]
    piece = image[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]]
    return (piece - piece.min()) / np.ptp(piece)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], length: float) -> Array:
    """Smooth noise whose largest value is 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), length)
    return noise / np.abs(noise).max()


def _smooth_flow(rng: np.random.Generator, shape: tuple[int, int], pixels: float) -> Array:
    length = min(shape) / rng.uniform(6, 14)
    waves = [pixels * _noise(rng, shape, length) for _ in range(2)]
    return np.stack(waves) + rng.uniform(-pixels / 3, pixels / 3, (2, 1, 1))


def _affine_flow(rng: np.random.Generator, shape: tuple[int, int], pixels: float, centre: Array) -> Array:
    y, x = np.indices(shape) - np.reshape(centre, (2, 1, 1))
    slope = rng.standard_normal((2, 2)) * pixels / (2 * min(shape))
    translation = rng.uniform(-pixels, pixels, 2)
    return np.stack([slope[k, 0] * y + slope[k, 1] * x + translation[k] for k in (0, 1)])


def _inverted(flow: Array) -> Array:
    """v with v(y) = -flow(y + v(y)), by iteration."""
    index = np.indices(flow.shape[1:], dtype=float)
    back = np.zeros_like(flow)
    for _ in range(20):
        places = index + back
        back = -np.stack([ndimage.map_coordinates(f, places, order=1, mode="nearest") for f in flow])
    return back


def _sampled(image: Array, places: Array) -> Array:
    return ndimage.map_coordinates(image, places, order=3, mode="reflect")
