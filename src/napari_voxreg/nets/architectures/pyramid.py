"""Our own network: features of both images compared by correlation, coarse to fine.

The idea is PWC-Net's (Sun et al., CVPR 2018); here one block makes every level of the features and one
block refines every level of the displacement, so that a network trained on small pictures takes any number
of levels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor.correlation import FIRST_SIDE, LAST_SIDE, correlation, halves_to, mean_shift
from ...tensor.similarity import box_mean_batch
from ...tensor.warp import warp_batch
from .features import SLOPE, WINDOW, contrast, down, of_length_one, stem
from .network import Network, Prediction, conv

COARSEST = 4  # pixels of the shortest side at the coarsest level, at least
MOST = 6  # levels, at most
FAINT = 0.05  # deviation of the brightness in a window, below which it tells little
LEAST = 1e-3  # weight of what is not certain at all
SHARPNESS = 3.0  # of the choice among shifts, at first

# What the shipped weights were built with.
SHIPPED: dict[int, dict[str, Any]] = {
    2: {"ndim": 2, "features": 32, "hidden": 48, "context": 16, "radius": 2},
    3: {"ndim": 3, "features": 24, "hidden": 32, "context": 12, "radius": 1},
}


class Pyramid(Network):
    """A siamese feature pyramid with local correlation.

    Parameters
    ----------
    ndim : int
        2 or 3.
    features : int
        Of each pixel at each level.
    hidden : int
        Channels of the block that refines the displacement.
    context : int
        Channels that it hands on to the next finer level.
    radius : int
        Of the shifts whose correlation is looked at, pixels of each level.
    """

    def __init__(
        self,
        ndim: int = 2,
        features: int = 32,
        hidden: int = 48,
        context: int = 16,
        radius: int = 2,
    ) -> None:
        arguments = {
            "ndim": ndim,
            "features": features,
            "hidden": hidden,
            "context": context,
            "radius": radius,
        }
        super().__init__(ndim, 2 ** (3 if ndim == 2 else 2), arguments)
        layer = conv(ndim)
        self.first_side, self.last_side = FIRST_SIDE[ndim], LAST_SIDE[ndim]
        self.radius, self.context = radius, context
        self.stem, self.down = stem(ndim, features), down(ndim, features)
        seen = (2 * radius + 1) ** ndim + features + context + ndim
        self.refine = nn.Sequential(
            layer(seen, hidden, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            layer(hidden, hidden, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            layer(hidden, features, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            layer(features, ndim + context, 3, padding=1),
        )
        # The mean shift that the correlation points to teaches the features from the first step on; what the
        # block adds to it is learnt more slowly.
        self.pull = nn.Parameter(torch.ones(1))
        self.sharpness = nn.Parameter(torch.full((1,), SHARPNESS))
        last = self.refine[-1]
        assert isinstance(last, nn.Conv2d | nn.Conv3d)
        nn.init.normal_(last.weight, std=1e-3)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch; see `Network.forward`."""
        return Prediction(self.levels(fixed, moving)[-1])

    def with_levels(self, fixed: Tensor, moving: Tensor) -> tuple[Prediction, list[Tensor]]:
        """The answer to a batch and the displacement after every level, the finest last."""
        fields = self.levels(fixed, moving)
        return Prediction(fields[-1]), fields

    def levels(self, fixed: Tensor, moving: Tensor) -> list[Tensor]:
        """The displacement after every level, coarse to fine, (B, d, *shape) in pixels of the images."""
        shape = tuple(fixed.shape[2:])
        return [halves_to(flow, shape) for flow, _ in self.refined(fixed, moving)]

    def refined(self, fixed: Tensor, moving: Tensor, finest: int = 1) -> list[tuple[Tensor, Tensor]]:
        """Displacement and context at the resolution of every level, coarse to fine.

        Parameters
        ----------
        fixed, moving : Tensor, shape (B, 1, *shape)
        finest : int
            The last level; level k has pixels of 2^k pixels of the images.

        Returns
        -------
        list of (Tensor, Tensor)
            (B, d, *coarse) in pixels of the images, and (B, context, *coarse) in [-1, 1].
        """
        count = len(fixed)
        seen, variance = contrast(torch.cat([fixed, moving]))
        certain = variance[:count] / (variance[:count] + FAINT**2)
        pyramid = [self.stem(seen)]
        while len(pyramid) < MOST and min(pyramid[-1].shape[2:]) >= 2 * COARSEST:
            pyramid.append(self.down(pyramid[-1]))
        flow = fixed.new_zeros(count, self.ndim, *pyramid[-1].shape[2:])
        context = fixed.new_zeros(count, self.context, *flow.shape[2:])
        found = []
        for level in range(len(pyramid), min(finest, len(pyramid)) - 1, -1):
            features = pyramid[level - 1]
            shape = tuple(features.shape[2:])
            flow, context = halves_to(flow, shape), halves_to(context, shape)
            # What features share everywhere tells nothing of where to go. Fresh ones are much alike, and
            # would take thousands of pairs to unlearn it.
            features = features - features.mean(tuple(range(2, features.ndim)), keepdim=True)
            here, there = of_length_one(features.float()).to(features).split(count)
            scale = 2.0**level
            alike = correlation(here, warp_batch(there.float(), flow.float() / scale).to(here), self.radius)
            answer = self.refine(torch.cat([alike, here, context, flow / scale], dim=1))
            pointed = mean_shift(self.sharpness * alike.float(), self.radius)
            flow = flow + scale * (self.pull * pointed + answer[:, : self.ndim])
            flow = spread(flow, _blocks(certain, shape))
            context = torch.tanh(answer[:, self.ndim :])
            found.append((flow, context))
        return found


def spread(flow: Tensor, certain: Tensor) -> Tensor:
    """Where little is certain, the displacement of the neighbours for which more is.

    Parameters
    ----------
    flow : Tensor, shape (B, d, *shape)
    certain : Tensor, shape (B, 1, *shape)
        0 to 1.

    Returns
    -------
    Tensor, shape (B, d, *shape)
    """
    weight = certain + LEAST
    around = box_mean_batch(flow * weight, WINDOW) / box_mean_batch(weight, WINDOW)
    return torch.lerp(around, flow, certain)


def _blocks(image: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Means over the blocks that make up an image (B, 1, *fine) of that coarser shape."""
    size = [n // m for n, m in zip(image.shape[2:], shape, strict=True)]
    return F.avg_pool2d(image, size) if len(shape) == 2 else F.avg_pool3d(image, size)
