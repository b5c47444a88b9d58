"""Endless synthetic pairs with a known map between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ...tensor import affine as affines
from ...tensor.integrate import integrate_batch
from ...tensor.warp import identity, resize, warp_batch
from .noise import smooth_noise, uniform
from .scenes import (
    SOME,
    Objects,
    Scene,
    disturb,
    disturb_slightly,
    make_contrast,
    make_scene,
    show,
    steepness,
    unit_range,
)

LATTICE = 4  # pixels between the nodes of the velocities
SQUARINGS = 5


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How far the moving image may have moved; every pair gets a random fraction of it.

    Parameters
    ----------
    deformation : float
        Root mean square of the deformation, as a fraction of the longest side.
    rotation : float
        Degrees.
    scale : float
        Factor between 1 / (1 + scale) and 1 + scale.
    shear : float
        Off-diagonal element of the affine map.
    translation : float
        As a fraction of the longest side.
    """

    deformation: float = 0.035
    rotation: float = 10.0
    scale: float = 0.1
    shear: float = 0.03
    translation: float = 0.06

    def times(self, factor: float) -> Motion:
        """The same, all of it larger or smaller."""
        return Motion(**{name: factor * value for name, value in vars(self).items()})

    @property
    def margin(self) -> float:
        """How far the moving image may exceed the fixed one, rare corners aside; fraction of the side."""
        rotated = math.sin(math.radians(self.rotation))
        reach = self.translation + self.scale / 2 + rotated / 2 + 2 * self.deformation
        return min(0.5, 0.05 + reach)


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs with their true displacements.

    Parameters
    ----------
    fixed, moving : Tensor, shape (B, 1, *shape)
        In [0, 1].
    displacement : Tensor, shape (B, d, *shape)
        In pixels: fixed at x shows what moving shows at x + u(x).
    seen : Tensor, shape (B, 1, *shape)
        1 where x + u(x) lies inside the moving image.
    textured : Tensor, shape (B, 1, *shape)
        1 where the fixed image has something to go by, and the moving image shows it too.
    labels : tuple of Tensor, shape (B, 1, *shape)
        Integer labels of the fixed and the moving image.
    affine : Tensor, shape (B, d, d + 1)
        The map's affine part in pixels about the middle.
    unmatched : Tensor, shape (B, 1, *shape)
        1 where only one image shows an object, on the fixed image's pixels.
    """

    fixed: Tensor
    moving: Tensor
    displacement: Tensor
    seen: Tensor
    textured: Tensor
    labels: tuple[Tensor, Tensor]
    affine: Tensor
    unmatched: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        one, other = self.labels
        rest = {name: value.to(device) for name, value in vars(self).items() if name != "labels"}
        return Batch(labels=(one.to(device), other.to(device)), **rest)


def make_batch(
    count: int,
    shape: tuple[int, ...],
    motion: Motion,
    generator: torch.Generator,
    objects: Objects = SOME,
    alike: bool = False,
) -> Batch:
    """A batch of pairs.

    Parameters
    ----------
    count : int
    shape : tuple of int
        Of the images, 2D or 3D.
    motion : Motion
    generator : torch.Generator
        The same state gives the same pairs. Its device must be torch's default one: ``with device:``.
    objects : Objects
        That only one image shows.
    alike : bool
        Whether both images have the same contrast and differ by their objects and little noise only.
    """
    margin = [round(n * motion.margin) for n in shape]
    whole = tuple(n + 2 * m for n, m in zip(shape, margin, strict=True))
    scene = make_scene(count, whole, generator)
    forth, back, fixed_deformation, affine = _maps(count, shape, whole, motion, generator)
    corner = torch.tensor(margin, dtype=torch.float32).view(1, -1, *(1,) * len(shape))
    here = identity(shape, fixed_deformation)[None]
    # Fixed shows the scene at p(x) = x + v(x), moving at q(y); the map between them is q^-1 after p.
    seen_by_fixed = here + fixed_deformation
    seen_by_moving = _affine_at(here, affines.invert(affine), shape)
    seen_by_moving = seen_by_moving + warp_at(back, seen_by_moving + corner)
    onward = seen_by_fixed + warp_at(forth, seen_by_fixed + corner)
    displacement = _affine_at(onward, affine, shape) - here
    one, other = _shown(scene, generator, alike)
    fixed, moving = (
        warp_at(image * scene.view, places + corner)
        for image, places in ((one, seen_by_fixed), (other, seen_by_moving))
    )
    textured = _textured(fixed)
    labels = tuple(_nearest(scene.labels, p + corner) for p in (seen_by_fixed, seen_by_moving))
    seen = _inside(here + displacement, shape)
    disturbed = disturb_slightly if alike else disturb
    (fixed, in_fixed), (moving, in_moving) = (
        disturbed(image, generator, objects) for image in (fixed, moving)
    )
    return Batch(
        fixed,
        moving,
        displacement,
        seen,
        textured * seen,
        (labels[0], labels[1]),
        affine,
        torch.maximum(in_fixed, (warp_batch(in_moving, displacement) > 0.5).float()),
    )


def _shown(scene: Scene, generator: torch.Generator, alike: bool) -> tuple[Tensor, Tensor]:
    """How the fixed and the moving image show a scene, before either is deformed."""
    contrast = make_contrast(scene, generator)
    one = show(scene, contrast, generator)
    if alike:
        one = unit_range(one)
        return one, one
    return one, show(scene, make_contrast(scene, generator, contrast), generator)


def warp_at(images: Tensor, places: Tensor) -> Tensor:
    """Images (B, C, *shape) at places (B, d, *out) in their own pixels, linearly."""
    return warp_batch(images, places - identity(tuple(places.shape[2:]), places))


def _maps(
    count: int, shape: tuple[int, ...], whole: tuple[int, ...], motion: Motion, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Deformation of the scene and its inverse, deformation of the fixed image, and the affine map."""
    d, longest = len(shape), max(shape)
    lone = (count, *(1,) * (d + 1))
    nodes = tuple(max(4, math.ceil(n / LATTICE) + 1) for n in whole)
    finest, coarsest = 10.0, 3.0
    scale = max(whole) / LATTICE / float(uniform(generator, coarsest, finest, 1))
    velocity = smooth_noise(count, d, nodes, max(2.0, scale), generator)
    velocity = velocity * uniform(generator, 0.1, 1.0, *lone) * motion.deformation * longest / math.sqrt(d)
    steps = torch.tensor([(w - 1) / (n - 1) for w, n in zip(whole, nodes, strict=True)])
    steps = steps.view(1, d, *(1,) * d)
    forth, back = (
        resize(integrate_batch(sign * velocity / steps, SQUARINGS) * steps, whole) for sign in (1.0, -1.0)
    )
    # The fixed image is deformed slightly too, else only the moving one would be blurred by interpolation.
    fixed_deformation = 0.01 * longest * smooth_noise(count, d, shape, longest / 3, generator)
    return forth, back, fixed_deformation, random_affine(count, d, motion, longest, generator)


def random_affine(count: int, ndim: int, motion: Motion, longest: int, generator: torch.Generator) -> Tensor:
    """Affine maps (B, d, d + 1) in pixels about the middle: rotated, scaled, sheared, translated."""
    signed = partial(uniform, generator, -1.0, 1.0, count)
    angle = math.radians(motion.rotation) * signed(ndim, ndim) * (1 if ndim == 2 else 1 / math.sqrt(3))
    skew = torch.triu(angle, 1)
    rotation = torch.linalg.matrix_exp(skew - skew.mT)
    common = signed(1) * math.log1p(motion.scale)
    stretch = torch.diag_embed(torch.exp(common + 0.2 * math.log1p(motion.scale) * signed(ndim)))
    shear = torch.eye(ndim) + torch.triu(motion.shear * signed(ndim, ndim), 1)
    translation = motion.translation * longest * signed(ndim, 1) / math.sqrt(ndim) * math.sqrt(2)
    return torch.cat([rotation @ stretch @ shear, translation], dim=2)


def _affine_at(places: Tensor, affine: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Affine maps about the images' middle, of places (B, d, *out)."""
    d = len(shape)
    middle = torch.tensor([(n - 1) / 2 for n in shape]).view(1, d, *(1,) * d)
    linear = torch.einsum(
        "bij,bj...->bi...", affine[:, :, :-1], (places - middle).expand(len(affine), *places.shape[1:])
    )
    return linear + affine[:, :, -1].view(-1, d, *(1,) * d) + middle


def _inside(places: Tensor, shape: tuple[int, ...]) -> Tensor:
    last = torch.tensor([n - 1.0 for n in shape]).view(1, -1, *(1,) * len(shape))
    return ((places >= 0) & (places <= last)).all(dim=1, keepdim=True).float()


def _nearest(labels: Tensor, places: Tensor) -> Tensor:
    """Labels at the nearest pixels, (B, 1, *out)."""
    shape = labels.shape[2:]
    index = torch.zeros_like(places[:, :1], dtype=torch.long)
    for axis, n in enumerate(shape):
        index = index * n + places[:, axis : axis + 1].round().long().clamp(0, n - 1)
    return labels.flatten(1).gather(1, index.flatten(1)).view_as(index)


def _textured(image: Tensor) -> Tensor:
    """Where the brightness changes by more than 4 % of the range in a pixel, or within two pixels of that."""
    steep = steepness(image)
    for axis in range(2, image.ndim):  # one after the other is quicker than a cube
        along = steep.movedim(axis, -1)
        steep = F.max_pool1d(along.flatten(0, -2)[None], 5, 1, 2).view(along.shape).movedim(-1, axis)
    return (steep > 0.04).float()
