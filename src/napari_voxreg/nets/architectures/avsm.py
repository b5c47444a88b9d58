"""Iterated affine steps, then a smooth momentum field: AVSM (Shen, Han, Xu, Niethammer, CVPR 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor import affine as affines
from ...tensor.correlation import FIRST_SIDE, LAST_SIDE
from ...tensor.warp import resize, warp_batch
from .affine import AffineHead, he_init
from .cost_volume import STRIDE, Compare, MatchingChannels
from .network import Network, Prediction, conv
from .vsvf import advect, extent, momentum_of, smooth, transport


class AffineNet(nn.Module):
    """One step: two images (B, 1, *shape) to an affine map (B, d, d + 1) in pixels about their centre.

    Parameters
    ----------
    ndim : int
        2 or 3.
    width : int
        Features of the first layer, which both images share; 16 in the paper.
    compare : {"", "images", "pyramid"}
        Additional input channels; see `MatchingChannels`.
    """

    def __init__(self, ndim: int, width: int = 16, compare: Compare = "") -> None:
        super().__init__()
        self.comparison = MatchingChannels(ndim, compare)
        pool = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
        two, few = 2 * width, max(width // 4, 1)
        self.shared = nn.Sequential(conv(ndim)(1, width, 3, padding=1), nn.ReLU())
        # ceil_mode: even the smallest images keep a pixel.
        layers: list[nn.Module] = [pool(2, ceil_mode=True)]
        seen = two + self.comparison.channels
        for before, after, stride in ((seen, two, 1), (two, two, 2), (two, two, 1)):
            layers += [conv(ndim)(before, after, 3, stride, 1), nn.ReLU()]
        layers += [pool(2, ceil_mode=True)]
        for before, after, stride in ((two, two, 1), (two, width, 2), (width, width, 1), (width, few, 2)):
            layers += [conv(ndim)(before, after, 3, stride, 1), nn.ReLU()]
        self.joint = nn.Sequential(*layers)
        self.head = AffineHead(ndim, few)
        self.apply(he_init)

    def forward(self, fixed: Tensor, warped: Tensor) -> Tensor:
        """Affine map that remains between the fixed and the warped image."""
        both = torch.cat([self.shared(fixed), self.shared(warped)], 1)
        both = self.comparison.append_to(both, fixed, warped)
        return self.head(self.joint(both), tuple(fixed.shape[2:]))


class AffineSteps(Network):
    """One small network applied repeatedly, each time to the original moving image warped by the map so far.

    Parameters
    ----------
    ndim : int
        2 or 3.
    width : int
        Features of the first layer.
    steps : int
        Number of steps; the attribute may be set at any time (the paper trains 3 and uses 7).
    compare : {"", "images", "pyramid"}
        Additional input channels; see `MatchingChannels`.
    """

    def __init__(self, ndim: int = 2, width: int = 16, steps: int = 3, compare: Compare = "") -> None:
        arguments = {"ndim": ndim, "width": width, "steps": steps, "compare": compare}
        super().__init__(ndim, STRIDE if compare else 1, arguments)
        self.step = AffineNet(ndim, width, compare)
        self.steps = steps
        self.decaying_affine_penalty = True

    def trajectory(self, fixed: Tensor, moving: Tensor) -> list[Tensor]:
        """The map (B, d, d + 1) after each step.

        Raises
        ------
        ValueError
            If `steps` is less than 1.
        """
        if self.steps < 1:
            raise ValueError(f"An affine network takes 1 step or more, not {self.steps}.")
        shape = tuple(fixed.shape[2:])
        maps = [self.step(fixed, moving)]
        while len(maps) < self.steps:
            warped = warp_batch(moving, affines.displacement(maps[-1], shape))
            maps.append(affines.compose(maps[-1], self.step(fixed, warped)))
        return maps

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch (B, 1, *shape).

        Extras hold ``step_1``, ``step_2``, ...: the displacement after each step but the last.
        """
        shape = tuple(fixed.shape[2:])
        maps = self.trajectory(fixed, moving)
        fields = [affines.displacement(each, shape) for each in maps]
        extras = {f"step_{k}": field for k, field in enumerate(fields[:-1], 1)}
        return Prediction(fields[-1], affine=maps[-1], extras=extras)


class MomentumNet(nn.Module):
    """Two images (B, 1, *shape) to a momentum (B, d, *half), in fractions of the images' sides.

    Parameters
    ----------
    ndim : int
        2 or 3.
    width : int
        Features of the first layer; 16 in the paper (5.94 million parameters in 3D).
    compare : {"", "images", "pyramid"}
        Additional input channels; see `MatchingChannels`.
    residual : bool
        Whether the layers add to the momentum of the pyramid's displacement; see `AVSM`.
    """

    def __init__(self, ndim: int, width: int = 16, compare: Compare = "", residual: bool = False) -> None:
        super().__init__()
        self.comparison = MatchingChannels(ndim, compare)
        self.residual = residual
        seen = 2 + self.comparison.channels
        layer = conv(ndim)
        up = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
        w = [width * 2**k for k in range(5)]
        self.first = layer(seen, w[0], 3, padding=1)
        self.down = nn.ModuleList(layer(w[k], w[k + 1], 3, 2, 1) for k in range(4))
        counts = zip(w[1:], (2, 2, 2, 1), strict=True)
        self.inner = nn.ModuleList(
            nn.Sequential(*[part for _ in range(n) for part in (layer(c, c, 3, padding=1), nn.ReLU())])
            for c, n in counts
        )
        self.up = nn.ModuleList((up(w[4], w[3], 2, 2), up(w[3], w[2], 2, 2)))
        self.merge = nn.ModuleList((layer(2 * w[3], w[3], 3, padding=1), layer(2 * w[2], w[1], 3, padding=1)))
        self.refine = nn.ModuleList(layer(n, n, 3, padding=1) for n in (w[3], w[1]))
        self.widen = up(w[1], w[1], 2, 2)
        self.last = layer(2 * w[1], w[0], 3, padding=1)
        self.out = layer(w[0], ndim, 3, padding=1)
        self.apply(he_init)
        nn.init.normal_(self.out.weight, std=1e-3)

    def forward(self, fixed: Tensor, warped: Tensor) -> Tensor:
        """Momentum that deforms the warped image into the fixed one."""
        images = torch.cat([fixed, warped], 1)
        images = self.comparison.append_to(images, fixed, warped)
        found = self._layers(images)
        if not self.residual:
            return found
        matched = self.comparison.displacement(images[:, 2:])
        with torch.autocast(fixed.device.type, enabled=False):
            return found + _momentum_along(matched, tuple(found.shape[2:]))

    def _layers(self, images: Tensor) -> Tensor:
        """What the layers make of the images and the channels beside them."""
        x = F.relu(self.first(images))
        levels = []
        for down, inner in zip(self.down, self.inner, strict=True):
            x = F.relu(down(x))
            x = x + inner(x)
            levels.append(x)
        half, *skips = levels[:3]
        for up, merge, refine, skip in zip(self.up, self.merge, self.refine, skips[::-1], strict=True):
            x = F.relu(merge(torch.cat([skip, F.relu(up(x))], 1)))
            x = x + F.relu(refine(x))
        # No ReLU from here on: a momentum has a sign.
        return self.out(self.last(torch.cat([half, F.relu(self.widen(x))], 1)))


def _momentum_along(displacement: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Momentum (B, d, *shape) whose flow is nearly a displacement (B, d, *full) in pixels."""
    # Halfway along its path a point has the velocity with which it goes all the way.
    velocity = -warp_batch(displacement, -displacement / 2)
    return momentum_of(resize(velocity / extent(tuple(displacement.shape[2:]), displacement), shape))


class AVSM(Network):
    """An affine map in steps, then the flow of a smoothed momentum.

    Parameters
    ----------
    ndim : int
        2 or 3.
    width : int
        Features of the momentum network's first layer; 16 in the paper.
    affine_width : int
        Features of the affine network's first layer.
    steps : int
        Affine steps; ``net.affine.steps`` may be set at any time.
    compare : {"", "images", "pyramid"}
        Additional input channels; see `MatchingChannels`.
    residual : bool
        Whether the momentum network adds to the momentum of the displacement that a pyramid finds, instead of
        only seeing that. K weakens fine detail a thousandfold, so layers alone never learn a momentum large
        enough for the detail that their own input shows.

    Raises
    ------
    ValueError
        If it is `residual` without a pyramid.
    """

    def __init__(
        self,
        ndim: int = 2,
        width: int = 8,
        affine_width: int = 16,
        steps: int = 3,
        compare: Compare = "",
        residual: bool = False,
    ) -> None:
        if residual and compare != "pyramid":
            raise ValueError("A residual momentum adds to that of a pyramid; set compare to 'pyramid'.")
        arguments = {
            "ndim": ndim,
            "width": width,
            "affine_width": affine_width,
            "steps": steps,
            "compare": compare,
            "residual": residual,
        }
        super().__init__(ndim, 16, arguments)
        self.affine = AffineSteps(ndim, affine_width, steps, compare)
        self.momentum = MomentumNet(ndim, width, compare, residual)
        if compare:
            self.first_side, self.last_side = FIRST_SIDE[ndim], LAST_SIDE[ndim]

    @property
    def affine_part(self) -> AffineSteps:
        """The affine network."""
        return self.affine

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch (B, 1, *shape), sides multiples of 16.

        Extras: ``affine_displacement`` and ``affine_warped`` of the affine part alone; ``momentum`` and
        ``velocity`` v of phi_t + Dphi v = 0, in pixels, at the images' size. The displacement is the affine
        map after the flow of -v, so it is not the flow of a velocity alone.
        """
        return self._flow(fixed, moving, self.affine.trajectory(fixed, moving)[-1])

    def later_pass(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch as `forward` does, but without the affine part."""
        eye = torch.eye(self.ndim, self.ndim + 1, device=fixed.device).expand(len(fixed), -1, -1)
        return self._flow(fixed, moving, eye)

    def _flow(self, fixed: Tensor, moving: Tensor, affine: Tensor) -> Prediction:
        """Deform what remains after an affine map (B, d, d + 1), and compose both."""
        shape = tuple(fixed.shape[2:])
        half = tuple(n // 2 for n in shape)
        sides = extent(shape, fixed)
        start = affines.displacement(affine, shape)
        warped = warp_batch(moving, start)
        momentum = self.momentum(fixed, warped).float()
        with torch.autocast(fixed.device.type, enabled=False):
            velocity = smooth(momentum)
            nodes = extent(half, fixed)
            moved = advect(resize(start, half) / sides * nodes, velocity * nodes)
        extras = {
            "affine_displacement": start,
            "affine_warped": warped,
            "momentum": resize(momentum, shape) * sides,
            "velocity": resize(velocity, shape) * sides,
        }
        return Prediction(resize(moved / nodes, shape) * sides, affine=affine, extras=extras)

    def inverse(self, prediction: Prediction) -> Tensor:
        """Inverse of a prediction, from the moving to the fixed image: (B, d, *shape) in pixels.

        Raises
        ------
        ValueError
            If the prediction has no affine part or no velocity.
        """
        velocity = prediction.extras.get("velocity")
        if prediction.affine is None or velocity is None:
            raise ValueError("The prediction lacks an affine part or a velocity; pass one made by AVSM.")
        shape = tuple(velocity.shape[2:])
        half = tuple(n // 2 for n in shape)
        scale = extent(half, velocity) / extent(shape, velocity)
        start = affines.displacement(affines.invert(prediction.affine), shape)
        moved = transport(resize(start, half) * scale, resize(velocity, half) * scale)
        return resize(moved / scale, shape)
