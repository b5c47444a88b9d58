"""Pairs changed at random, so that few of them teach more."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from ...tensor import affine as affines
from ...tensor.integrate import integrate_batch
from ...tensor.warp import identity, resize, warp_batch
from ..options import TrainOptions
from ..synthetic.noise import smooth_noise, uniform

LATTICE = 8  # pixels between the nodes of the elastic deformation
SQUARINGS = 5


def augmented(
    tensors: dict[str, Tensor], options: TrainOptions, generator: torch.Generator
) -> dict[str, Tensor]:
    """A pair changed as the options say; the same state of the generator gives the same.

    Both images are rotated, translated, scaled, mirrored, cropped and deformed together, so that the motion
    between them stays the same in the scene. Intensities, speckle and bias are each image's own.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Of a `Prepared` pair; not changed.
    """
    changed = dict(tensors)
    shape = tuple(tensors["fixed"].shape[1:])
    if any((options.rotation, options.shift, options.scale, options.flips, options.crop, options.elastic)):
        view = _View(shape, options, generator)
        changed = {name: view.of(name, value) for name, value in changed.items()}
    for side in ("fixed", "moving"):
        changed[side] = _toned(changed[side], options, generator)
    return changed


class _View:
    """Another view of the same scene: where each of its pixels lies in the old one, and back."""

    def __init__(self, shape: tuple[int, ...], options: TrainOptions, generator: torch.Generator) -> None:
        d = len(shape)
        self.affine = _affine(shape, options, generator)
        self.elastic = self.elastic_back = torch.zeros(1, d, *shape)
        if options.elastic:
            nodes = tuple(max(4, math.ceil(n / LATTICE) + 1) for n in shape)
            steps = torch.tensor([(n - 1) / (m - 1) for n, m in zip(shape, nodes, strict=True)])
            steps = steps.view(1, d, *(1,) * d)
            velocity = smooth_noise(1, d, nodes, max(2.0, max(nodes) / 4), generator)
            velocity = velocity * options.elastic * max(shape) / math.sqrt(d) / steps
            self.elastic, self.elastic_back = (
                resize(integrate_batch(sign * velocity, SQUARINGS) * steps, shape) for sign in (1.0, -1.0)
            )
        self.here = identity(shape, self.elastic)[None]
        self.places = _moved(self.here + self.elastic, self.affine, shape)
        self.shape = shape

    def of(self, name: str, value: Tensor) -> Tensor:
        """A member of the pair in this view."""
        displacement = self.places - self.here
        if name == "displacement":
            there = self.places + warp_batch(value[None], displacement)
            back = _moved(there, affines.invert(self.affine), self.shape)
            return (back + warp_batch(self.elastic_back, back - self.here) - self.here)[0]
        if name.endswith(("labels", "mask")):
            index = torch.zeros(self.shape, dtype=torch.long)
            for axis, n in enumerate(self.shape):
                index = index * n + self.places[0, axis].round().long().clamp(0, n - 1)
            return value.flatten()[index][None]
        return warp_batch(value[None], displacement)[0]


def _affine(shape: tuple[int, ...], options: TrainOptions, generator: torch.Generator) -> Tensor:
    """A random map (1, d, d + 1) in pixels about the middle."""
    d = len(shape)
    signed = partial(uniform, generator, -1.0, 1.0)
    angle = math.radians(options.rotation) * signed(d, d) * (1 if d == 2 else 1 / math.sqrt(3))
    skew = torch.triu(angle, 1)
    matrix = torch.linalg.matrix_exp(skew - skew.mT) * torch.exp(signed(1) * math.log1p(options.scale))
    mirrored = torch.rand(d, generator=generator) < 0.5
    if options.flips:
        matrix = matrix * torch.where(mirrored, -1.0, 1.0)
    offset = options.shift * max(shape) * signed(d, 1)
    if options.crop:
        # A window somewhere in the image, which then fills the whole.
        left = 1 - options.crop * torch.rand(1, generator=generator)
        matrix = left * matrix
        offset = offset + (1 - left) / 2 * torch.tensor(shape)[:, None] * signed(d, 1)
    return torch.cat([matrix, offset], 1)[None]


def _moved(places: Tensor, affine: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A map about the middle applied to places (1, d, *shape)."""
    middle = torch.tensor([(n - 1) / 2 for n in shape])[:, None]
    flat = affine[:, :, :-1] @ (places.flatten(2) - middle) + affine[:, :, -1:] + middle
    return flat.view_as(places)


def _toned(image: Tensor, options: TrainOptions, generator: torch.Generator) -> Tensor:
    """An image (1, *shape) in [0, 1] with other intensities."""
    shape = tuple(image.shape[1:])
    if options.bias:
        field = smooth_noise(1, 1, shape, max(shape) / 2, generator)[0]
        image = image * torch.exp(options.bias * uniform(generator, 0.0, 1.0, 1) * field)
    if options.speckle:
        strength = options.speckle * uniform(generator, 0.0, 1.0, 1)
        image = image * (1 + strength * torch.randn(image.shape, generator=generator))
    if options.intensity:
        exponent, slope, level = torch.exp(options.intensity * uniform(generator, -1.0, 1.0, 3))
        image = 0.5 * level + slope * (image.clamp(0, 1) ** exponent - 0.5)
    return image.clamp(0, 1)
