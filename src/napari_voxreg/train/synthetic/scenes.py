"""Synthetic scenes: what both images of a pair show, and how each of them shows it.

Label maps from noise (SynthMorph, Hoffmann et al., IEEE TMI 41, 2022), extended by texture inside the
labels, thin curves such as vessels and roads, cells and fields of view. Some disturbances are in one image
only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .noise import chance, smooth_noise, uniform

LABELS = 12
SMALLEST_OBJECT = 0.08  # radius, fraction of the longest side
FAINT_NOISE = 0.02  # largest deviation, of images that are alike


@dataclass(frozen=True)
class Objects:
    """What only one of two images shows: an ellipse or ellipsoid of some brightness.

    Parameters
    ----------
    chance : float
        Of each image to have one.
    largest : float
        Radius, fraction of the longest side.
    """

    chance: float = 0.25
    largest: float = 0.22


SOME = Objects()


@dataclass(frozen=True, eq=False)
class Scene:
    """What is there, for a batch; maps are (B, 1, *shape) or (B, C, *shape).

    Parameters
    ----------
    labels : Tensor
        Integer label of each pixel.
    texture : Tensor, two channels
        A fine and a coarse grain.
    curves : Tensor
        1 on thin curves, 0 elsewhere.
    cells : Tensor
        1 inside small blobs.
    view : Tensor
        1 inside the field of view, 0 in the black around it.
    plain : Tensor
        How far labels and grain differ, 0 to 1: where they hardly do, curves and cells are all there is.
    """

    labels: Tensor
    texture: Tensor
    curves: Tensor
    cells: Tensor
    view: Tensor
    plain: Tensor


def make_scene(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Scene:
    """A batch of random scenes."""
    d, longest = len(shape), max(shape)
    scale = longest / float(uniform(generator, 3.0, 14.0, 1))
    noise = smooth_noise(count, LABELS, shape, scale, generator)
    noise += 0.5 * smooth_noise(count, LABELS, shape, max(3.0, scale / 3), generator)
    labels = _strongest(noise)
    grain = float(uniform(generator, 2.0, 4.0, 1))
    texture = torch.cat(
        [
            smooth_noise(count, 1, shape, grain, generator),
            smooth_noise(count, 1, shape, 2.5 * grain, generator),
        ],
        dim=1,
    )
    curves = _curves(count, shape, generator) * chance(generator, 0.6, count, d)
    size = float(uniform(generator, 4.0, 9.0, 1))
    cells = torch.sigmoid(4 * (smooth_noise(count, 1, shape, size, generator) - 1.0))
    cells = cells * chance(generator, 0.4, count, d)
    body = smooth_noise(count, 1, shape, longest / 2.5, generator) * 0.35 + 1.15 - _distance(shape)
    view = torch.sigmoid(12 * body)
    view = torch.maximum(view, 1 - chance(generator, 0.5, count, d))
    plain = uniform(generator, 0.1, 2.0, count, *(1,) * (d + 1)).clamp_max(1)
    return Scene(labels, texture, curves, cells, view, plain)


def _strongest(noise: Tensor) -> Tensor:
    """Which channel is the largest, (B, 1, *shape); torch's own argmax takes three times as long."""
    best = noise[:, :1].clone()
    labels = torch.zeros_like(best, dtype=torch.long)
    for k in range(1, noise.shape[1]):
        more = noise[:, k : k + 1] > best
        labels.masked_fill_(more, k)
        torch.maximum(best, noise[:, k : k + 1], out=best)
    return labels


def _distance(shape: tuple[int, ...]) -> Tensor:
    """Distance from the middle, 1 at the middle of each side, (1, 1, *shape)."""
    squares = [torch.linspace(-1, 1, n) ** 2 for n in shape]
    return sum(torch.meshgrid(*squares, indexing="ij"), torch.zeros(())).sqrt()[None, None]


def _curves(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Thin curves (in 3D: sheets), the zero lines of smooth noise, ended at random."""
    total = torch.zeros(count, 1, *shape)
    for divisor in (5.0, 10.0):
        noise = smooth_noise(count, 1, shape, max(shape) / divisor, generator)
        slope = steepness(noise)
        wide = float(uniform(generator, 0.8, 2.2, 1))
        line = torch.exp(-((noise / (slope + 1e-3) / wide) ** 2))
        there = torch.sigmoid(6 * smooth_noise(count, 1, shape, max(shape) / 3, generator))
        total = torch.maximum(total, line * there)
    return total


@dataclass(frozen=True, eq=False)
class Contrast:
    """Brightness (B, LABELS) and grain (B, grains, LABELS) of each label in one image."""

    brightness: Tensor
    grain: Tensor


def make_contrast(scene: Scene, generator: torch.Generator, like: Contrast | None = None) -> Contrast:
    """A random contrast; three in ten are that of `like`, two in ten invert it."""
    count, grains = scene.texture.shape[:2]
    brightness = torch.rand(count, LABELS, generator=generator)
    grain = uniform(generator, 0.02, 0.12, count, 1, 1) * torch.randn(
        count, grains, LABELS, generator=generator
    )
    if like is None:
        return Contrast(brightness, grain)
    kind = torch.rand(count, 1, generator=generator)
    same, inverted = kind < 0.3, kind < 0.5
    brightness = torch.where(same, like.brightness, torch.where(inverted, 1 - like.brightness, brightness))
    same, inverted = same[..., None], inverted[..., None]
    return Contrast(brightness, torch.where(same, like.grain, torch.where(inverted, -like.grain, grain)))


def show(scene: Scene, contrast: Contrast, generator: torch.Generator) -> Tensor:
    """How an image of some contrast shows a scene, (B, 1, *shape), about 0 to 1."""
    count, d = len(scene.labels), scene.labels.ndim - 2
    flat = scene.labels.flatten(1)
    image = contrast.brightness.gather(1, flat).view_as(scene.labels)
    for k in range(scene.texture.shape[1]):
        image = image + contrast.grain[:, k].gather(1, flat).view_as(image) * scene.texture[:, k : k + 1]
    image = 0.5 + scene.plain * (image - 0.5)
    lone = (count, *(1,) * (d + 1))
    for structure in (scene.curves, scene.cells):
        sign = 1 - 2 * chance(generator, 0.5, count, d)
        image = image + sign * uniform(generator, 0.2, 0.7, *lone) * structure
    return image


def disturb(image: Tensor, generator: torch.Generator, objects: Objects) -> tuple[Tensor, Tensor]:
    """What happens to one image on its own: an object more or less, bias, blur, noise, speckle, exponent.

    Parameters
    ----------
    image : Tensor, shape (B, 1, *shape)
    generator : torch.Generator
    objects : Objects

    Returns
    -------
    image : Tensor, shape (B, 1, *shape)
        In [0, 1], darkest and brightest pixel of each image at the ends.
    inside : Tensor, shape (B, 1, *shape)
        1 inside the object.
    """
    count, shape = len(image), tuple(image.shape[2:])
    d, longest = len(shape), max(shape)
    lone = (count, *(1,) * (d + 1))
    inside = _ellipses(count, shape, generator, objects)
    image = torch.where(inside, torch.rand(*lone, generator=generator), image)
    bias = smooth_noise(count, 1, shape, longest / 2, generator)
    image = image.clamp_min(0) * torch.exp(uniform(generator, 0.0, 0.3, *lone) * bias)
    softened = _softened(image)
    image = torch.lerp(image, softened, uniform(generator, 0.0, 1.0, *lone))
    speckled = _speckled(softened, generator)
    image = torch.where(chance(generator, 0.15, count, d) > 0, speckled, image)
    noise = torch.randn(image.shape, generator=generator)
    image = image + 0.06 * uniform(generator, 0.0, 1.0, *lone) ** 2 * noise
    image = unit_range(image)
    image = image ** torch.exp(0.25 * torch.randn(*lone, generator=generator))
    image = torch.where(chance(generator, 0.15, count, d) > 0, 1 - image, image)
    return image, inside.float()


def disturb_slightly(image: Tensor, generator: torch.Generator, objects: Objects) -> tuple[Tensor, Tensor]:
    """Only an object and noise; every second object shows another scene of the batch, the others are flat.

    Parameters
    ----------
    image : Tensor, shape (B, 1, *shape)
    generator : torch.Generator
    objects : Objects

    Returns
    -------
    image : Tensor, shape (B, 1, *shape)
        In [0, 1].
    inside : Tensor, shape (B, 1, *shape)
        1 inside the object.
    """
    count, shape = len(image), tuple(image.shape[2:])
    lone = (count, *(1,) * (len(shape) + 1))
    inside = _ellipses(count, shape, generator, objects)
    flat = torch.rand(lone, generator=generator)
    filling = torch.where(chance(generator, 0.5, count, len(shape)) > 0, image.roll(1, 0), flat)
    image = torch.where(inside, filling, image)
    noise = torch.randn(image.shape, generator=generator)
    image = image + uniform(generator, 0.0, FAINT_NOISE, *lone) * noise
    return image.clamp(0, 1), inside.float()


def _ellipses(count: int, shape: tuple[int, ...], generator: torch.Generator, objects: Objects) -> Tensor:
    """Where some images of a batch have an object that the other image of the pair does not show."""
    d = len(shape)
    axes = [torch.arange(n, dtype=torch.float32) / max(shape) for n in shape]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
    middle = uniform(generator, 0.15, 0.85, count, d, *(1,) * d)
    radii = uniform(generator, SMALLEST_OBJECT, objects.largest, count, d, *(1,) * d)
    inside = (((places - middle) / radii) ** 2).sum(1, keepdim=True) < 1
    return inside & (chance(generator, objects.chance, count, d) > 0)


def _speckled(image: Tensor, generator: torch.Generator) -> Tensor:
    """Multiplicative noise of one to six looks on a radar-like range of 20 dB, shown in decibels."""
    looks = int(torch.randint(1, 7, (1,), generator=generator))
    power = 10 ** (2 * unit_range(image))
    waves = torch.randn(2 * looks, *image.shape, generator=generator)
    return 0.05 * torch.log10(power * (waves**2).mean(0).clamp_min(1e-3)) * 10


def _softened(image: Tensor) -> Tensor:
    """A blur by 1 4 6 4 1 along each axis (deviation of one pixel)."""
    d = image.ndim - 2
    weights = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    for axis in range(d):
        size = [5 if k == axis else 1 for k in range(d)]
        pad = [2 if k == axis else 0 for k in reversed(range(d)) for _ in range(2)]
        padded = F.pad(image, pad, mode="replicate")
        kernel = weights.view(1, 1, *size)
        image = F.conv2d(padded, kernel) if d == 2 else F.conv3d(padded, kernel)
    return image


def steepness(image: Tensor) -> Tensor:
    """Length of the gradient of each image of a batch, per pixel."""
    slopes = torch.gradient(image, dim=tuple(range(2, image.ndim)))
    return sum((slope**2 for slope in slopes), torch.zeros_like(image)).sqrt()


def unit_range(image: Tensor) -> Tensor:
    """Each image of a batch scaled to [0, 1] by its darkest and brightest thousandth."""
    flat = image.flatten(1)[:, :: max(1, image[0].numel() // 4000)]
    low, high = (torch.quantile(flat, q, dim=1).view(-1, *(1,) * (image.ndim - 1)) for q in (0.001, 0.999))
    return ((image - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
