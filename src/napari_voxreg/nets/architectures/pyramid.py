"""A feature pyramid with local correlation, coarse to fine.

After PWC-Net (Sun et al., CVPR 2018), but one block makes every level of the features and one block refines
every level of the displacement. A network trained on small images thus takes any number of levels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor.correlation import FIRST_SIDE, LAST_SIDE, correlation, soft_argmax, upsample
from ...tensor.similarity import box_mean_batch
from ...tensor.warp import warp_batch
from .features import SLOPE, WINDOW, contrast, down, stem, unit_length
from .network import Network, Prediction, conv

COARSEST = 4  # pixels, least shortest side at the coarsest level
MAX_LEVELS = 6
FAINT = 0.05  # standard deviation in a window, below which it carries little information
MIN_WEIGHT = 1e-3  # of pixels without any certainty
SHARPNESS = 3.0  # of the softmax over shifts, before training

# Arguments of the shipped weights.
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
        Channels that this block passes to the next finer level.
    radius : int
        Of the shifts whose correlation is computed, pixels of each level.
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
        inputs = (2 * radius + 1) ** ndim + features + context + ndim
        self.refine = nn.Sequential(
            layer(inputs, hidden, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            layer(hidden, hidden, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            layer(hidden, features, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            layer(features, ndim + context, 3, padding=1),
        )
        # The expected shift trains the features from the first step on; what the block adds is learnt more
        # slowly.
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
        """Prediction of a batch, and the displacement after every level, the finest last."""
        fields = self.levels(fixed, moving)
        return Prediction(fields[-1]), fields

    def levels(self, fixed: Tensor, moving: Tensor) -> list[Tensor]:
        """Displacement after every level, coarse to fine, (B, d, *shape) in pixels of the images."""
        shape = tuple(fixed.shape[2:])
        return [upsample(flow, shape) for flow, _ in self.refined(fixed, moving)]

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
        channels, variance = contrast(torch.cat([fixed, moving]))
        certain = variance[:count] / (variance[:count] + FAINT**2)
        pyramid = [self.stem(channels)]
        while len(pyramid) < MAX_LEVELS and min(pyramid[-1].shape[2:]) >= 2 * COARSEST:
            pyramid.append(self.down(pyramid[-1]))
        flow = fixed.new_zeros(count, self.ndim, *pyramid[-1].shape[2:])
        context = fixed.new_zeros(count, self.context, *flow.shape[2:])
        found = []
        for level in range(len(pyramid), min(finest, len(pyramid)) - 1, -1):
            features = pyramid[level - 1]
            shape = tuple(features.shape[2:])
            flow, context = upsample(flow, shape), upsample(context, shape)
            # The mean feature does not distinguish pixels. Untrained features are nearly equal everywhere,
            # and would take thousands of pairs to unlearn that.
            features = features - features.mean(tuple(range(2, features.ndim)), keepdim=True)
            here, there = unit_length(features.float()).to(features).split(count)
            scale = 2.0**level
            scores = correlation(here, warp_batch(there.float(), flow.float() / scale).to(here), self.radius)
            refined = self.refine(torch.cat([scores, here, context, flow / scale], dim=1))
            shift = soft_argmax(self.sharpness * scores.float(), self.radius)
            flow = flow + scale * (self.pull * shift + refined[:, : self.ndim])
            flow = spread(flow, _blocks(certain, shape))
            context = torch.tanh(refined[:, self.ndim :])
            found.append((flow, context))
        return found


def spread(flow: Tensor, certain: Tensor) -> Tensor:
    """Replace the displacement, where certainty is low, by that of more certain neighbours.

    Parameters
    ----------
    flow : Tensor, shape (B, d, *shape)
    certain : Tensor, shape (B, 1, *shape)
        0 to 1.

    Returns
    -------
    Tensor, shape (B, d, *shape)
    """
    weight = certain + MIN_WEIGHT
    around = box_mean_batch(flow * weight, WINDOW) / box_mean_batch(weight, WINDOW)
    return torch.lerp(around, flow, certain)


def _blocks(image: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Means of (B, 1, *fine) over the blocks that give the coarser `shape`."""
    size = [n // m for n, m in zip(image.shape[2:], shape, strict=True)]
    return F.avg_pool2d(image, size) if len(shape) == 2 else F.avg_pool3d(image, size)
