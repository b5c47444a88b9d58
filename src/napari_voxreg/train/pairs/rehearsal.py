"""Generated pairs beside the user's own, so that shipped weights keep what they know of other images."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ...nets.architectures.network import Network
from ..options import SHIPPED, TrainOptions
from ..synthetic.noise import uniform
from ..synthetic.objectives import OBJECTIVES
from ..synthetic.recipes import RECIPES
from ..synthetic.score import score, unseen
from ..synthetic.synthetic_pairs import Batch, make_batch
from .data import seed_of

SIDES = {2: 128, 3: 48}  # pixels of the generated images
COUNTS = {2: 4, 3: 1}  # of them a step
SMALLEST = 0.1  # fraction of the recipe's motion that they have at least
JUDGED = {2: 16, 3: 2}  # pairs on which weights are compared
SEED = 2_000_003  # of these, which no training shows


class Rehearsal:
    """The pairs and the loss of the recipe by which the shipped weights of a network were trained.

    Parameters
    ----------
    options : TrainOptions
        Of a training that begins with shipped weights.
    ndim : int
    """

    def __init__(self, options: TrainOptions, ndim: int) -> None:
        self.recipe = RECIPES[f"{SHIPPED[options.architecture]}{ndim}d"]
        self.seed, self.shape, self.count = options.seed, (SIDES[ndim],) * ndim, COUNTS[ndim]

    def loss(self, net: Network, device: torch.device, *step: int) -> Tensor:
        """The recipe's loss of a network, or of its affine part, on the generated pairs of a step."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, "generated", *step))
        motion = self.recipe.motion.times(float(uniform(generator, SMALLEST, 1.0, 1)))
        batch = make_batch(self.count, self.shape, motion, generator, self.recipe.objects)
        # The affine part of a network, trained alone, predicts nothing else.
        name = "affine" if net.decaying_affine_penalty else self.recipe.loss
        return OBJECTIVES[name](net, batch.to(device))

    def error(self, net: Network) -> float:
        """The mean error of a network on generated pairs that no training shows, in pixels."""
        return score(net, self._unseen).after

    @cached_property
    def _unseen(self) -> list[Batch]:
        count = JUDGED[len(self.shape)]
        return unseen(count, self.shape, self.recipe.motion, SEED, self.count, self.recipe.objects)
