"""Networks that predict one affine map: a spatial transformer and a feature detector."""

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

CELLS = 4  # along each axis, to which features are averaged before the fully connected layers
RIDGE = 1e-4  # in squared half sides: points that spread less than its root do not count
DAMPING = 1e-4  # of the inverse, which is unbounded without it


def he_init(module: nn.Module) -> None:
    """Initialise a convolution so that signals keep their variance through ReLUs (He et al., ICCV 2015)."""
    if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class AffineHead(nn.Module):
    """Features (B, channels, *any) to an affine map, near the identity before training.

    Translations are predicted in units of half the images' longest side, so that one network serves any size.
    """

    def __init__(self, ndim: int, channels: int, hidden: int = 32) -> None:
        super().__init__()
        self.ndim = ndim
        self.hidden = nn.Linear(channels * CELLS**ndim, hidden)
        self.out = nn.Linear(hidden, ndim * (ndim + 1))
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Affine map (B, d, d + 1) in pixels of images of `shape`."""
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
        # ceil_mode: even the smallest images keep a pixel.
        layers += [conv(ndim)(before, after, 3, padding=1), nn.ReLU(), pool(2, ceil_mode=True)]
    return nn.Sequential(*layers)


class STN(Network):
    """Spatial transformer: a small network predicts the map from both images (Jaderberg et al., NIPS 2015).

    Parameters
    ----------
    ndim : int
        2 or 3.
    width : int
        Features of the first layer; the other three have twice as many.
    compare : {"", "images", "pyramid"}
        Additional input channels; see `MatchingChannels`.
    """

    def __init__(self, ndim: int = 2, width: int = 16, compare: Compare = "") -> None:
        stride = STRIDE if compare else 1
        super().__init__(ndim, stride, {"ndim": ndim, "width": width, "compare": compare})
        self.comparison = MatchingChannels(ndim, compare)
        count = 2 + self.comparison.channels
        self.localise = encoder(ndim, [count, width, 2 * width, 2 * width, 2 * width]).apply(he_init)
        self.head = AffineHead(ndim, 2 * width)

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch (B, 1, *shape); the displacement is the affine map's."""
        shape = tuple(fixed.shape[2:])
        images = torch.cat([fixed, moving], 1)
        images = self.comparison.append_to(images, fixed, moving)
        affine = self.head(self.localise(images), shape)
        return Prediction(displacement(affine, shape), affine=affine)


class TutorialSTN(Network):
    """The spatial transformer of PyTorch's tutorial, with both images as channels.

    Convolutions of 7 and 5 pixels, each followed by pooling and ReLU, then two fully connected layers. Its
    3 x 3 features belong to images of 28 pixels a side; those of other images are averaged to as many.

    Parameters
    ----------
    ndim : int
        2 or 3.
    """

    SMALLEST, FEATURES, HIDDEN = 28, 3, 32

    def __init__(self, ndim: int = 2) -> None:
        super().__init__(ndim, 1, {"ndim": ndim})
        pool = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
        layer = conv(ndim)
        parts: list[nn.Module]
        parts = [layer(2, 8, 7), pool(2), nn.ReLU(), layer(8, 10, 5), pool(2), nn.ReLU()]
        self.localization = nn.Sequential(*parts)
        self.hidden = nn.Linear(10 * self.FEATURES**ndim, self.HIDDEN)
        self.out = nn.Linear(self.HIDDEN, ndim * (ndim + 1))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch (B, 1, *shape); the displacement is the affine map's."""
        shape, d = tuple(fixed.shape[2:]), self.ndim
        missing = [max(self.SMALLEST - n, 0) for n in shape]
        images = F.pad(
            torch.cat([fixed, moving], 1), [side for n in reversed(missing) for side in (n // 2, n - n // 2)]
        )
        pool = nn.AdaptiveAvgPool2d if d == 2 else nn.AdaptiveAvgPool3d
        features = pool(self.FEATURES)(self.localization(images).float()).flatten(1)
        with torch.autocast(fixed.device.type, enabled=False):
            change = self.out(F.relu(self.hidden(features))).unflatten(1, (d, d + 1))
        length = change.new_tensor([1.0] * d + [half_side(shape)])
        affine = identities(len(change), d, change) + change * length
        return Prediction(displacement(affine, shape), affine=affine)


class DetectorAffine(Network):
    """Detects the same features in both images and fits the map between them.

    Each feature map gives one point, its barycentre, weighted by its strength in both images
    (Hoffmann, Hoopes, Greve, Fischl, Dalca, Imaging Neuroscience 2, 2024).

    Parameters
    ----------
    ndim : int
        2 or 3.
    width : int
        Features of the hidden layers; 256 in the paper.
    features : int
        Number of feature maps, that is, of points.
    levels : int
        Halvings of the images; 4 in the paper.
    """

    def __init__(self, ndim: int = 2, width: int = 32, features: int = 64, levels: int = 3) -> None:
        arguments = {"ndim": ndim, "width": width, "features": features, "levels": levels}
        super().__init__(ndim, 2**levels, arguments)
        layers: list[nn.Module] = [encoder(ndim, [1] + [width] * levels)]
        for _ in range(4):
            layers += [conv(ndim)(width, width, 3, padding=1), nn.ReLU()]
        layers += [conv(ndim)(width, features, 3, padding=1), nn.ReLU()]
        self.detector = nn.Sequential(*layers).apply(he_init)

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch (B, 1, *shape); the displacement is the affine map's."""
        shape = tuple(fixed.shape[2:])
        maps = self.detector(torch.cat([fixed, moving]))
        first, second = maps.chunk(2)
        affine = affine_between(first, second, self.stride, half_side(shape))
        return Prediction(displacement(affine, shape), affine=affine)


def affine_between(fixed: Tensor, moving: Tensor, spacing: float, length: float) -> Tensor:
    """Affine map (B, d, d + 1) in pixels between two stacks of feature maps.

    Weighted least squares from fixed to moving, averaged with the inverse of the fit from moving to fixed, so
    that neither image is favoured. With fewer or closer points, the map stays closer to the identity.

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
    forward, backward = _fit(p, q, weight), _fit(q, p, weight)
    # X minimises |A X - 1|^2 + damping |X - 1|^2: the inverse, bounded even where A is singular.
    one = torch.eye(d, dtype=p.dtype, device=p.device)
    matrix = backward[:, :, :d]
    square = matrix.mT @ matrix + DAMPING * one
    inverse = torch.linalg.solve(square, matrix.mT + DAMPING * one)
    opposite = torch.cat([inverse, -inverse @ backward[:, :, d:]], 2)
    return (forward + opposite) / 2 * p.new_tensor([1.0] * d + [length])


def barycentres(maps: Tensor, spacing: float = 1.0) -> tuple[Tensor, Tensor]:
    """Barycentres of feature maps (B, K, *coarse), and each map's fraction of the total.

    Returns
    -------
    points : Tensor, shape (B, K, d)
        About the maps' centre; the centre itself for empty maps.
    power : Tensor, shape (B, K)
        Fractions of the sum over all features; all 0 where all maps are empty.
    """
    shape = tuple(maps.shape[2:])
    centre = maps.new_tensor([(n - 1) / 2 for n in shape])
    nodes = (identity(shape, maps).flatten(1).T - centre) * spacing
    flat = maps.flatten(2)
    mass = flat.mean(2)
    points = (flat @ nodes) / (flat.sum(2, keepdim=True) + 1e-6)
    return points, mass / (mass.sum(1, keepdim=True) + 1e-6)


def _fit(source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Ridge regression of target - source (B, K, d) on source: a map (B, d, d + 1) near the identity."""
    d = source.shape[2]
    x = F.pad(source, (0, 1), value=1.0)
    weighted = (x * weight[:, :, None]).mT
    normal = weighted @ x + RIDGE * torch.eye(d + 1, dtype=x.dtype, device=x.device)
    change = torch.linalg.solve(normal, weighted @ (target - source)).mT
    return identities(len(x), d, x) + change
