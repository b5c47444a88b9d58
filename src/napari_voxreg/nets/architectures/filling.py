"""Displacements filled in from where they can be trusted: normalised convolution with a learnt width.

After Knutsson and Westin, Normalized and differential convolution (CVPR 1993).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...tensor.similarity import box_mean_batch

WINDOWS = (5, 13, 33)  # pixels; applied twice, which weights nearer pixels more
FIRST_LEVEL = 0.25  # confidence, as a fraction of its mean, of which half is filled in before training
LEAST = 1e-3  # confidence that every pixel has, so that there is always a mean


class Filling(nn.Module):
    """Replaces a displacement, where confidence is low, by that of more confident surroundings.

    How far these extend is chosen for each pixel from `features`; at which confidence a displacement is
    replaced is learnt too. With the same confidence everywhere it is plain smoothing.

    Parameters
    ----------
    features : int
        Number of channels that the choice of the width is made from.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.widths = nn.Conv2d(features, len(WINDOWS), 3, padding=1)
        self.level = nn.Parameter(torch.full((1,), FIRST_LEVEL).log())
        nn.init.zeros_(self.widths.weight)
        nn.init.zeros_(self.widths.bias)  # type: ignore[arg-type]

    def forward(self, flow: Tensor, confidence: Tensor, features: Tensor) -> Tensor:
        """Fill in a batch; all in float32.

        Parameters
        ----------
        flow : Tensor, shape (B, 2, H, W)
        confidence : Tensor, shape (B, 1, H, W)
            At least 0; only its ratio to its mean counts.
        features : Tensor, shape (B, C, H, W)

        Returns
        -------
        Tensor, shape (B, 2, H, W)
        """
        with torch.autocast(flow.device.type, enabled=False):
            relative = (confidence + LEAST) / (confidence + LEAST).mean((1, 2, 3), keepdim=True)
            # Squared, since there may be far more doubtful pixels around than certain ones.
            trusted = relative**2
            sums = torch.cat([flow * trusted, trusted], 1)
            around = [box_mean_batch(box_mean_batch(sums, size), size) for size in WINDOWS]
            share = self.widths(features.float()).softmax(1)
            # Before the division, so that windows without confidence do not count.
            total = (share[:, :, None] * torch.stack(around, 1)).sum(1)
            kept = trusted / (trusted + (2 * self.level).exp())
            return torch.lerp(total[:, :2] / total[:, 2:], flow, kept)
