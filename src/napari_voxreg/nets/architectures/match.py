"""An affine network that compares every node of one image with every node of the other.

Features may match at any distance, so one pass finds large rotations and translations; an affine map is then
fitted robustly to the matches. After Rocco, Arandjelović, Sivic (CVPR 2017) and, for matching trained as
classification in both directions, LoFTR (Sun et al., CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor import affine as affines
from ...tensor.correlation import upsample
from ...tensor.warp import identity, warp_batch
from .features import SLOPE, contrast, down, stem, unit_length
from .network import Network, Prediction, conv

LEVELS = (2, 3, 4)  # of the features; level k has blocks of 2^k pixels, nodes are those of the first
SHARPNESS = 10.0  # of matches, before training
NEAR = 1  # nodes around the best one, whose mean is the match
# Degrees by which the moving image is also rotated; the rotation with the larger agreement is kept.
ROTATIONS = {2: (0.0, -26.0, -13.0, 13.0, 26.0), 3: (0.0,)}
# Fraction of nodes whose matches agree, above which no other rotation is tried; wrong maps stay below it.
SUFFICIENT_AGREEMENT = 0.08
# Fraction below which the map is rejected. In 2D, 2 of 256 synthetic pairs are below it and 7 of 160
# unrelated ones are not; in 3D most maps help in spite of low agreement.
MIN_AGREEMENT = {2: 0.02, 3: 0.0}
ROUNDS = 16  # of the robust fit
RESIDUALS = (0.4, 0.05)  # in half sides: width of the weights in the first rounds, and in the last
SHRINK = 0.8  # of that width, in each round
RIDGE = 1e-5  # keeps the fit solvable where nothing matches; the step is then the identity


@dataclass(frozen=True, eq=False)
class Matches:
    """Scores of all pairs of nodes of two images.

    Parameters
    ----------
    scores : Tensor, shape (B, nodes, nodes)
        Of the fixed image's nodes with those of the moving image.
    shape : tuple of int
        Of the lattice of nodes.
    """

    scores: Tensor
    shape: tuple[int, ...]

    def log_probabilities(self) -> Tensor:
        """Log-probability that two nodes are each other's match, (B, nodes, nodes)."""
        return F.log_softmax(self.scores, 2) + F.log_softmax(self.scores, 1)

    def best(self) -> tuple[Tensor, Tensor]:
        """Match of each node of the fixed image, in lattice coordinates, and its probability.

        Returns
        -------
        where : Tensor, shape (B, nodes, d)
        sure : Tensor, shape (B, nodes)
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

    Every step resamples the original moving image through the map so far, and in 2D also rotated from there.

    Parameters
    ----------
    ndim : int
        2 or 3.
    steps : int
        The attribute may be changed after training.
    features : int
        Of each pixel at each level.
    """

    def __init__(self, ndim: int = 2, steps: int = 3, features: int = 32) -> None:
        super().__init__(ndim, 2 ** max(LEVELS), {"ndim": ndim, "steps": steps, "features": features})
        layer, total = conv(ndim), features * len(LEVELS)
        # Named as in the pyramid, whose trained features are a good initialisation.
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
        """Map after every step, (B, d, d + 1) each."""
        found = affines.identities(len(fixed), self.ndim, fixed)
        maps = []
        for _ in range(self.steps):
            found = self._next_step(fixed, moving, found)
            maps.append(found)
        return maps

    def _next_step(self, fixed: Tensor, moving: Tensor, found: Tensor) -> Tensor:
        """Map after one more step, unchanged where too few matches agree."""
        shape = tuple(fixed.shape[2:])
        here = self._features(fixed)
        maps, agreed = [], []
        for angle in ROTATIONS[self.ndim]:
            rotated = affines.compose(found, affines.rotation(angle, self.ndim, found))
            warped = warp_batch(moving, affines.displacement(rotated, shape))
            matches = self._compared(here, self._features(warped))
            with torch.autocast(fixed.device.type, enabled=False):
                step, agreement = fit_affine(matches, shape)
            maps.append(affines.compose(rotated, step))
            agreed.append(agreement)
            if torch.stack(agreed).amax(0).min() > SUFFICIENT_AGREEMENT:
                break
        most, best = torch.stack(agreed).max(0)
        following = torch.stack(maps)[best, torch.arange(len(fixed), device=best.device)]
        return torch.where((most > MIN_AGREEMENT[self.ndim])[:, None, None], following, found)

    def step(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor]:
        """One step to several moving images (B, 1, *shape) from one fixed image (1, 1, *shape), none rotated.

        Returns
        -------
        affine : Tensor, shape (B, d, d + 1)
        agreement : Tensor, shape (B,)
            See `fit_affine`.
        """
        here, there = self._features(fixed), self._features(moving)
        matches = self._compared(here.expand(len(there), *here.shape[1:]), there)
        return fit_affine(matches, tuple(fixed.shape[2:]))

    def matches(self, fixed: Tensor, moving: Tensor) -> Matches:
        """Scores of all pairs of nodes of both images."""
        return self._compared(*self._features(torch.cat([fixed, moving])).chunk(2))

    def _compared(self, fixed: Tensor, moving: Tensor) -> Matches:
        """Scores of all pairs of nodes from their features."""
        with torch.autocast(fixed.device.type, enabled=False):
            scores = (self.sharpness.exp() * fixed.flatten(2)).mT @ moving.flatten(2)
        return Matches(scores, tuple(fixed.shape[2:]))

    def _features(self, images: Tensor) -> Tensor:
        """Features of unit length at every node, (B, C, *nodes)."""
        channels, _ = contrast(images)
        levels = [self.stem(channels)]
        while len(levels) < max(LEVELS):
            levels.append(self.down(levels[-1]))
        shape = tuple(levels[LEVELS[0] - 1].shape[2:])
        features = [upsample(unit_length(levels[k - 1].float()), shape) for k in LEVELS]
        together = torch.cat(features, 1)
        together = together + self.mix(together).float()
        # The mean of all nodes does not distinguish them.
        return unit_length(together - together.mean(tuple(range(2, together.ndim)), keepdim=True))


def fit_affine(matches: Matches, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Affine map on which most of the matches agree.

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
        Fraction of nodes whose matches agree, each weighted by its probability.
    """
    where, sure = matches.best()
    d, half = len(shape), affines.half_side(shape)
    block = torch.tensor([n / m for n, m in zip(shape, matches.shape, strict=True)]).to(where)
    centre = torch.tensor([(n - 1) / 2 for n in shape]).to(where)
    lattice = identity(matches.shape, where).flatten(1).T
    here, there = ((((x + 0.5) * block - 0.5) - centre) / half for x in (lattice, where))
    x = F.pad(here, (0, 1), value=1.0)
    weight, width = sure, RESIDUALS[0]
    ridge = RIDGE * torch.eye(d + 1).to(x)
    for _ in range(ROUNDS):
        weighted = x.T * (weight / weight.sum(1, keepdim=True).clamp_min(1e-6))[:, None]
        change = torch.linalg.solve(weighted @ x + ridge, weighted @ (there - here))
        residual = (there - here - x @ change).square().sum(2)
        weight = sure / (1 + residual / width**2) ** 2
        width = max(RESIDUALS[1], SHRINK * width)
    length = change.new_tensor([1.0] * d + [half])
    return affines.identities(len(sure), d, change) + change.mT * length, weight.mean(1)
