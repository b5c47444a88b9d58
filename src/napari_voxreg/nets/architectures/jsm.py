"""A coarse displacement from the whole image, refined where both images show the same structure.

Based on FlowNet-S (Dosovitskiy et al., ICCV 2015) and the joint saliency map (Qin et al., IEEE Signal
Processing Letters 17, 2010). As published, the refinement sees only the joint saliency and the coarse
displacement. Guided, the joint saliency also decides what moves with its surroundings, in the prediction
and in the loss.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor.correlation import FIRST_SIDE, LAST_SIDE
from ...tensor.similarity import box_mean_batch
from ...tensor.warp import resize, warp_batch
from .cost_volume import Compare, MatchingChannels
from .filling import Filling
from .network import Network, Prediction
from .saliency import JointSaliency, joint_saliency

Guidance = Literal["input", "fill", "ones"]
SLOPE = 0.1  # of the leaky ReLUs
STRIDE = 8  # pixels of the coarse pair per pixel of the coarsest level
MIN_SIDE = 4 * STRIDE  # pixels, of the coarse pair's longest side
# Features and kernel of each level's first convolution and of its second, the finest level first.
ENCODER = ((128, 7, 128, 5), (256, 5, 256, 3), (512, 3, 512, 3), (1024, 3, 1024, 3))
DECODER = (512, 256, 128)  # the coarsest level first
LOCAL = (128, 64, 32)


class JSM(Network):
    """Global-to-local registration of 2D images guided by their joint saliency.

    A global network sees the pair at up to `side` pixels and predicts a displacement at four levels. A small
    local network corrects it, given the joint saliency of the fixed and the warped moving image at full
    resolution. The saliency is differentiable, so the correction also trains the global network.
    `Prediction.extras` holds "saliency of fixed", "saliency of moving" (as warped), "joint saliency" and
    "coarse displacement".

    In training, `Prediction.extras` also holds the displacements of the coarser levels, for losses at every
    level: "displacement at 1/8", "1/4" and "1/2" of the coarse pair's resolution, on the images' pixels.

    Parameters
    ----------
    width : float
        Multiple of the published numbers of features: 1 gives 33 million parameters, 0.25 two million.
    side : int
        Largest longest side of the pair in the global network, pixels; a multiple of 8.
    compare : {"", "images", "pyramid"}
        Additional input channels; see `MatchingChannels`.
    guidance : {"input", "fill", "ones"}
        Of the refinement by the joint saliency. "input" makes the map an input of the local network, as
        published. With "fill" the local network also compares the images once more, weighted by the map, and
        its result is filled in from where the map is high; the map also weights the pixels of an unsupervised
        loss. "ones" is the control of this: the same network with a map of ones.

    Raises
    ------
    ValueError
        If an argument is out of range or none of the choices.
    """

    def __init__(
        self, width: float = 1.0, side: int = 128, compare: Compare = "", guidance: Guidance = "input"
    ) -> None:
        if not 0 < width <= 4:
            raise ValueError(f"The width of a JSM network cannot be {width:g}; choose between 0 and 4.")
        if side % STRIDE or side < MIN_SIDE:
            raise ValueError(
                f"The coarse side of a JSM network cannot be {side} pixels; "
                f"choose a multiple of {STRIDE}, at least {MIN_SIDE}."
            )
        if guidance not in get_args(Guidance):
            choices = ", ".join(map(repr, get_args(Guidance)))
            raise ValueError(f"guidance cannot be {guidance!r}; choose from: {choices}.")
        arguments = {"width": width, "side": side, "compare": compare, "guidance": guidance}
        super().__init__(2, 1, arguments)
        self.side, self.guidance = side, guidance
        if compare:
            self.first_side, self.last_side = FIRST_SIDE[2], LAST_SIDE[2]
        self.coarse = GlobalFlow(width, compare)
        layers: list[nn.Module] = []
        before = 1 + 2  # joint saliency and displacement
        if guidance != "input":
            self.comparison = MatchingChannels(2, "images")
            before += self.comparison.channels
        for features in (_count(n, width) for n in LOCAL):
            layers.append(_block(before, features, 3))
            before = features
        self.local = nn.Sequential(*layers)
        self.correction = Head(before)
        if guidance != "input":
            self.filling = Filling(before)

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch of any size and aspect; see `Network.forward`.

        Under autocast the convolutions run in its type; displacements and saliency stay in float32.
        """
        shape = tuple(fixed.shape[2:])
        small = self._small(torch.cat([fixed, moving], 1))
        levels = [_on(flow, shape) for flow in self.coarse(small)]
        found = levels[-1]
        warped = warp_batch(moving.float(), found)
        maps = self._maps(fixed.float(), warped)
        features = self.local(self._local_input(fixed.float(), warped, found, maps.joint))
        refined = found + self.correction(features)
        if self.guidance != "input":
            refined = self.filling(refined, maps.joint, features)
        extras = {
            "saliency of fixed": maps.fixed,
            "saliency of moving": maps.moving,
            "joint saliency": maps.joint,
            "coarse displacement": found,
        }
        if self.training:
            steps = [2**k for k in range(len(levels) - 1, 0, -1)]
            extras |= {f"displacement at 1/{n}": u for n, u in zip(steps, levels, strict=False)}
        return Prediction(refined, extras=extras)

    def with_levels(self, fixed: Tensor, moving: Tensor) -> tuple[Prediction, list[Tensor]]:
        """The prediction of a batch, and its coarse and refined displacements."""
        found = self(fixed, moving)
        return found, [found.extras["coarse displacement"], found.displacement]

    def loss_weight(self, fixed: Tensor, warped: Tensor) -> Tensor | None:
        """See `Network.loss_weight`; None as published."""
        if self.guidance == "input":
            return None
        # Without gradients, else hiding structure would lower the loss.
        return self._maps(fixed, warped).joint.detach()

    def _maps(self, fixed: Tensor, warped: Tensor) -> JointSaliency:
        """The saliency of two aligned images."""
        if self.guidance == "input":
            return joint_saliency(fixed, warped)
        maps = joint_saliency(fixed, warped, norm="mean")
        return maps._replace(joint=torch.ones_like(maps.joint)) if self.guidance == "ones" else maps

    def _local_input(self, fixed: Tensor, warped: Tensor, found: Tensor, joint: Tensor) -> Tensor:
        """What the local network sees."""
        if self.guidance == "input":
            return torch.cat([joint, found], 1)
        height, width = fixed.shape[2:]
        pad = (0, -width % STRIDE, 0, -height % STRIDE)
        matching = self.comparison(*(F.pad(x, pad, mode="replicate") for x in (fixed, warped)))
        return torch.cat([joint, found, joint * matching[..., :height, :width]], 1)

    def _small(self, pairs: Tensor) -> Tensor:
        """Pairs (B, 2, H, W) resized to at most `side` almost square pixels along the longest side."""
        shape = pairs.shape[2:]
        factor = max(max(shape) / self.side, 1.0)
        small = [max(1, round(n / factor / STRIDE)) * STRIDE for n in shape]
        # Averaging keeps what lies between the coarse pixels.
        window = 2 * int(factor / 2) + 1
        means = box_mean_batch(pairs, window)
        return resize(means, (small[0], small[1]))


class GlobalFlow(nn.Module):
    """FlowNet-S for small images: an encoder, and a decoder with a displacement at each level.

    Each level corrects the displacement of the coarser one; the coarsest corrects that of a pyramid, if any.

    Parameters
    ----------
    width : float
        Multiple of the published numbers of features.
    compare : {"", "images", "pyramid"}
        Additional input channels; see `MatchingChannels`.
    """

    def __init__(self, width: float, compare: Compare = "") -> None:
        super().__init__()
        self.comparison = MatchingChannels(2, compare)
        self.encoder = nn.ModuleList()
        before, skips = 2 + self.comparison.channels, []
        for k, (first, wide, second, narrow) in enumerate(ENCODER):
            first, second = _count(first, width), _count(second, width)
            stride = 2 if k else 1
            self.encoder.append(
                nn.Sequential(_block(before, first, wide, stride), _block(first, second, narrow))
            )
            before = second
            skips.append(second)
        self.heads = nn.ModuleList([Head(before)])
        self.decoder = nn.ModuleList()
        for features, skip in zip((_count(n, width) for n in DECODER), skips[-2::-1], strict=True):
            self.decoder.append(_doubling(before, features))
            before = features + skip + 2
            self.heads.append(Head(before))

    def forward(self, pairs: Tensor) -> list[Tensor]:
        """Displacements of pairs (B, 2, H, W) in pixels of the pairs, (B, 2, H, W) each, coarse to fine.

        Sides must be multiples of 8.
        """
        skips = []
        matching = self.comparison(pairs[:, :1], pairs[:, 1:])
        x = torch.cat([pairs - 0.5, matching], 1)
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        flow = self.heads[0](x)  # in pixels of its level
        found = [flow]
        for double, head in zip(self.decoder, self.heads[1:], strict=True):
            flow = _doubled(flow)
            x = torch.cat([double(x), skips.pop(), flow], 1)
            flow = flow + head(x)
            found = [*map(_doubled, found), flow]
        return [self.comparison.displacement(matching) + flow for flow in found]


class Head(nn.Conv2d):
    """A linear layer from features to a displacement in float32, initially close to zero.

    A leaky ReLU would shrink negative displacements; half precision would round them.

    Parameters
    ----------
    features : int
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, 2, 3, padding=1)
        nn.init.normal_(self.weight, std=1e-5)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Displacement (B, 2, H, W) from features (B, C, H, W)."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.float())


def _on(flow: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A displacement resampled to other pixels between the same outermost ones, in units of those."""
    scale = [(n - 1) / max(m - 1, 1) for n, m in zip(shape, flow.shape[2:], strict=True)]
    return resize(flow, shape) * flow.new_tensor(scale).view(1, 2, 1, 1)


def _doubled(flow: Tensor) -> Tensor:
    """A displacement at twice the resolution, in its pixels."""
    return 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)


def _count(features: int, width: float) -> int:
    return max(1, round(features * width))


def _block(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution and a leaky ReLU."""
    return _activated(nn.Conv2d(before, after, kernel, stride, kernel // 2))


def _doubling(before: int, after: int) -> nn.Sequential:
    """A transposed convolution to twice the resolution and a leaky ReLU."""
    return _activated(nn.ConvTranspose2d(before, after, 4, 2, 1))


def _activated(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """The layer with the initialisation of He et al. (ICCV 2015), and a leaky ReLU."""
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(layer, nn.LeakyReLU(SLOPE, inplace=True))
