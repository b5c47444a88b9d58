"""What two modalities have in common: the orientation of edges and ridges, whatever their contrast."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .pyramid_image import blur

NORMAL = 8.0  # pixels: width of the window of local normalisation
FLOOR = 0.02  # local deviations below this fraction of the full range are noise
EDGE, RIDGE = 1.0, 1.6  # pixels: scales of the two filters
MARGIN = 3  # pixels beside the mask's border whose derivatives would mix in what lies outside


def channels(pixels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Orientation of edges and ridges at each pixel, free of polarity, in double-angle form.

    An image is normalised in local windows. The gradient and the second derivative across the strongest line
    are vectors of twice their angle, so that bright on dark and dark on bright are the same (Granlund and
    Knutsson, Signal Processing for Computer Vision, 1995). They are smoothed and divided by their length.

    Parameters
    ----------
    pixels, mask : Tensor, shape (n, 1, h, w)
        Intensities between 0 and 1, and 1 where a pixel may vote.

    Returns
    -------
    Tensor, shape (n, 2, h, w)
        Cosine and sine of twice the angle (from the row axis towards the column axis), times how strongly
        the pixel is oriented, 0 to 1; 0 outside the mask.
    Tensor, shape (n, 1, h, w)
        The mask without the pixels whose derivatives reach beyond it.
    """
    flat = normalised(pixels, mask)
    inner = shrunk(mask, MARGIN)
    row, column = _gradient(blur(flat, EDGE))
    length = torch.sqrt(row**2 + column**2 + 1e-12)
    z = torch.cat([row**2 - column**2, 2 * row * column], 1) / length
    smooth = blur(flat, RIDGE)
    row, column = _gradient(smooth)
    rr, rc = _gradient(row)
    _, cc = _gradient(column)
    mean, curvature = (rr + cc) / 2, torch.cat([(rr - cc) / 2, rc], 1)
    strength = _length(curvature)
    # A ridge is curved along one axis only; a saddle, curved along both, has no orientation.
    z = z + RIDGE * curvature * (mean / strength).clamp(-1, 1)
    z = blur(z * inner, 0.8)
    length = _length(z)
    level = _typical(length, inner)
    return z / (length + 0.35 * level + 1e-6) * inner, inner


def normalised(pixels: Tensor, mask: Tensor, sigma: float = NORMAL) -> Tensor:
    """Subtract the local mean and divide by the local deviation, both inside the mask; 0 outside it."""
    weight = blur(mask, sigma).clamp_min(1e-3)
    mean = blur(pixels * mask, sigma) / weight
    variance = blur(pixels**2 * mask, sigma) / weight - mean**2
    return (pixels - mean) * mask / (variance.clamp_min(0).sqrt() + FLOOR)


def shrunk(mask: Tensor, margin: int) -> Tensor:
    """The mask without the pixels closer than `margin` to its border or to the image's edge."""
    outside = F.pad(1 - mask, (1, 1, 1, 1), value=1.0)
    size = 2 * margin + 1
    grown = F.max_pool2d(F.max_pool2d(outside, (size, 1), 1, (margin, 0)), (1, size), 1, (0, margin))
    return 1 - grown[..., 1:-1, 1:-1]


def _gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along rows and columns, one-sided at the edge."""
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return (p[..., 2:, 1:-1] - p[..., :-2, 1:-1]) / 2, (p[..., 1:-1, 2:] - p[..., 1:-1, :-2]) / 2


def _length(z: Tensor) -> Tensor:
    """Lengths of the vectors (n, 2, h, w) as (n, 1, h, w)."""
    return torch.sqrt(z[:, :1] ** 2 + z[:, 1:] ** 2 + 1e-12)


def _typical(length: Tensor, mask: Tensor) -> Tensor:
    """The strength of a clear edge in each image: root mean square inside the mask."""
    total = mask.sum((1, 2, 3), keepdim=True).clamp_min(1)
    return 2 * torch.sqrt((length**2 * mask).sum((1, 2, 3), keepdim=True) / total)
