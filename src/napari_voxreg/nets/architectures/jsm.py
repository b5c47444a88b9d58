"""A coarse displacement from the whole picture, refined where both images show the same structure.

Rests on FlowNet-S (Dosovitskiy et al., ICCV 2015) and the joint saliency map (Qin et al., IEEE Signal
Processing Letters 17, 2010). The refinement looks at nothing but the joint saliency and the coarse
displacement, so that what only one image shows can move as its surroundings do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor.correlation import FIRST_SIDE, LAST_SIDE
from ...tensor.similarity import box_mean_batch
from ...tensor.warp import resize, warp_batch
from .cost_volume import Compare, MatchingChannels
from .network import Network, Prediction
from .saliency import joint_saliency

SLOPE = 0.1  # of the leaky units
STRIDE = 8  # pixels of the coarse pair to one of the coarsest level
LEAST = 4 * STRIDE  # pixels of the coarse pair's longest side
# Features and kernel of each level's first convolution and of its second, the finest level first.
ENCODER = ((128, 7, 128, 5), (256, 5, 256, 3), (512, 3, 512, 3), (1024, 3, 1024, 3))
DECODER = (512, 256, 128)  # the coarsest level first
LOCAL = (128, 64, 32)


class JSM(Network):
    """Global-to-local registration of 2D images guided by their joint saliency.

    A global network sees the pair at `side` pixels at most and gives a displacement at four levels. The joint
    saliency of the fixed and the warped moving image at full resolution goes with that displacement through a
    small local network that corrects it. The saliency is differentiable, so the correction teaches the global
    network too. `Prediction.extras` holds "saliency of fixed", "saliency of moving" (as warped), "joint
    saliency" and "coarse displacement".

    While training, `Prediction.extras` also holds what the coarser levels found, "displacement at 1/8", "1/4"
    and "1/2" of the coarse pair's resolution, on the images' pixels, for losses at every level.

    Parameters
    ----------
    width : float
        Of the published numbers of features, which take 33 million parameters; 0.25 takes two millions.
    side : int
        The longest side of the pair that the global network sees, pixels, at most; a multiple of 8.
    compare : {"", "images", "pyramid"}
        What it sees compared beside the images; see `Comparison`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(self, width: float = 1.0, side: int = 128, compare: Compare = "") -> None:
        if not 0 < width <= 4:
            raise ValueError(f"The width of a JSM network cannot be {width:g}; choose between 0 and 4.")
        if side % STRIDE or side < LEAST:
            raise ValueError(
                f"The coarse side of a JSM network cannot be {side} pixels; "
                f"choose a multiple of {STRIDE} from {LEAST} on."
            )
        super().__init__(2, 1, {"width": width, "side": side, "compare": compare})
        self.side = side
        if compare:
            self.first_side, self.last_side = FIRST_SIDE[2], LAST_SIDE[2]
        self.coarse = GlobalFlow(width, compare)
        layers: list[nn.Module] = []
        before = 1 + 2  # joint saliency and displacement
        for features in (_count(n, width) for n in LOCAL):
            layers.append(_block(before, features, 3))
            before = features
        self.local = nn.Sequential(*layers)
        self.correction = Head(before)

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch of any size and aspect; see `Network.forward`.

        Under autocast the convolutions run in its type; displacements and saliency stay in float32.
        """
        shape = tuple(fixed.shape[2:])
        small = self._small(torch.cat([fixed, moving], 1))
        levels = [_on(flow, shape) for flow in self.coarse(small)]
        found = levels[-1]
        seen = joint_saliency(fixed.float(), warp_batch(moving.float(), found))
        correction = self.correction(self.local(torch.cat([seen.joint, found], 1)))
        extras = {
            "saliency of fixed": seen.fixed,
            "saliency of moving": seen.moving,
            "joint saliency": seen.joint,
            "coarse displacement": found,
        }
        if self.training:
            steps = [2**k for k in range(len(levels) - 1, 0, -1)]
            extras |= {f"displacement at 1/{n}": u for n, u in zip(steps, levels, strict=False)}
        return Prediction(found + correction, extras=extras)

    def with_levels(self, fixed: Tensor, moving: Tensor) -> tuple[Prediction, list[Tensor]]:
        """The answer to a batch, and the coarse displacement before the refined one."""
        answer = self(fixed, moving)
        return answer, [answer.extras["coarse displacement"], answer.displacement]

    def _small(self, pairs: Tensor) -> Tensor:
        """Pairs (B, 2, H, W) with at most `side` pixels along the longest side and almost square ones."""
        shape = pairs.shape[2:]
        factor = max(max(shape) / self.side, 1.0)
        small = [max(1, round(n / factor / STRIDE)) * STRIDE for n in shape]
        # What lies between the coarse pixels is averaged, not skipped.
        window = 2 * int(factor / 2) + 1
        means = box_mean_batch(pairs, window)
        return resize(means, (small[0], small[1]))


class GlobalFlow(nn.Module):
    """FlowNet-S for small images: an encoder, and a decoder that gives a displacement at each of its levels.

    Each level's displacement corrects that of the coarser one, the coarsest that of a pyramid if it sees one.

    Parameters
    ----------
    width : float
        Of the published numbers of features.
    compare : {"", "images", "pyramid"}
        What it sees compared beside the images; see `Comparison`.
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
        seen = self.comparison(pairs[:, :1], pairs[:, 1:])
        x = torch.cat([pairs - 0.5, seen], 1)
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
        return [self.comparison.answer(seen) + flow for flow in found]


class Head(nn.Conv2d):
    """A linear layer from features to a displacement in float32, which starts close to none.

    A leaky unit would shrink negative displacements; half precision would round them.

    Parameters
    ----------
    features : int
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, 2, 3, padding=1)
        nn.init.normal_(self.weight, std=1e-5)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """The displacement (B, 2, H, W) that features (B, C, H, W) tell."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.float())


def _on(flow: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A displacement on other pixels between the same outermost ones, and in those."""
    scale = [(n - 1) / max(m - 1, 1) for n, m in zip(shape, flow.shape[2:], strict=True)]
    return resize(flow, shape) * flow.new_tensor(scale).view(1, 2, 1, 1)


def _doubled(flow: Tensor) -> Tensor:
    """A displacement at twice the resolution, in its pixels."""
    return 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)


def _count(features: int, width: float) -> int:
    return max(1, round(features * width))


def _block(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution and a leaky unit."""
    return _activated(nn.Conv2d(before, after, kernel, stride, kernel // 2))


def _doubling(before: int, after: int) -> nn.Sequential:
    """A transposed convolution to twice the resolution and a leaky unit."""
    return _activated(nn.ConvTranspose2d(before, after, 4, 2, 1))


def _activated(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """The layer, begun so that features keep their scale (He et al., ICCV 2015), and a leaky unit."""
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(layer, nn.LeakyReLU(SLOPE, inplace=True))
