"""Linear motion of one image against another of the same kind: phase correlation, then Gauss-Newton.

Meant for the many images of a movie or a stack, where a general method takes too long. Phase correlation of
small copies (Kuglin, Hines, 1975) proposes positions. The inverse compositional algorithm (Baker, Matthews,
IJCV 56, 2004) refines the best from coarse to fine; gain and offset of the brightness are free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
from scipy import fft
from scipy.linalg import cho_factor, cho_solve, expm

from ...core.geometry import Array, Grid

Kind = Literal["translation", "rigid", "similarity", "affine"]
KINDS: tuple[Kind, ...] = get_args(Kind)
COARSE = {2: 128, 3: 48}  # pixels of the longest side, at most, of the copies on which the position is found
LEAST_SIDE = 8  # pixels of the shortest side of any copy
STEPS = 25  # of Gauss-Newton at each level, at most
STILL = 0.01  # pixels of the level by which a corner moves in the last step
LEAST_OVERLAP = 0.2  # fraction of the pixels that both images must show
SOFT = 1.0  # pixels, of the Gaussian before gradients are taken
PEAKS = 3  # of each correlation that are tried
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
        self.levels = [_Level(copy, on, kind) for copy, on in copies(pixels, grid, finest)]

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
        ready = [_softened(copy) for copy, _ in copies(pixels, self.grid, self.finest)]
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
        slopes = np.stack(np.gradient(self.pixels)) if min(shape) > 1 else np.zeros((d, *shape), np.float32)
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
        warped, inside = resampled(image, self.index_matrix(matrix))
        a, b = self.pixels[inside], warped[inside]
        overlap = len(a) / self.pixels.size
        return Match(matrix, _correlation(a, b) if overlap >= LEAST_OVERLAP else -1.0, overlap)

    def refined(self, image: Array, matrix: Array) -> Match:
        """The position nearby at which an image fits best."""
        best = self.measured(image, matrix)
        if best.overlap < LEAST_OVERLAP:
            return best
        current, corners = matrix, self.grid.corners()
        finest = float(self.grid.spacing.min())
        for _ in range(STEPS):
            step = self._step(image, current)
            if step is None:
                break
            following = current @ step
            moved = _moved(following, corners) - _moved(current, corners)
            current = following
            if np.abs(moved).max() < STILL * finest:
                break
        found = self.measured(image, current)
        return found if _worth(found) >= _worth(best) else best

    def _step(self, image: Array, matrix: Array) -> Array | None:
        """The matrix of a step, to be applied before the present one; None where they hardly overlap."""
        warped, inside = resampled(image, self.index_matrix(matrix))
        fraction = np.count_nonzero(inside) / inside.size
        if fraction < LEAST_OVERLAP:
            return None
        gain, offset = _brightness(self.pixels, warped, inside)
        residual = (gain * warped + offset - self.pixels) * inside
        slope = self.steepest.reshape(len(self.steepest), -1) @ residual.ravel()
        change = cho_solve(self.factor, slope.astype(float)) / fraction
        return np.linalg.inv(self.motion(change))

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
        pixels, grid = _halved(pixels, grid, steps)
        factor *= 2


def _halved(pixels: Array, grid: Grid, steps: Sequence[int]) -> tuple[Array, Grid]:
    """Means of pairs of pixels along the axes with a step of two; an odd last pixel is left out."""
    for axis, step in enumerate(steps):
        if step == 2:
            even = pixels.shape[axis] // 2 * 2
            first, second = (pixels[(*[slice(None)] * axis, slice(start, even, 2))] for start in (0, 1))
            pixels = (first + second) * np.float32(0.5)
    affine = grid.blocks(steps).affine
    return pixels, Grid(pixels.shape, affine, grid.units, grid.crs)


def resampled(image: Array, matrix: Array) -> tuple[Array, Array]:
    """An image where a matrix in indices leads, interpolated linearly, and which places lie inside it."""
    shape, d = image.shape, image.ndim
    inside = np.ones(shape, bool)
    for i in range(d):
        place = sum(
            (
                (matrix[i, a] * np.arange(n, dtype=np.float32)).reshape(
                    [-1 if k == a else 1 for k in range(d)]
                )
                for a, n in enumerate(shape)
            ),
            np.float32(matrix[i, d]),
        )
        inside &= (place >= 0) & (place <= shape[i] - 1)
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
    from scipy.signal.windows import tukey

    result = pixels - pixels.mean()
    for axis, n in enumerate(pixels.shape):
        window = tukey(n, 0.25).astype(np.float32) if n > LEAST_SIDE else np.ones(n, np.float32)
        result = result * window.reshape([-1 if k == axis else 1 for k in range(pixels.ndim)])
    return result


def _brightness(template: Array, warped: Array, inside: Array) -> tuple[float, float]:
    """The gain and the offset that bring the brightness of an image closest to a template's."""
    a, b = template[inside], warped[inside]
    mean_a, mean_b = float(a.mean()), float(b.mean())
    b = b - np.float32(mean_b)
    power = float(b @ b)
    gain = float(b @ a) / power if power > 0 else 0.0
    return gain, mean_a - gain * mean_b


def _correlation(a: Array, b: Array) -> float:
    if not len(a):
        return -1.0
    a, b = a - a.mean(), b - b.mean()
    power = float(a @ a) * float(b @ b)
    return float(a @ b) / power**0.5 if power > 0 else 0.0


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
