"""Inference passes: single, iterated affine, coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...core.geometry import Grid, Image
from ...core.progress import Progress, subprogress
from ...tensor.folding import without_folding
from ...tensor.warp import normalised, sample, warp
from ...transforms import Affine, StationaryVelocity, Transform, chain
from ..architectures.network import Network, Prediction
from .frame import (
    TensorImage,
    coarsened,
    continued,
    lattice_grid,
    moved,
    network_grid,
    sampled,
    vectors,
    with_affine,
    world_affine,
)

DAMAGED = "The network's prediction is not a number; its weights are damaged, choose others."

# An affine network in front: pixels along the longest side and the largest number of passes. Another pass
# follows if the last one moved a corner of the fixed image by more than a fraction of the diagonal.
AFFINE_SIDE = {2: 128, 3: 48}
AFFINE_PASSES = {2: 2, 3: 1}
SETTLED = 0.1

FIRST_FRACTION = 0.75  # largest side of the first pass relative to the last: small pairs also get two passes
TOLERANCE = 0.25  # octaves by which the step between two passes may exceed a doubling

Extras = dict[str, Image | Transform]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images and a network on one device, and the affine map that an earlier network found, or None."""

    fixed: TensorImage
    moving: TensorImage
    net: Network
    lead: Affine | None

    def whole(self, *transforms: Transform) -> Transform:
        """Transforms in order, then the affine map in front."""
        return chain(*transforms) if self.lead is None else chain(*transforms, self.lead)


def after_affine(pair: Pair, lead: Network, progress: Progress) -> Pair:
    """The pair with the affine map that a network predicts from small images.

    That network compares every node with every other, so it finds large rotations, scales and translations.
    It fits the map to the majority of matches, so structure in only one image has little influence.

    Parameters
    ----------
    pair : Pair
    lead : Network
        That predicts an affine map.
    progress : Progress
        Called before each pass; may raise `Cancelled`.
    """
    grid = pair.fixed.grid
    corners, most = grid.corners(), AFFINE_PASSES[grid.ndim]
    one = _Pass(replace(pair, net=lead), AFFINE_SIDE[grid.ndim])
    found = Affine.identity(grid.ndim)
    for k in range(most):
        progress(k / most, "affine network")
        before, found = found, one.composed(one.predict(lead, found), found)
        if np.linalg.norm(found(corners) - before(corners), axis=1).max() < SETTLED * grid.diagonal:
            break
    return replace(pair, lead=found)


def run_passes(pair: Pair, steps: int, size: int, progress: Progress) -> tuple[Transform, Extras]:
    """Transform of a network, including the affine map in front, and its extras.

    Parameters
    ----------
    pair : Pair
        Its network determines the passes (`Network.first_side`).
    steps : int
        Passes of an affine network, or of the affine part of a network.
    size : int
        Pixels along the longest side that the network sees, at most.
    progress : Progress
        Called before every pass; may raise `Cancelled`.

    Raises
    ------
    ValueError
        If a prediction is not a number.
    """
    if pair.net.first_side is not None:
        return _coarse_to_fine(pair, steps, size, progress)
    one = _Pass(pair, size)
    affine, prediction, extras = one.run(steps, progress)
    if affine is None:
        return pair.whole(_deformation(prediction, one.grid)), extras
    if pair.net.affine_part is None:
        return pair.whole(affine), extras
    return pair.whole(_deformation(prediction, one.grid), affine), extras


def _coarse_to_fine(pair: Pair, steps: int, size: int, progress: Progress) -> tuple[Transform, Extras]:
    """Passes from small images to `size`, each starting from the displacement so far."""
    net, d = pair.net, pair.fixed.grid.ndim
    sides = _sides(net, min(size, max(network_grid(pair.fixed.grid, 1, size).shape)))
    work = np.cumsum([0, *(side**d for side in sides)]) / sum(side**d for side in sides)
    one = _Pass(pair, sides[0])
    has_affine = net.affine_part is not None
    affine, prediction, extras = one.run(
        steps if has_affine else 1, subprogress(progress, 0.0, float(work[1]))
    )
    field = prediction.displacement[0].float()
    if affine is not None:
        field = with_affine(field, affine, one.grid)
    for k, side in enumerate(sides[1:], 1):
        progress(float(work[k]), f"network, pass {k + 1} of {len(sides)}")
        coarse, one = one.grid, _Pass(pair, side)
        so_far = _on_grid(field, coarse, one.grid)
        prediction = one.predict(net.later_pass, displacement=so_far)
        field = prediction.displacement[0].float()
        field = field + warp(so_far, field)
        extras = {**one.extras(prediction), **(extras if has_affine else {})}
    field = without_folding(field[None])[0]
    return pair.whole(continued(vectors(field, one.grid), one.grid)), extras


def _sides(net: Network, size: int) -> list[int]:
    """Pixels along the longest side of each pass: two or more, in equal steps of about a doubling at most."""
    assert net.first_side is not None
    growth = size / min(net.first_side, FIRST_FRACTION * size)
    further = max(1, math.ceil(math.log2(growth) - TOLERANCE))
    return [round(size * growth ** (k / further - 1)) for k in range(further)] + [size]


def _on_grid(field: Tensor, old: Grid, new: Grid) -> Tensor:
    """A displacement (d, *old.shape) in pixels of `old`, resampled on `new` and in its pixels."""
    d = new.ndim
    matrix = np.linalg.inv(old.affine) @ new.affine
    resampled = sample(field, normalised(moved(matrix, new.shape, field.device), old.shape))
    back = field.new_tensor(np.linalg.inv(matrix[:d, :d]))
    return torch.einsum("ij,j...->i...", back, resampled)


class _Pass:
    """One pass: a pair on a network's grid."""

    def __init__(self, pair: Pair, size: int) -> None:
        self.pair = pair
        self.grid = network_grid(pair.fixed.grid, pair.net.stride, size)
        self.net = pair.net.eval().to(pair.fixed.pixels.device)
        self.fixed = sampled(coarsened(pair.fixed, self.grid), self.grid)
        self.moving = coarsened(pair.moving, self.grid)

    def run(self, steps: int, progress: Progress) -> tuple[Affine | None, Prediction, Extras]:
        """All passes of an affine network or part, and the single one of a deformable network.

        Returns
        -------
        affine : Affine or None
            After `steps` passes, if the network is affine or has an affine part.
        prediction : Prediction
            The last one; of a deformable network, to be applied before the affine map.
        extras : dict
        """
        affine_net = self.net if self.net.affine_part is None else self.net.affine_part
        found: Affine | None = None
        extras: Extras = {}
        for k in range(steps):
            progress(k / (steps + 1), f"network, step {k + 1} of {steps}" if steps > 1 else "network")
            prediction = self.predict(affine_net, found)
            if prediction.affine is None:
                return None, prediction, self.extras(prediction)
            found = self.composed(prediction, found)
            extras[f"step {k + 1}"] = self.pair.whole(found)
        if affine_net is self.net:
            del extras[f"step {steps}"]  # it is the result
            return found, prediction, {**extras, **self.extras(prediction)}
        progress(steps / (steps + 1), "network")
        prediction = self.predict(self.net, found)
        if prediction.affine is not None:
            extras["affine part"] = self.pair.whole(self.composed(prediction, found))
        return found, prediction, {**extras, **self.extras(prediction)}

    def composed(self, prediction: Prediction, found: Affine | None) -> Affine:
        """A predicted affine map followed by the map `found` under which it was predicted."""
        assert prediction.affine is not None
        step = world_affine(prediction.affine[0], self.grid)
        return step if found is None else Affine(found.matrix @ step.matrix)

    def predict(
        self,
        net: Callable[[Tensor, Tensor], Prediction],
        affine: Affine | None = None,
        displacement: Tensor | None = None,
    ) -> Prediction:
        """A checked prediction from the moving image under a displacement followed by an affine map."""
        maps = [each for each in (affine, self.pair.lead) if each is not None]
        transform = chain(*maps) if maps else None
        with torch.inference_mode():
            prediction = net(self.fixed, sampled(self.moving, self.grid, transform, displacement))
        given = (prediction.displacement, prediction.velocity, prediction.affine)
        if not all(bool(torch.isfinite(t).all()) for t in given if t is not None):
            raise ValueError(DAMAGED)
        return prediction

    def extras(self, prediction: Prediction) -> Extras:
        """Extras of a prediction as images; the affine part is shown as a transform already."""
        tensors = {name: t for name, t in prediction.extras.items() if not name.startswith("affine")}
        if prediction.velocity is not None:
            tensors["velocity"] = prediction.velocity
        extras: Extras = {}
        for name, values in tensors.items():
            extras.update(_images(name.replace("_", " "), values[0].float(), self.grid))
        return extras


def _deformation(prediction: Prediction, grid: Grid) -> Transform:
    """A deformable network's prediction in the world."""
    if prediction.velocity is None:
        return continued(vectors(prediction.displacement[0].float(), grid), grid)
    lattice = lattice_grid(grid, tuple(prediction.velocity.shape[2:]))
    return StationaryVelocity(vectors(prediction.velocity[0].float(), grid), lattice)


def _images(name: str, values: Tensor, grid: Grid) -> Iterator[tuple[str, Image]]:
    """Images of a tensor (C, *nodes): one scalar, one of vectors, or one for each channel."""
    nodes = lattice_grid(grid, tuple(values.shape[1:]))
    if len(values) == grid.ndim and not name.startswith("log"):  # logarithms have no direction
        yield name, Image(vectors(values, grid).astype(np.float32), nodes, name)
        return
    for k, channel in enumerate(values.cpu().numpy()):
        title = name if len(values) == 1 else f"{name} {k + 1}"
        yield title, Image(channel, nodes, title)
