"""Networks that answer with one affine map: a spatial transformer, and one that detects features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...tensor.affine import displacement, half_side, identities
from ...tensor.warp import identity
from .cost_volume import STRIDE, Compare, MatchingChannels
from .network import Network, Prediction, conv

CELLS = 4  # a side, to which features of any size are averaged before fully connected layers
RIDGE = 1e-4  # of a squared half side: points that spread less than its root tell nothing
DAMPING = 1e-4  # of the inverse, which else has no bound


def awake(module: nn.Module) -> None:
    """Start a convolution so that signals keep their size through ReLUs (He et al., ICCV 2015)."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class AffineHead(nn.Module):
    """Features (B, channels, *any) to an affine map, near the identity before training.

    It is predicted with shifts in half the images' longest side, so that one network serves any size.
    """

    def __init__(self, ndim: int, channels: int, hidden: int = 32) -> None:
        super().__init__()
        self.ndim = ndim
        self.hidden = nn.Linear(channels * CELLS**ndim, hidden)
        self.out = nn.Linear(hidden, ndim * (ndim + 1))
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The map (B, d, d + 1) in pixels of images of `shape`."""
        d = self.ndim
        pool = nn.AdaptiveAvgPool2d if d == 2 else nn.AdaptiveAvgPool3d
        with torch.autocast(features.device.type, enabled=False):
            flat = pool(CELLS)(features.float()).flatten(1)
            change = self.out(F.relu(self.hidden(flat))).unflatten(1, (d, d + 1))
        length = change.new_tensor([1.0] * d + [half_side(shape)])
        return identities(len(change), d, change) + change * length


def encoder(ndim: int, widths: Sequence[int]) -> nn.Sequential:
    """Convolution, ReLU and pooling by 2 for each pair of neighbours in `widths`."""
    pool = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        # ceil_mode: the smallest images still have a pixel left at the end.
        layers += [conv(ndim)(before, after, 3, padding=1), nn.ReLU(), pool(2, ceil_mode=True)]
    return nn.Sequential(*layers)


class STN(Network):
    """Spatial transformer: a small network sees both images and names the map (Jaderberg et al., NIPS 2015).

    Parameters
    ----------
    ndim : int
        2 or 3.
    width : int
        Features of the first layer; the other three have twice as many.
    compare : {"", "images", "pyramid"}
        What it sees compared beside the images; see `Comparison`.
    """

    def __init__(self, ndim: int = 2, width: int = 16, compare: Compare = "") -> None:
        stride = STRIDE if compare else 1
        super().__init__(ndim, stride, {"ndim": ndim, "width": width, "compare": compare})
        self.comparison = MatchingChannels(ndim, compare)
        count = 2 + self.comparison.channels
        self.localise = encoder(ndim, [count, width, 2 * width, 2 * width, 2 * width]).apply(awake)
        self.head = AffineHead(ndim, 2 * width)

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch (B, 1, *shape); the displacement is the affine map's."""
        shape = tuple(fixed.shape[2:])
        images = torch.cat([fixed, moving], 1)
        images = self.comparison.beside(images, fixed, moving)
        affine = self.head(self.localise(images), shape)
        return Prediction(displacement(affine, shape), affine=affine)


class DetectorAffine(Network):
    """Finds the same features in both images, and the map that leads from the ones to the others.

    Each feature map counts as one point, its barycentre, weighed by how strongly both images show it
    (Hoffmann, Hoopes, Greve, Fischl, Dalca, Imaging Neuroscience 2, 2024).

    Parameters
    ----------
    ndim : int
        2 or 3.
    width : int
        Features of the hidden layers; 256 in the paper.
    features : int
        Feature maps, that is, points.
    levels : int
        How often the images are halved; 4 in the paper.
    """

    def __init__(self, ndim: int = 2, width: int = 32, features: int = 64, levels: int = 3) -> None:
        arguments = {"ndim": ndim, "width": width, "features": features, "levels": levels}
        super().__init__(ndim, 2**levels, arguments)
        layers: list[nn.Module] = [encoder(ndim, [1] + [width] * levels)]
        for _ in range(4):
            layers += [conv(ndim)(width, width, 3, padding=1), nn.ReLU()]
        layers += [conv(ndim)(width, features, 3, padding=1), nn.ReLU()]
        self.detector = nn.Sequential(*layers).apply(awake)

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch (B, 1, *shape); the displacement is the affine map's."""
        shape = tuple(fixed.shape[2:])
        maps = self.detector(torch.cat([fixed, moving]))
        first, second = maps.chunk(2)
        affine = between(first, second, self.stride, half_side(shape))
        return Prediction(displacement(affine, shape), affine=affine)


def between(fixed: Tensor, moving: Tensor, spacing: float, length: float) -> Tensor:
    """The affine map (B, d, d + 1) in pixels between two stacks of feature maps.

    Weighted least squares from fixed to moving, averaged with the inverse of the same from moving to fixed,
    so that neither image is favoured. The fewer and the nearer to each other the points are, the more the
    map stays at the identity.

    Parameters
    ----------
    fixed, moving : Tensor, shape (B, features, *coarse)
        Not negative.
    spacing : float
        Of the maps' nodes, pixels.
    length : float
        Half the images' side, pixels.
    """
    (p, power), (q, other) = (barycentres(maps, spacing / length) for maps in (fixed, moving))
    weight = power * other
    weight = weight / (weight.sum(1, keepdim=True) + 1e-6 / weight.shape[1])
    d = p.shape[2]
    there, back = _fit(p, q, weight), _fit(q, p, weight)
    # X minimises |A X - 1|^2 + damping |X - 1|^2: the inverse, bounded even where A is singular.
    one = torch.eye(d, dtype=p.dtype, device=p.device)
    matrix = back[:, :, :d]
    square = matrix.mT @ matrix + DAMPING * one
    inverse = torch.linalg.solve(square, matrix.mT + DAMPING * one)
    opposite = torch.cat([inverse, -inverse @ back[:, :, d:]], 2)
    return (there + opposite) / 2 * p.new_tensor([1.0] * d + [length])


def barycentres(maps: Tensor, spacing: float = 1.0) -> tuple[Tensor, Tensor]:
    """Where feature maps (B, K, *coarse) have their weight, and how much of the image's.

    Returns
    -------
    points : Tensor, shape (B, K, d)
        About the maps' middle; the middle itself for empty maps.
    power : Tensor, shape (B, K)
        Parts of the total over the features; all 0 where all maps are empty.
    """
    shape = tuple(maps.shape[2:])
    middle = maps.new_tensor([(n - 1) / 2 for n in shape])
    places = (identity(shape, maps).flatten(1).T - middle) * spacing
    flat = maps.flatten(2)
    mass = flat.mean(2)
    points = (flat @ places) / (flat.sum(2, keepdim=True) + 1e-6)
    return points, mass / (mass.sum(1, keepdim=True) + 1e-6)


def _fit(source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Ridge regression of target - source (B, K, d) on source: a map (B, d, d + 1) drawn to the identity."""
    d = source.shape[2]
    x = F.pad(source, (0, 1), value=1.0)
    weighed = (x * weight[:, :, None]).mT
    normal = weighed @ x + RIDGE * torch.eye(d + 1, dtype=x.dtype, device=x.device)
    change = torch.linalg.solve(normal, weighed @ (target - source)).mT
    return identities(len(x), d, x) + change
