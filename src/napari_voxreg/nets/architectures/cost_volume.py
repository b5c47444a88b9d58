"""Local correlation as additional input channels, for networks that train slowly without them.

A U-Net that sees only two images must learn comparison from scratch, which takes tens of thousands of steps.
With these channels beside the images, it improves from the first hundred steps on.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor.correlation import local_correlation, soft_argmax, upsample
from .pyramid import SHIPPED, Pyramid

Compare = Literal["", "images", "pyramid"]
STRIDE = 8  # pixels; the images' sides must be multiples of it
LEVELS = 3  # of comparison, each at half the resolution of the one before
RADIUS = {2: 2, 3: 1}  # of the shifts, in pixels of each level
SHARPNESS = 15.0  # of the softmax over squared correlations
SIZE = 0.25  # scales displacements in pixels to about the range of the images' values


class MatchingChannels(nn.Module):
    """Input channels that show where the moving image matches the fixed one, and how well.

    Parameters
    ----------
    ndim : int
        2 or 3.
    compare : {"", "images", "pyramid"}
        "" adds no channels. "images" adds squared local correlation of the images, which ignores inverted
        contrast; this is enough for VoxelMorph in 2D. "pyramid" adds the prediction of a `Pyramid` and copies
        its trained weights; any network gets further with it in the same time.

    Attributes
    ----------
    channels : int
        Number of channels added.

    Raises
    ------
    ValueError
        If `compare` is none of these.
    """

    def __init__(self, ndim: int, compare: Compare) -> None:
        super().__init__()
        if compare not in get_args(Compare):
            choices = ", ".join(map(repr, get_args(Compare)))
            raise ValueError(f"compare cannot be {compare!r}; choose from: {choices}.")
        self.compare = compare
        self.channels = 0
        if compare == "images":
            self.channels = LEVELS * (ndim + 1)
        elif compare == "pyramid":
            self.pyramid = Pyramid(**SHIPPED[ndim])
            self.channels = ndim + self.pyramid.context

    def append_to(self, images: Tensor, fixed: Tensor, moving: Tensor) -> Tensor:
        """Channels (B, C, *shape), followed by the matching channels, if any."""
        return torch.cat([images, self(fixed, moving)], 1) if self.compare else images

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Matching channels of a pair.

        Parameters
        ----------
        fixed, moving : Tensor, shape (B, 1, *shape)
            In [0, 1].

        Returns
        -------
        Tensor, shape (B, channels, *shape)
            For "images", at each level: the expected shift in pixels of the images times `SIZE`, and the
            largest similarity. For "pyramid": its displacement in pixels times `SIZE`, and its context.
        """
        shape = tuple(fixed.shape[2:])
        if self.compare == "pyramid":
            flow, context = self.pyramid.refined(fixed, moving)[-1]
            return upsample(torch.cat([SIZE * flow, context], 1), shape)
        found = [fixed.new_zeros(len(fixed), 0, *shape)]
        for block in (2**level for level in range(LEVELS if self.compare else 0)):
            similarity = self._similarity(fixed, moving, block)
            shift = block * SIZE * soft_argmax(SHARPNESS * similarity, RADIUS[len(shape)])
            found.append(upsample(torch.cat([shift, similarity.amax(1, keepdim=True)], 1), shape))
        return torch.cat(found, 1)

    def displacement(self, channels: Tensor) -> Tensor:
        """Displacement (B, d, *shape) in pixels held by the channels: that of a pyramid, otherwise zero."""
        d = channels.ndim - 2
        if self.compare == "pyramid":
            return channels[:, :d].float() / SIZE
        return channels.new_zeros(len(channels), d, *channels.shape[2:])

    def _similarity(self, fixed: Tensor, moving: Tensor, block: int) -> Tensor:
        """Squared correlation of images averaged over blocks, at every shift; without gradients."""
        pool = F.avg_pool2d if fixed.ndim == 4 else F.avg_pool3d
        with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
            here, there = (pool(image.float(), block) for image in (fixed, moving))
            return local_correlation(here, there, RADIUS[fixed.ndim - 2])
