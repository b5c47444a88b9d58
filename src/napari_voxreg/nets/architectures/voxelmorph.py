"""VoxelMorph: a U-Net predicts a displacement or a stationary velocity from both images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...tensor.correlation import FIRST_SIDE, LAST_SIDE
from ...tensor.integrate import integrate_batch
from ...tensor.warp import resize
from .cost_volume import Compare, MatchingChannels
from .network import Network, Prediction, conv
from .unet import Activation, Down, Levels, UNet, Upsampling


class VoxelMorph(Network):
    """The registration network of Balakrishnan et al. (IEEE TMI 38, 2019) in all its variants.

    The defaults are the diffeomorphic network of its release 0.2. With `probabilistic` it is that of Dalca et
    al. (MICCAI 2018), which predicts a distribution of velocities: the mean in evaluation, a sample in
    training.

    Under `torch.autocast` the U-Net computes in that type; the field is always computed in float32.

    Parameters
    ----------
    ndim : int
        2 or 3.
    encoder, decoder, remaining, down, activation, upsampling, half
        Of the `UNet`. With `half` the field has half the resolution and is upsampled at the end.
    narrow : bool
        Whether a 1 x 1 convolution to d features precedes that of the field (release 0.3).
    probabilistic : bool
        Whether the logarithm of the velocity's variance is also predicted.
    int_steps : int
        Squarings that integrate the velocity; 0 takes the field as the displacement.
    int_downsize : int
        Factor by which the velocity is downsampled before that; a half-resolution head implies 2.
    shift : float
        Intensity added to both images, for networks whose black is not 0.
    compare : {"", "images", "pyramid"}
        Additional input channels; see `MatchingChannels`.

    Raises
    ------
    ValueError
        If an argument is not one of the choices.
    """

    def __init__(
        self,
        ndim: int = 3,
        encoder: Levels = (16, 32, 32, 32),
        decoder: Levels = (32, 32, 32, 32),
        remaining: Sequence[int] = (32, 16, 16),
        down: Down = "pool",
        activation: Activation = "leaky relu",
        upsampling: Upsampling = "nearest",
        half: bool = False,
        narrow: bool = False,
        probabilistic: bool = False,
        int_steps: int = 7,
        int_downsize: int = 2,
        shift: float = 0.0,
        compare: Compare = "",
    ) -> None:
        arguments = {
            "ndim": ndim,
            "encoder": encoder,
            "decoder": decoder,
            "remaining": remaining,
            "down": down,
            "activation": activation,
            "upsampling": upsampling,
            "half": half,
            "narrow": narrow,
            "probabilistic": probabilistic,
            "int_steps": int_steps,
            "int_downsize": int_downsize,
            "shift": shift,
            "compare": compare,
        }
        super().__init__(ndim, 2 ** len(encoder), arguments)
        for name, value, most in (("int_steps", int_steps, 20), ("int_downsize", int_downsize, 8)):
            if not isinstance(value, int) or not (name == "int_downsize") <= value <= most:
                raise ValueError(f"{name} cannot be {value!r}; choose a whole number up to {most}.")
        if half and int_downsize != 2:
            raise ValueError(f"A half-resolution head goes with an int_downsize of 2, not {int_downsize}.")
        self.comparison = MatchingChannels(ndim, compare)
        count = 2 + self.comparison.channels
        self.unet = UNet(ndim, count, encoder, decoder, remaining, down, activation, upsampling, half)
        features = ndim if narrow else self.unet.features
        self.narrow = conv(ndim)(self.unet.features, ndim, 1) if narrow else None
        self.flow = _small(conv(ndim)(features, ndim, 3, 1, 1), 1e-5, 0.0)
        self.log_sigma = _small(conv(ndim)(features, ndim, 3, 1, 1), 1e-10, -10.0) if probabilistic else None
        self.halved, self.int_steps, self.int_downsize = half, int_steps, int_downsize
        self.shift = shift
        if compare:
            self.first_side = FIRST_SIDE[ndim]
            if half:
                self.last_side = LAST_SIDE[ndim]

    @property
    def field_kind(self) -> str:
        """Kind of field it predicts, in a few words for the user."""
        coarse = {1: "full resolution", 2: "half resolution"}
        if self.int_steps:
            place = coarse.get(self.int_downsize, f"1/{self.int_downsize} of the resolution")
            return f"{'probabilistic, ' * (self.log_sigma is not None)}diffeomorphic at {place}"
        return f"displacement at {coarse[1 + self.halved]}"

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch; see `Network.forward`.

        Returns
        -------
        Prediction
            With the velocity, if diffeomorphic. If probabilistic, with the extras "mean" and "log_sigma" (the
            logarithm of the variance) as the U-Net predicts them, in pixels of its output.

        Raises
        ------
        ValueError
            If the images differ in shape, have another number of axes than the network, or sides that are not
            multiples of its stride.
        """
        shape = tuple(fixed.shape[2:])
        if fixed.shape != moving.shape or len(shape) != self.ndim or any(n % self.stride for n in shape):
            raise ValueError(
                f"This network takes two {self.ndim}D images of one shape with sides that are multiples of "
                f"{self.stride}, not {shape} and {tuple(moving.shape[2:])}; pad them."
            )
        images = torch.cat([moving, fixed], 1) + self.shift
        images = self.comparison.append_to(images, fixed, moving)
        if images.device.type == "cpu" and not torch.is_grad_enabled():
            # On a CPU, convolution and pooling are faster with channels last.
            layout = torch.channels_last if self.ndim == 2 else torch.channels_last_3d
            images = images.contiguous(memory_format=layout)
        features = self.unet(images)
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if self.narrow is not None:
                features = self.narrow(features)
            mean = self.flow(features)
            field, extras = mean, {}
            if self.log_sigma is not None:
                log_sigma = self.log_sigma(features)
                extras = {"mean": mean, "log_sigma": log_sigma}
                if self.training:
                    field = mean + (log_sigma / 2).exp() * torch.randn_like(mean)
            if self.halved:
                field = 2 * field
            if not self.int_steps:
                return Prediction(resize(field, shape), extras=extras)
            velocity = resize(field, tuple(n // self.int_downsize for n in shape))
            return Prediction(self._flow_of(velocity, shape), velocity, extras=extras)

    def _flow_of(self, velocity: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Displacement at time 1 of a velocity, both in pixels of the images; its lattice may be coarser."""
        sides = zip(velocity.shape[2:], shape, strict=True)
        nodes = torch.tensor([max(m - 1, 1) / max(n - 1, 1) for m, n in sides], device=velocity.device)
        nodes = nodes.view(-1, *(1,) * len(shape))
        return resize(integrate_batch(velocity * nodes, self.int_steps) / nodes, shape)


def _small(layer: nn.Conv2d | nn.Conv3d, spread: float, bias: float) -> nn.Conv2d | nn.Conv3d:
    """A convolution whose output is initially almost constant."""
    nn.init.normal_(layer.weight, 0.0, spread)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer
