"""VoxelMorph: a U-Net looks at both images and answers with a displacement or a stationary velocity."""

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
    al. (MICCAI 2018), which answers with a distribution of velocities: its mean in evaluation, a sample of it
    while training.

    Called under `torch.autocast`, the U-Net computes in that type; the field is always made in float32.

    Parameters
    ----------
    ndim : int
        2 or 3.
    encoder, decoder, remaining, down, activation, upsampling, half
        Of the `UNet`. With `half` the field lives at half resolution and is enlarged at the end.
    narrow : bool
        Whether a 1 x 1 convolution to d features comes before that of the field (release 0.3).
    probabilistic : bool
        Whether the logarithm of the velocity's variance is predicted, too.
    int_steps : int
        Squarings that integrate the velocity; 0 takes the field as the displacement.
    int_downsize : int
        By how much the velocity is reduced before; a half-resolution head has done so by 2.
    shift : float
        Added to the images, for networks whose black is not 0.
    compare : {"", "images", "pyramid"}
        What it sees compared beside the images; see `Comparison`.

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
    def manner(self) -> str:
        """What kind of field it makes, in a few words for the user."""
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
            With the velocity of a diffeomorphic network; of a probabilistic one with the extras "mean" and
            "log_sigma" (the logarithm of the variance) as the U-Net makes them, in pixels of its output.

        Raises
        ------
        ValueError
            If the images have other axes than the network or sides that are not multiples of its stride.
        """
        shape = tuple(fixed.shape[2:])
        if fixed.shape != moving.shape or len(shape) != self.ndim or any(n % self.stride for n in shape):
            raise ValueError(
                f"This network takes two {self.ndim}D images of one shape with sides that are multiples of "
                f"{self.stride}, not {shape} and {tuple(moving.shape[2:])}; pad them."
            )
        images = torch.cat([moving, fixed], 1) + self.shift
        images = self.comparison.beside(images, fixed, moving)
        if images.device.type == "cpu" and not torch.is_grad_enabled():
            # There convolution and pooling are faster when the channels of a pixel lie side by side.
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
        """Displacement at time 1, both in pixels of the images; the velocity may be on a coarser lattice."""
        sides = zip(velocity.shape[2:], shape, strict=True)
        nodes = torch.tensor([max(m - 1, 1) / max(n - 1, 1) for m, n in sides], device=velocity.device)
        nodes = nodes.view(-1, *(1,) * len(shape))
        return resize(integrate_batch(velocity * nodes, self.int_steps) / nodes, shape)


def _small(layer: nn.Conv2d | nn.Conv3d, spread: float, bias: float) -> nn.Conv2d | nn.Conv3d:
    """A convolution whose answer is nearly constant to begin with."""
    nn.init.normal_(layer.weight, 0.0, spread)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer
