"""An affine network of ours: every place of one image compared with every place of the other.

Features match wherever the other place lies, so that large turns and shifts are found in one look; an affine
map is then fitted to the matches, robustly. After Rocco, Arandjelović, Sivic (CVPR 2017) and, for matching
trained as classification in both directions, LoFTR (Sun et al., CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor import affine as affines
from ...tensor.correlation import halves_to
from ...tensor.warp import identity, warp_batch
from .features import SLOPE, contrast, down, of_length_one, stem
from .network import Network, Prediction, conv

LEVELS = (2, 3, 4)  # of the features; level k has pixels of 2^k pixels, places are those of the first
SHARPNESS = 10.0  # of matches, at first
NEAR = 1  # places around the best one, whose mean is the match
# Degrees by which the moving image is turned to begin with: the way of which more agrees is gone on.
TURNS = {2: (0.0, -26.0, -13.0, 13.0, 26.0), 3: (0.0,)}
# Part of all places whose matches agree, from which no other turn is tried: wrong maps stay below it.
ENOUGH = 0.08
# Below which nothing was found: in 2D 2 of 256 synthetic pairs stay below and 7 of 160 unrelated ones do not;
# in 3D most maps lead closer all the same.
LEAST = {2: 0.02, 3: 0.0}
ROUNDS = 16  # of the robust fit
RESIDUALS = (0.4, 0.05)  # in half sides: those taken seriously in the first rounds, and in the last
SHRINK = 0.8  # from the one to the other, in each round
RIDGE = 1e-5  # keeps the fit solvable where nothing matches; the map then stays as it was


@dataclass(frozen=True, eq=False)
class Matches:
    """How well places of two images go together.

    Parameters
    ----------
    scores : Tensor, shape (B, places, places)
        Of the fixed image's places with those of the moving image.
    shape : tuple of int
        Of the lattice of places.
    """

    scores: Tensor
    shape: tuple[int, ...]

    def log_probabilities(self) -> Tensor:
        """That both choose each other, (B, places, places)."""
        return F.log_softmax(self.scores, 2) + F.log_softmax(self.scores, 1)

    def best(self) -> tuple[Tensor, Tensor]:
        """Where each place of the fixed image goes, on the lattice, and how sure that is.

        Returns
        -------
        where : Tensor, shape (B, places, d)
        sure : Tensor, shape (B, places)
        """
        probable = self.log_probabilities()
        lattice = identity(self.shape, probable).flatten(1).T
        steps = product(range(-NEAR, NEAR + 1), repeat=len(self.shape))
        around = lattice[probable.argmax(2)][:, :, None] + lattice.new_tensor(list(steps))
        last = lattice[-1]
        there = ((around >= 0) & (around <= last)).all(-1)
        index = torch.zeros_like(there, dtype=torch.long)
        for axis, n in enumerate(self.shape):
            index = index * n + around[..., axis].clamp(0, n - 1).long()
        near = probable.gather(2, index).exp() * there
        sure = near.sum(2)
        return (near[..., None] * around).sum(2) / sure[..., None].clamp_min(1e-9), sure


class MatchAffine(Network):
    """Several affine steps, each fitted to matching features.

    Every step resamples the original moving image through the map found so far; in 2D also turned from there.

    Parameters
    ----------
    ndim : int
        2 or 3.
    steps : int
        An attribute too, which may be changed after training.
    features : int
        Of each pixel at each level.
    """

    def __init__(self, ndim: int = 2, steps: int = 3, features: int = 32) -> None:
        super().__init__(ndim, 2 ** max(LEVELS), {"ndim": ndim, "steps": steps, "features": features})
        layer, total = conv(ndim), features * len(LEVELS)
        # Named as in the pyramid, whose trained features are a good beginning.
        self.stem, self.down = stem(ndim, features), down(ndim, features)
        last = layer(total, total, 3, padding=1)
        self.mix = nn.Sequential(layer(total, total, 3, padding=1), nn.LeakyReLU(SLOPE), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS).log())
        self.steps = steps

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch; see `Network.forward`."""
        found = self.all_steps(fixed, moving)[-1]
        return Prediction(affines.displacement(found, tuple(fixed.shape[2:])), affine=found)

    def all_steps(self, fixed: Tensor, moving: Tensor) -> list[Tensor]:
        """The map after every step, (B, d, d + 1) each."""
        found = affines.identities(len(fixed), self.ndim, fixed)
        maps = []
        for _ in range(self.steps):
            found = self._further(fixed, moving, found)
            maps.append(found)
        return maps

    def _further(self, fixed: Tensor, moving: Tensor, found: Tensor) -> Tensor:
        """A map after one more look, the same where too few matches agree."""
        shape = tuple(fixed.shape[2:])
        here = self._features(fixed)
        ways, agreed = [], []
        for angle in TURNS[self.ndim]:
            way = affines.compose(found, affines.turned(angle, self.ndim, found))
            seen = warp_batch(moving, affines.displacement(way, shape))
            matches = self._compared(here, self._features(seen))
            with torch.autocast(fixed.device.type, enabled=False):
                step, agreement = fitted(matches, shape)
            ways.append(affines.compose(way, step))
            agreed.append(agreement)
            if torch.stack(agreed).amax(0).min() > ENOUGH:
                break
        most, best = torch.stack(agreed).max(0)
        further = torch.stack(ways)[best, torch.arange(len(fixed), device=best.device)]
        return torch.where((most > LEAST[self.ndim])[:, None, None], further, found)

    def matches(self, fixed: Tensor, moving: Tensor) -> Matches:
        """How well the places of both images go together."""
        return self._compared(*self._features(torch.cat([fixed, moving])).chunk(2))

    def _compared(self, fixed: Tensor, moving: Tensor) -> Matches:
        """How well places go together by their features."""
        with torch.autocast(fixed.device.type, enabled=False):
            scores = (self.sharpness.exp() * fixed.flatten(2)).mT @ moving.flatten(2)
        return Matches(scores, tuple(fixed.shape[2:]))

    def _features(self, images: Tensor) -> Tensor:
        """Of every place, of length 1, (B, C, *places)."""
        seen, _ = contrast(images)
        levels = [self.stem(seen)]
        while len(levels) < max(LEVELS):
            levels.append(self.down(levels[-1]))
        shape = tuple(levels[LEVELS[0] - 1].shape[2:])
        features = [halves_to(of_length_one(levels[k - 1].float()), shape) for k in LEVELS]
        together = torch.cat(features, 1)
        together = together + self.mix(together).float()
        # What all places share tells none of them from another.
        middle = together.mean(tuple(range(2, together.ndim)), keepdim=True)
        return of_length_one(together - middle)


def fitted(matches: Matches, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The affine map that most of the matches agree on.

    Iteratively reweighted least squares with Geman and McClure's weights, whose width shrinks.

    Parameters
    ----------
    matches : Matches
    shape : tuple of int
        Of the images.

    Returns
    -------
    affine : Tensor, shape (B, d, d + 1)
    agreement : Tensor, shape (B,)
        Part of all places whose matches agree, each as far as it is sure.
    """
    where, sure = matches.best()
    d, half = len(shape), affines.half_side(shape)
    block = torch.tensor([n / m for n, m in zip(shape, matches.shape, strict=True)]).to(where)
    middle = torch.tensor([(n - 1) / 2 for n in shape]).to(where)
    lattice = identity(matches.shape, where).flatten(1).T
    here, there = ((((x + 0.5) * block - 0.5) - middle) / half for x in (lattice, where))
    x = F.pad(here, (0, 1), value=1.0)
    weight, width = sure, RESIDUALS[0]
    ridge = RIDGE * torch.eye(d + 1).to(x)
    for _ in range(ROUNDS):
        weighed = x.T * (weight / weight.sum(1, keepdim=True).clamp_min(1e-6))[:, None]
        change = torch.linalg.solve(weighed @ x + ridge, weighed @ (there - here))
        residual = (there - here - x @ change).square().sum(2)
        weight = sure / (1 + residual / width**2) ** 2
        width = max(RESIDUALS[1], SHRINK * width)
    length = change.new_tensor([1.0] * d + [half])
    return affines.identities(len(sure), d, change) + change.mT * length, weight.mean(1)
