"""Images for the pose search: isotropic, small, with the pixels that may vote."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from ..core.geometry import Array, Grid, Image
from ..images.preprocess import mask_on, unit_range

BASE = 640  # pixels on the long side of the largest image that is processed
OUTLINE = 200  # pixels on the long side at which a border is searched for
DARK = 0.05  # of the maximum: darker pixels around the image are taken as outside
SHARE = 0.93  # a view that covers more than this fraction of the image has no border
STRAIGHT = 0.85  # fraction of a border that a circle and a few lines must explain, if an instrument made it


@dataclass(frozen=True, eq=False)
class PyramidImage:
    """Pixels on an isotropic lattice along the world's axes.

    Parameters
    ----------
    pixels : Tensor, shape (h, w)
        Between 0 and 1.
    mask : Tensor, shape (h, w)
        1 where a pixel may vote, else 0.
    spacing : float
        World units.
    origin : ndarray, shape (2,)
        World position of pixel (0, 0).
    """

    pixels: Tensor
    mask: Tensor
    spacing: float
    origin: Array

    @property
    def to_world(self) -> Array:
        """Homogeneous matrix (3, 3) from pixel to world coordinates."""
        matrix = np.diag([self.spacing, self.spacing, 1.0])
        matrix[:2, 2] = self.origin
        return matrix

    @property
    def extent(self) -> float:
        """Length of the longer side, world units."""
        return self.spacing * max(self.pixels.shape)

    @cached_property
    def half(self) -> PyramidImage:
        """Means of the pixels that vote in 2 x 2 blocks; an odd last row or column is dropped."""
        weight = F.avg_pool2d(self.mask[None, None], 2)
        pixels = F.avg_pool2d((self.pixels * self.mask)[None, None], 2) / weight.clamp_min(1e-3)
        origin = self.origin + self.spacing / 2
        return PyramidImage(pixels[0, 0], (weight[0, 0] > 0.5).float(), 2 * self.spacing, origin)

    def at(self, spacing: float) -> PyramidImage:
        """The image at another spacing, low-passed before it is coarsened."""
        factor = spacing / self.spacing
        if abs(factor - 1) < 1e-6:
            return self
        if factor > 3 and min(self.pixels.shape) > 32:
            return self.half.at(spacing)
        shape = tuple(max(8, round(n / factor)) for n in self.pixels.shape)
        # Both lattices share their outer edges' middle.
        start = [(n - 1) / 2 - (m - 1) / 2 * factor for n, m in zip(self.pixels.shape, shape, strict=True)]
        steps = [torch.arange(m) * factor + s for m, s in zip(shape, start, strict=True)]
        pixels, mask = self.pixels[None, None], self.mask[None, None]
        if factor > 1:
            sigma = 0.5 * (factor**2 - 1) ** 0.5
            weight = blur(mask, sigma)
            pixels = blur(pixels * mask, sigma) / weight.clamp_min(1e-3) * (weight > 1e-3)
            mask = (weight > 0.5).float()
        lattice = torch.stack(torch.meshgrid(*steps, indexing="ij"), -1)[None]
        pixels = sample(pixels, lattice)
        mask = sample(mask, lattice) > 0.99
        origin = self.origin + self.spacing * np.array(start)
        return PyramidImage(pixels[0, 0], mask[0, 0].float(), spacing, origin)


def pyramid_image(image: Image, mask: Image | None, bordered: bool = True) -> PyramidImage:
    """An image prepared for the pose search.

    Parameters
    ----------
    image : Image
        2D, one channel, on any grid.
    mask : Image, optional
        Pixels that are not zero may vote.
    bordered : bool
        Whether an instrument's border may be there.

    Returns
    -------
    PyramidImage
        At most about 640 pixels long. Pixels outside the grid, outside the mask or outside an instrument's
        field of view (see `field_of_view`) do not vote.
    """
    grid = image.grid
    edges = grid.to_world([[a, b] for a in (-0.5, grid.shape[0] - 0.5) for b in (-0.5, grid.shape[1] - 0.5)])
    low, high = edges.min(0), edges.max(0)
    spacing = max(float(grid.spacing.min()), float((high - low).max()) / BASE)
    data, steps = averaged(unit_range(image.data), grid.spacing, spacing)
    shape = tuple(max(8, round(n)) for n in (high - low) / spacing)
    origin = (low + high) / 2 - spacing * (np.array(shape) - 1) / 2
    nodes = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    index = grid.to_index(origin + spacing * nodes.reshape(-1, 2)).reshape(*shape, 2)
    inside = np.all((index > -0.5 - 1e-6) & (index < np.array(grid.shape) - 0.5 + 1e-6), axis=-1)
    index = (index - (np.array(steps) - 1) / 2) / np.array(steps)
    pixels = ndimage.map_coordinates(data, np.moveaxis(index, -1, 0), order=1, mode="nearest")
    voting = inside & field_of_view(pixels) if bordered else inside
    if mask is not None:
        voting &= mask_on(mask, Grid.from_spacing(shape, spacing, origin, units=grid.units)).data
    return PyramidImage(
        torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)),
        torch.from_numpy(voting.astype(np.float32)),
        spacing,
        origin,
    )


def on_dark_ground(image: PyramidImage) -> bool:
    """Whether nearly all of the image's rim votes and is dark, as around a head or a section of tissue."""
    rim = max(2, max(image.pixels.shape) // 50)
    inner = torch.zeros_like(image.mask)
    inner[rim:-rim, rim:-rim] = 1
    dark = (image.pixels < 2 * DARK) & (image.mask > 0)
    return bool(dark[inner == 0].float().mean() > 0.7)


def field_of_view(pixels: Array) -> Array:
    """An instrument's field of view: inside a round border, black corners or padding.

    Parameters
    ----------
    pixels : ndarray, shape (h, w)
        Between 0 and 1.

    Returns
    -------
    ndarray of bool, same shape
        True everywhere, unless the image is dark around one region whose border is made of circles and
        straight lines. The outline of an object (a head, a section of tissue) is none of these: it may vote.
    """
    step = max(pixels.shape) / OUTLINE
    small = ndimage.zoom(pixels, 1 / step, order=1, grid_mode=True, mode="nearest") if step > 1 else pixels
    smooth = ndimage.gaussian_filter(small, 1.0)
    bright = smooth > DARK * smooth.max()
    labels, count = ndimage.label(bright)
    everything = np.ones(pixels.shape, dtype=bool)
    if not count:
        return everything
    largest = labels == 1 + np.argmax(ndimage.sum_labels(bright, labels, np.arange(1, count + 1)))
    view = ndimage.binary_fill_holes(largest)
    if view.mean() > SHARE or not _made_by_instrument(view):
        return everything
    distance = ndimage.distance_transform_edt(view)
    scale = np.array(small.shape) / np.array(pixels.shape)
    index = (np.indices(pixels.shape) + 0.5) * scale[:, None, None] - 0.5
    return ndimage.map_coordinates(distance, index, order=1, mode="nearest") > 2.0


def _made_by_instrument(view: Array) -> bool:
    """Whether nearly all of a region's border lies on one circle or on a few straight lines."""
    border = view & ~ndimage.binary_erosion(view, border_value=1)
    border[:3], border[-3:], border[:, :3], border[:, -3:] = False, False, False, False
    points = np.argwhere(border).astype(float)
    if len(points) < 20:
        return True  # cut by the image's own edges alone
    left = np.ones(len(points), dtype=bool)
    rng = np.random.default_rng(0)
    explained = 0
    for fit, size, tries in ((_circle, 3, 300), *((_line, 2, 100),) * 4):
        rest = points[left]
        if len(rest) < 5:
            break
        hits = [fit(rest[rng.choice(len(rest), size, replace=False)], rest) for _ in range(tries)]
        best = max(hits, key=np.count_nonzero)
        found = int(np.count_nonzero(best))
        if found < 0.04 * len(points):
            break
        explained += found
        left[np.flatnonzero(left)[best]] = False
    return explained > STRAIGHT * len(points)


def _circle(three: Array, points: Array) -> Array:
    """Which points lie on the circle through three of them (a large one, not a chance arc)."""
    system = np.c_[2 * three, np.ones(3)]
    if abs(np.linalg.det(system)) < 1.0:
        return np.zeros(len(points), dtype=bool)
    *centre, rest = np.linalg.solve(system, (three**2).sum(1))
    radius = np.sqrt(max(rest + centre[0] ** 2 + centre[1] ** 2, 0.0))
    return np.abs(np.hypot(*(points - centre).T) - radius) < 1.5


def _line(two: Array, points: Array) -> Array:
    """Which points lie on the line through two of them."""
    along = two[1] - two[0]
    normal = np.array([-along[1], along[0]]) / np.hypot(*along)
    return np.abs((points - two[0]) @ normal) < 1.0


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian low-pass of (n, c, h, w), zero outside."""
    return _along(_along(x, _gauss(sigma, x), 2), _gauss(sigma, x), 3)


def _gauss(sigma: float, like: Tensor) -> Tensor:
    """A sampled Gaussian of unit sum."""
    radius = max(1, int(3 * sigma + 0.5))
    t = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    kernel = torch.exp(-0.5 * (t / sigma) ** 2)
    return kernel / kernel.sum()


def _along(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Correlate (n, c, h, w) with a kernel along one axis, zero outside."""
    n, c, h, w = x.shape
    radius = len(kernel) // 2
    shape, padding = ((-1, 1), (radius, 0)) if axis == 2 else ((1, -1), (0, radius))
    y = F.conv2d(x.reshape(n * c, 1, h, w), kernel.reshape(1, 1, *shape), padding=padding)
    return y.reshape(n, c, h, w)


def sample(x: Tensor, index: Tensor) -> Tensor:
    """Values of (1, c, h, w) at (row, column) positions (n, ..., 2), linear, 0 outside: (n, c, ...)."""
    h, w = x.shape[2:]
    n, rest = len(index), index.shape[1:-1]
    size = torch.tensor([w, h], dtype=x.dtype, device=x.device)
    grid = (2 * index.flip(-1).to(x.dtype) + 1) / size - 1
    values = F.grid_sample(x, grid.reshape(1, n, -1, 2), padding_mode="zeros", align_corners=False)
    return values[0].reshape(x.shape[1], n, *rest).transpose(0, 1)


def averaged(data: Array, spacing: Array, target: float) -> tuple[Array, tuple[int, ...]]:
    """Means over whole blocks that bring the spacing near the target; the blocks' sizes too."""
    steps = tuple(max(1, min(int(target / s + 1e-6), n)) for s, n in zip(spacing, data.shape, strict=True))
    if steps == (1, 1):
        return data, steps
    a, b = (n // s for n, s in zip(data.shape, steps, strict=True))
    block = data[: a * steps[0], : b * steps[1]].reshape(a, steps[0], b, steps[1])
    return block.mean(axis=(1, 3)), steps
