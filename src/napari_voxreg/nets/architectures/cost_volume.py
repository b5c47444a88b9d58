"""What comparing two images tells, for networks that would take long to find out how.

A U-Net that sees nothing but two images must first learn by itself to compare them, which takes it tens of
thousands of steps. With these channels beside the images it learns from the first hundred on.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor.correlation import halves_to, local_correlation, mean_shift
from .pyramid import SHIPPED, Pyramid

Compare = Literal["", "images", "pyramid"]
STRIDE = 8  # of which the images' sides are to be multiples
LEVELS = 3  # on which images are compared, each at half the resolution of the one before
RADIUS = {2: 2, 3: 1}  # of the shifts, in pixels of each level
SHARPNESS = 15.0  # of the choice among squared correlations
SIZE = 0.25  # brings displacements in pixels to about the size of the images' values


class MatchingChannels(nn.Module):
    """Channels that say where the moving image resembles the fixed one, and how well.

    Parameters
    ----------
    ndim : int
        2 or 3.
    of : {"", "images", "pyramid"}
        Nothing, for networks that find out by themselves; squared local correlation of the images, which does
        not mind inverted contrast; or the answer of a `Pyramid`, whose trained weights are taken over. Images
        are enough for VoxelMorph in 2D; a pyramid takes any network further in the same time.

    Attributes
    ----------
    channels : int
        That it answers with.

    Raises
    ------
    ValueError
        If `of` is something else.
    """

    def __init__(self, ndim: int, of: Compare) -> None:
        super().__init__()
        if of not in get_args(Compare):
            choices = ", ".join(map(repr, get_args(Compare)))
            raise ValueError(f"compare cannot be {of!r}; choose from: {choices}.")
        self.of = of
        self.channels = 0
        if of == "images":
            self.channels = LEVELS * (ndim + 1)
        elif of == "pyramid":
            self.pyramid = Pyramid(**SHIPPED[ndim])
            self.channels = ndim + self.pyramid.context

    def beside(self, images: Tensor, fixed: Tensor, moving: Tensor) -> Tensor:
        """Channels (B, C, *shape), followed by those of comparing the pair where it is compared at all."""
        return torch.cat([images, self(fixed, moving)], 1) if self.of else images

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """The channels.

        Parameters
        ----------
        fixed, moving : Tensor, shape (B, 1, *shape)
            In [0, 1].

        Returns
        -------
        Tensor, shape (B, channels, *shape)
            Of images for each level the mean shift in pixels of the images times `SIZE`, and how alike they
            are there; of a pyramid its displacement in pixels times `SIZE`, and its context.
        """
        shape = tuple(fixed.shape[2:])
        if self.of == "pyramid":
            flow, context = self.pyramid.refined(fixed, moving)[-1]
            return halves_to(torch.cat([SIZE * flow, context], 1), shape)
        found = [fixed.new_zeros(len(fixed), 0, *shape)]
        for block in (2**level for level in range(LEVELS if self.of else 0)):
            alike = self._alike(fixed, moving, block)
            shift = block * SIZE * mean_shift(SHARPNESS * alike, RADIUS[len(shape)])
            found.append(halves_to(torch.cat([shift, alike.amax(1, keepdim=True)], 1), shape))
        return torch.cat(found, 1)

    def answer(self, channels: Tensor) -> Tensor:
        """The displacement (B, d, *shape) in pixels that the channels hold: a pyramid's, else none."""
        d = channels.ndim - 2
        if self.of == "pyramid":
            return channels[:, :d].float() / SIZE
        return channels.new_zeros(len(channels), d, *channels.shape[2:])

    def _alike(self, fixed: Tensor, moving: Tensor, block: int) -> Tensor:
        """Squared correlation of images averaged over blocks, at every shift; it teaches nothing."""
        pool = F.avg_pool2d if fixed.ndim == 4 else F.avg_pool3d
        with torch.no_grad(), torch.autocast(fixed.device.type, enabled=False):
            here, there = (pool(image.float(), block) for image in (fixed, moving))
            return local_correlation(here, there, RADIUS[fixed.ndim - 2])
