"""Linear motion of one image against another of the same kind: phase correlation, then Gauss-Newton.

Meant for the many images of a movie or a stack, where a general method takes too long. Phase correlation of
small copies (Kuglin, Hines, 1975) proposes positions. The inverse compositional algorithm (Baker, Matthews,
IJCV 56, 2004) refines the best from coarse to fine; gain and offset of the brightness are free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal, get_args

import numpy as np
from scipy import fft
from scipy.linalg import cho_factor, cho_solve, expm

from ...core.geometry import Array, Grid
from ...transforms.fields import gradient

Kind = Literal["translation", "rigid", "similarity", "affine"]
KINDS: tuple[Kind, ...] = get_args(Kind)
COARSE = {2: 128, 3: 48}  # pixels of the longest side, at most, of the copies on which the position is found
LEAST_SIDE = 8  # pixels of the shortest side of any copy
STEPS = 25  # of Gauss-Newton at each level, at most
STILL = 0.01  # pixels of the level by which a corner moves in the last step
LEAST_OVERLAP = 0.2  # fraction of the pixels that both images must show
FLAT = 1e-12  # variance below which an image shows nothing
SOFT = 1.0  # pixels, of the Gaussian before gradients are taken
PEAKS = 2  # of each correlation that are tried
FARTHEST = 0.5  # of the side that a small copy may be displaced


@dataclass(frozen=True, eq=False)
class Match:
    """Where an image lies against a template.

    Parameters
    ----------
    matrix : ndarray, shape (d + 1, d + 1)
        From world points of the template to world points of the image.
    correlation : float
        Of the pixels that both show, -1 to 1.
    overlap : float
        The fraction of the template's pixels that the image shows.
    """

    matrix: Array
    correlation: float
    overlap: float


class Template:
    """An image to which others of the same grid are aligned; made once, used for all of them.

    Parameters
    ----------
    pixels : ndarray
        Finite, float32, the shape of `grid`.
    grid : Grid
        Of this image and of all that are aligned to it.
    kind : {"translation", "rigid", "similarity", "affine"}
        The motion that is looked for.
    finest : int
        The pixels of the finest copy that is used are so many pixels wide; a power of two.
    """

    def __init__(self, pixels: Array, grid: Grid, kind: Kind, finest: int = 1) -> None:
        self.grid, self.kind, self.finest = grid, kind, finest
        self.mean, self.scale = float(pixels.mean()), float(pixels.std()) or 1.0
        self.levels = [_Level(copy, on, kind) for copy, on in copies(self._scaled(pixels), grid, finest)]

    def align(self, pixels: Array, initial: Sequence[Array] = (), *, search: bool = True) -> Match:
        """Find where an image lies.

        Parameters
        ----------
        pixels : ndarray
            Finite, float32, the shape of the grid.
        initial : sequence of ndarray, shape (d + 1, d + 1)
            Matrices from which the best is refined, with what phase correlation proposes.
        search : bool
            Whether phase correlation proposes anything; else the first initial matrix is refined.
        """
        ready = [_softened(copy) for copy, _ in copies(self._scaled(pixels), self.grid, self.finest)]
        d = self.grid.ndim
        coarse = self.levels[-1]
        proposed = [*initial, np.eye(d + 1)]
        if search:
            proposed += coarse.proposals(ready[-1])
            found = max((coarse.measured(ready[-1], m) for m in proposed), key=_worth)
        else:
            found = coarse.measured(ready[-1], proposed[0])
        for level, copy in zip(reversed(self.levels), reversed(ready), strict=True):
            found = level.refined(copy, found.matrix)
        return found

    def _scaled(self, pixels: Array) -> Array:
        """About zero and of about unit variance: sums over millions of pixels are made in float32."""
        return (pixels - np.float32(self.mean)) * np.float32(1 / self.scale)


class _Level:
    """A template at one resolution, with its gradients along each parameter of the motion."""

    def __init__(self, pixels: Array, grid: Grid, kind: Kind) -> None:
        self.grid = grid
        self.pixels = _softened(pixels)
        self.centre = grid.centre
        self.radius = max(grid.diagonal / 2, float(grid.spacing.min()))
        self.generators = generators(kind, grid.ndim)
        self.inverse = np.linalg.inv(grid.affine)
        self.spectrum: Array | None = None
        self.steepest = self._steepest()
        flat = self.steepest.reshape(len(self.steepest), -1)
        hessian = flat @ flat.T
        # Where the template shows nothing along a parameter, that parameter stays as it is.
        ridge = 1e-6 * max(float(np.trace(hessian)) / len(hessian), 1e-12)
        self.factor = cho_factor(hessian + ridge * np.eye(len(hessian)))

    def _steepest(self) -> Array:
        """Change of the template's pixels by a unit of each parameter, (parameters, *shape), float32."""
        shape, d = self.grid.shape, self.grid.ndim
        slopes = [gradient(self.pixels, axis) for axis in range(d)]
        linear = self.inverse[:d, :d]
        places = self._relative()
        steepest = np.empty((len(self.generators), *shape), np.float32)
        for k, generator in enumerate(self.generators):
            moved = [
                sum((generator[i, j] * places[j] for j in range(d) if generator[i, j]), generator[i, d])
                for i in range(d)
            ]
            total = np.zeros(shape, np.float32)
            for axis in range(d):
                total += slopes[axis] * sum(
                    linear[axis, i] * self.radius * moved[i] for i in range(d) if linear[axis, i]
                )
            steepest[k] = total
        return steepest

    def _relative(self) -> list[Array]:
        """World coordinates of the pixels about the centre, in units of the radius; each broadcasts."""
        d = self.grid.ndim
        axes = [
            np.arange(n, dtype=np.float32).reshape([-1 if k == a else 1 for k in range(d)])
            for a, n in enumerate(self.grid.shape)
        ]
        affine = self.grid.affine
        return [
            sum((affine[i, a] * axes[a] for a in range(d) if affine[i, a]), affine[i, d] - self.centre[i])
            / np.float32(self.radius)
            for i in range(d)
        ]

    def index_matrix(self, matrix: Array) -> Array:
        """A world matrix from this grid to itself, in indices."""
        return self.inverse @ matrix @ self.grid.affine

    def measured(self, image: Array, matrix: Array) -> Match:
        """How well an image fits at a position."""
        return self._compared(image, matrix)[0]

    def refined(self, image: Array, matrix: Array) -> Match:
        """The position nearby at which an image fits best."""
        corners, finest = self.grid.corners(), float(self.grid.spacing.min())
        best: Match | None = None
        for k in range(STEPS + 1):
            found, residual = self._compared(image, matrix)
            if best is None or _worth(found) > _worth(best):
                best = found
            if k == STEPS or found.overlap < LEAST_OVERLAP:
                break
            slope = self.steepest.reshape(len(self.steepest), -1) @ residual().ravel()
            change = cho_solve(self.factor, slope.astype(float)) / found.overlap
            following = matrix @ np.linalg.inv(self.motion(change))
            moved = _moved(following, corners) - _moved(matrix, corners)
            if np.abs(moved).max() < STILL * finest:
                break
            matrix = following
        assert best is not None
        return best

    def _compared(self, image: Array, matrix: Array) -> tuple[Match, Callable[[], Array]]:
        """How well an image fits at a position, and the difference once both have the same brightness."""
        warped, inside = resampled(image, self.index_matrix(matrix))
        seen = warped * inside
        flat = [x.ravel() for x in (self.pixels, warped, seen, inside)]
        count, sum_a, sum_b = float(inside.sum()), float(flat[0] @ flat[3]), float(seen.sum())
        overlap = count / inside.size
        if overlap < LEAST_OVERLAP:
            return Match(matrix, -1.0, overlap), lambda: np.zeros_like(seen)
        both = float(flat[0] @ flat[2]) - sum_a * sum_b / count
        power = float(flat[1] @ flat[2]) - sum_b**2 / count
        own = float((flat[0] * flat[3]) @ flat[0]) - sum_a**2 / count
        correlation = both / (power * own) ** 0.5 if power * own > FLAT * count**2 else 0.0
        gain = both / power if power > FLAT * count else 0.0
        offset = (sum_a - gain * sum_b) / count
        return Match(
            matrix, correlation, overlap
        ), lambda: (np.float32(gain) * warped + np.float32(offset) - self.pixels) * inside

    def motion(self, parameters: Array) -> Array:
        """The world matrix of a motion about the centre."""
        d = self.grid.ndim
        about = np.eye(d + 1)
        about[:d, :d] *= self.radius
        about[:d, d] = self.centre
        return about @ expm(np.tensordot(parameters, self.generators, 1)) @ np.linalg.inv(about)

    def proposals(self, image: Array) -> Iterator[Array]:
        """Translations at the peaks of the phase correlation and of the plain one, as world matrices."""
        shape = self.grid.shape
        if self.spectrum is None:
            self.spectrum = fft.rfftn(_tapered(self.pixels))
        product_ = np.conj(self.spectrum) * fft.rfftn(_tapered(image))
        size = np.abs(product_)
        for power in (product_ / (size + 1e-3 * size.mean() + 1e-20), product_):
            surface = fft.irfftn(power, shape)
            for peak in np.argpartition(surface.ravel(), -PEAKS)[-PEAKS:]:
                place = np.unravel_index(int(peak), shape)
                # A Fourier transform cannot tell a displacement from itself minus the period.
                choices = [
                    [s for s in (p, p - n) if abs(s) <= FARTHEST * n]
                    for p, n in zip(place, shape, strict=True)
                ]
                for index in product(*choices):
                    matrix = np.eye(len(shape) + 1)
                    matrix[:-1, -1] = self.grid.affine[:-1, :-1] @ index
                    yield matrix


def generators(kind: Kind, ndim: int) -> Array:
    """The derivatives of a motion about the origin by its parameters, (parameters, d + 1, d + 1)."""
    found = []
    for i in range(ndim):
        found.append(_unit(ndim, i, ndim))
    if kind == "affine":
        found += [_unit(ndim, i, j) for i in range(ndim) for j in range(ndim)]
        return np.array(found)
    if kind in ("rigid", "similarity"):
        found += [_unit(ndim, i, j) - _unit(ndim, j, i) for i in range(ndim) for j in range(i)]
    if kind == "similarity":
        found.append(sum((_unit(ndim, i, i) for i in range(ndim)), np.zeros((ndim + 1, ndim + 1))))
    return np.array(found)


def copies(pixels: Array, grid: Grid, finest: int = 1) -> list[tuple[Array, Grid]]:
    """An image at every resolution from the finest that is used to the coarsest, each half the one before."""
    d, found = grid.ndim, []
    factor = 1
    while True:
        if factor >= finest:
            found.append((pixels, grid))
        if factor >= finest and max(grid.shape) <= COARSE[d]:
            return found
        steps = [2 if n >= 2 * LEAST_SIDE else 1 for n in grid.shape]
        if max(steps) == 1:
            return found or [(pixels, grid)]
        pixels = halved(pixels)
        grid = Grid(pixels.shape, grid.blocks(steps).affine, grid.units, grid.crs)
        factor *= 2


def halved(pixels: Array) -> Array:
    """Means of pairs of pixels along the axes that are long enough; an odd last pixel is left out."""
    for axis, length in enumerate(pixels.shape):
        if length >= 2 * LEAST_SIDE:
            even = length // 2 * 2
            first, second = (pixels[(*[slice(None)] * axis, slice(start, even, 2))] for start in (0, 1))
            pixels = (first + second) * np.float32(0.5)
    return pixels


def resampled(image: Array, matrix: Array) -> tuple[Array, Array]:
    """An image where a matrix in indices leads, interpolated linearly, and 1 where that is inside, else 0."""
    shape, d = image.shape, image.ndim
    inside = _inside(shape, matrix)
    if d == 2:
        import cv2

        swapped = matrix[[1, 0]][:, [1, 0, 2]]  # of OpenCV's x, y
        warped: Array = cv2.warpAffine(
            image,
            swapped,
            shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    else:
        from scipy.ndimage import affine_transform

        warped = affine_transform(image, matrix, order=1, mode="nearest")
    return warped, inside


def _inside(shape: tuple[int, ...], matrix: Array) -> Array:
    """1 where a matrix in indices leads into the image, else 0; float32.

    Along the last axis these places are an interval, as an image has no holes.
    """
    d = len(shape)
    rows = np.meshgrid(*(np.arange(n) for n in shape[:-1]), indexing="ij")
    first, last = np.zeros(shape[:-1]), np.full(shape[:-1], shape[-1] - 1.0)
    for i, n in enumerate(shape):
        base = matrix[i, d] + sum(matrix[i, a] * rows[a] for a in range(d - 1))
        slope = matrix[i, d - 1]
        if abs(slope) < 1e-9:
            last = np.where((base >= 0) & (base <= n - 1), last, -1.0)
            continue
        ends = np.sort([-base / slope, (n - 1 - base) / slope], axis=0)
        first, last = np.maximum(first, ends[0]), np.minimum(last, ends[1])
    places = np.arange(shape[-1])
    return ((places >= first[..., None]) & (places <= last[..., None])).astype(np.float32)


def _softened(pixels: Array) -> Array:
    """A Gaussian of a pixel: interpolation blurs noise, and would draw the match to whole pixels."""
    if pixels.ndim == 2:
        import cv2

        blurred: Array = cv2.GaussianBlur(pixels, (0, 0), SOFT, borderType=cv2.BORDER_REFLECT)
        return blurred
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(pixels, SOFT, truncate=3)


def _tapered(pixels: Array) -> Array:
    """Without its mean, and fading to zero at the rim, which a Fourier transform would take for an edge."""
    result = pixels - pixels.mean()
    for axis, n in enumerate(pixels.shape):
        result = result * _window(n).reshape([-1 if k == axis else 1 for k in range(pixels.ndim)])
    return result


@cache
def _window(length: int) -> Array:
    from scipy.signal.windows import tukey

    return tukey(length, 0.25).astype(np.float32) if length > LEAST_SIDE else np.ones(length, np.float32)


def _worth(match: Match) -> float:
    """The correlation, reduced where little overlaps: a few pixels resemble each other by chance."""
    return (
        match.correlation * min(1.0, match.overlap / 0.5) ** 0.5
        if match.correlation > 0
        else match.correlation
    )


def _moved(matrix: Array, points: Array) -> Array:
    return points @ matrix[:-1, :-1].T + matrix[:-1, -1]


def _unit(ndim: int, row: int, column: int) -> Array:
    matrix = np.zeros((ndim + 1, ndim + 1))
    matrix[row, column] = 1.0
    return matrix
