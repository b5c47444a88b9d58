"""The U-Net of all VoxelMorph releases: one class whose arguments select the variant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .network import conv

Down = Literal["pool", "start", "end", "both"]
Activation = Literal["leaky relu", "relu"]
Upsampling = Literal["nearest", "linear"]
Levels = Sequence[int | Sequence[int]]


class UNet(nn.Module):
    """Features of an image at its own or at half its resolution (Ronneberger et al., MICCAI 2015).

    Each encoder level convolves and halves; each decoder level convolves, doubles and appends the encoder's
    features of that size; the remaining convolutions follow. Features of a level are a number, or a list if
    the level has several convolutions.

    Parameters
    ----------
    ndim : int
        2 or 3.
    channels : int
        Of the input.
    encoder, decoder : sequence of int or of sequences of int
        Features of each level, the finest encoder level and the coarsest decoder level first; as many levels
        in one as in the other.
    remaining : sequence of int
        Features of the convolutions at the output's resolution.
    down : {"pool", "start", "end", "both"}
        How an encoder level halves: "pool" takes maxima after its convolutions; the others use a stride of 2
        in its last convolution. A kernel of 3 is padded before the first pixel ("start", torch) or after the
        last ("end", Keras), a kernel of 4 at both ends ("both"). Trained kernels fit only one: another moves
        the features.
    activation : {"leaky relu", "relu"}
        After every convolution; the leak is 0.2.
    upsampling : {"nearest", "linear"}
        How the decoder doubles; linear keeps the outermost pixels in place.
    half : bool
        Omit the last doubling: the output has half the resolution, at a fraction of the cost.

    Raises
    ------
    ValueError
        If an argument is not one of the choices or the levels do not match.
    """

    def __init__(
        self,
        ndim: int,
        channels: int,
        encoder: Levels,
        decoder: Levels,
        remaining: Sequence[int],
        down: Down = "pool",
        activation: Activation = "leaky relu",
        upsampling: Upsampling = "nearest",
        half: bool = False,
    ) -> None:
        super().__init__()
        _check("down", down, get_args(Down))
        _check("activation", activation, get_args(Activation))
        _check("upsampling", upsampling, get_args(Upsampling))
        if len(encoder) != len(decoder) or not encoder:
            raise ValueError(
                f"A U-Net needs as many decoder as encoder levels, not {len(decoder)} for {len(encoder)}."
            )
        self.down, self.upsampling, self.halved = down, upsampling, half
        self.leak = 0.2 if activation == "leaky relu" else 0.0

        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        sizes = [channels]
        for level in map(_listed, encoder):
            convolutions = _chain(ndim, sizes[-1], level)
            if down != "pool":
                convolutions[-1] = _strided(ndim, [sizes[-1], *level][-2], level[-1], down)
            self.encoder.append(convolutions)
            sizes.append(level[-1])
        count = sizes[-1]
        # Pooled levels pass on their features before halving, strided ones their input.
        skips = sizes[1:] if down == "pool" else sizes[:-1]
        for i, level in enumerate(map(_listed, decoder)):
            self.decoder.append(_chain(ndim, count, level))
            count = level[-1] + (skips.pop() if i < self._doublings else 0)
        self.remaining = _chain(ndim, count, remaining)
        self.features = remaining[-1] if remaining else count

    @property
    def _doublings(self) -> int:
        return len(self.encoder) - self.halved

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, features, *shape), or at half of shape, of (B, channels, *shape).

        The sides must be multiples of two to the number of levels.
        """
        skips = []
        for level in self.encoder:
            if self.down == "pool":
                x = self._convolved(x, level.children())
                skips.append(x)
                x = F.max_pool2d(x, 2) if x.ndim == 4 else F.max_pool3d(x, 2)
            else:
                skips.append(x)
                *before, halving = level.children()
                x = self._convolved(x, before)
                if self.down == "end":
                    x = F.pad(x, (0, 1) * (x.ndim - 2))
                x = self._convolved(x, [halving])
        for i, level in enumerate(self.decoder):
            x = self._convolved(x, level.children())
            if i < self._doublings:
                x = torch.cat([self._doubled(x), skips.pop()], 1)
        return self._convolved(x, self.remaining)

    def _convolved(self, x: Tensor, convolutions: Iterable[nn.Module]) -> Tensor:
        for convolution in convolutions:
            x = F.leaky_relu(convolution(x), self.leak, inplace=True)
        return x

    def _doubled(self, x: Tensor) -> Tensor:
        if self.upsampling == "nearest":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        mode = "bilinear" if x.ndim == 4 else "trilinear"
        return F.interpolate(x, scale_factor=2, mode=mode, align_corners=True)


def _strided(ndim: int, count: int, features: int, down: str) -> nn.Conv2d | nn.Conv3d:
    """A convolution that halves even sides; padding as in Keras ("end") is done in `UNet.forward`."""
    if down == "both":
        return conv(ndim)(count, features, 4, 2, 1)
    return conv(ndim)(count, features, 3, 2, 1 if down == "start" else 0)


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} cannot be {value!r}; choose from: {', '.join(choices)}.")


def _listed(features: int | Sequence[int]) -> list[int]:
    return [features] if isinstance(features, int) else list(features)


def _chain(ndim: int, count: int, features: Sequence[int]) -> nn.ModuleList:
    """Consecutive convolutions from `count` features through all of `features`."""
    pairs = zip([count, *features], features, strict=False)
    return nn.ModuleList(conv(ndim)(before, after, 3, 1, 1) for before, after in pairs)
