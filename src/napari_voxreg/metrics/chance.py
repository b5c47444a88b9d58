"""How similar a transform could make images that show different things."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..core.geometry import Array, Grid
from ..core.progress import Progress, silent
from ..images.preprocess import block_mean, steps_to
from ..images.task import box_around
from ..transforms import Affine, Transform, displacement_on
from .pair import BORDER, PairMetrics
from .rotated import rotations
from .similarity import lncc, local_correlation

SIZES = {2: 160, 3: 48}  # longest side, pixels: enough to tell a match from chance
FAR = 0.25  # of the image along every axis: a displacement in which nothing corresponds
THICK = 8  # pixels along an axis that allow a displacement
SHARED = 0.6  # of the largest overlap after such a displacement that one must keep
BEST = 8  # displacements with the highest correlation, at the first of which a fit starts
PLACES = 16  # displacements, evenly spread, that give the LNCC without any fit, and how much it varies
STEPS, MOST = 10, 30  # steps in which the fit gets as rough as the transform, and their largest number
LONGEST = 1.0  # pixels of a step
# How many times as far as the displaced images (or a fit to them) LNCC must rise above unrelated ones. On
# unrelated images it rises 1.5 times as far for deformations, 2.5 times for affine transforms, rarely more;
# right deformations reach 2 or more, right affine transforms 5.
MARGIN, AFFINE_MARGIN = 1.7, 3.0
# Roughness from which the margin grows in proportion: right deformations reach 0.55, those between unrelated
# images 0.9 and more, and none climbs as well as those of an optimiser.
ROUGH = 0.6
# Of the gap between chance and 1, what no chance closes: unrelated images reach 0.17, right results that are
# below the margin, as spots on black which all look alike, 0.5 to 0.8.
CLEAR = 0.35
# Standard deviations, over displacements, that LNCC must lie above the fit: on smooth images few windows are
# independent. On unrelated images it lies 4 above, rarely more. In a thin spinal cord right results reach 6
# and 8.6, else 7.5 or more.
SPREADS = 4.5


@dataclass(frozen=True)
class Match:
    """LNCC of a pair under a transform, and what chance reaches.

    Parameters
    ----------
    found : float
        LNCC under the transform.
    unrelated : float
        Where nothing corresponds, without any fit.
    fitted : float
        The highest where nothing corresponds, after a fit as rough as the transform.
    spread : float
        Standard deviation of LNCC where nothing corresponds, over the places.
    margin : float
        By how many times as much LNCC must rise.
    """

    found: float
    unrelated: float
    fitted: float
    spread: float
    margin: float

    @property
    def by_chance(self) -> bool:
        """Whether LNCC rises above that of unrelated images little more than a fit to them does."""
        above = self.found - self.fitted
        if above > CLEAR * (1 - self.fitted):
            return False
        rise = self.found - self.unrelated
        return above < SPREADS * self.spread or rise < self.margin * (self.fitted - self.unrelated)


def match(metrics: PairMetrics, transform: Transform, progress: Progress = silent) -> Match | None:
    """Compare the LNCC under a transform with that of images that show different things.

    Displaced by a quarter of its size or more, around its edges, the moving image keeps its texture, but
    nothing corresponds any more. A deformation raises the similarity even there. So from the displacement
    with the highest LNCC a fit climbs higher, until its displacements are as rough as those of the transform.
    It does so from the transform's affine part and, as a deformation may hide a pattern that repeats itself,
    from the initial position. An affine transform is compared with the displacements alone. A displaced image
    that overlaps on fewer pixels varies more by chance: by the square root of their number if they were
    independent, by its square root as windows overlap.

    Parameters
    ----------
    metrics : PairMetrics
        Of the pair.
    transform : Transform
        From world points of fixed to moving.

    Returns
    -------
    Match or None
        None where too few pixels overlap.
    """
    fixed, warped, inside, grid = _small(metrics, transform)
    if not inside.any():
        return None
    found, pixels = lncc(fixed, warped, inside), int(inside.sum())
    affine, bending = _parts(transform, grid, inside)
    rough, reach = _roughness(bending)
    starts = [affine] if bending is None or not metrics.overlap(None) else [affine, None]
    levels: list[float] = []
    fits: list[float] = []
    spreads: list[float] = []
    for k, start in enumerate(starts):
        progress(k / len(starts), "measuring what chance reaches")
        fixed, moving, inside = _cropped(*_small(metrics, start)[:3])
        inner = _inner(inside)
        ways = _displacements(fixed, moving, inside, inner)
        if not ways:
            continue
        displaced = [_displaced(fixed, moving, inside, inner, way) for way in ways]
        values = np.array([lncc(*each) for each in displaced])
        shares = np.minimum([each[2].sum() / pixels for each in displaced], 1)
        scale = np.sqrt(np.sqrt(shares))
        level = float(values[BEST:].mean())
        best = int(values[:BEST].argmax())
        if bending is not None:
            values[best] = max(values[best], _climbed(*displaced[best], rough, reach))
        levels.append(level)
        fits.append(float((level + (values - level) * scale)[:BEST].max()))
        spreads.append(float(values[BEST:].std() * scale[BEST:].mean()))
    if not fits:
        return None
    margin = AFFINE_MARGIN if bending is None else MARGIN * max(1.0, rough / ROUGH)
    return Match(found, float(np.mean(levels)), max(fits), max(spreads), margin)


def match_rotated(metrics: PairMetrics, transform: Transform, displaced: Match) -> Match:
    """Compare the LNCC under a transform also with that of one object rotated onto the other.

    The outlines of two objects on a dark ground overlap whatever the objects are, but not where one image
    is displaced by far. So the moving image is rotated about its structure and then fitted.

    Parameters
    ----------
    metrics : PairMetrics
        Of the pair.
    transform : Transform
        From world points of fixed to moving.
    displaced : Match
        What `match` found for it.

    Returns
    -------
    Match
        The same with what rotated images reach, where any rotation destroys correspondence.
    """
    _, _, inside, grid = _small(metrics, transform)
    pixels = int(inside.sum())
    affine, bending = _parts(transform, grid, inside)
    rough, reach = _roughness(bending)
    fixed, moving, inside, grid = _small(metrics, affine)
    level, most = displaced.unrelated, displaced.unrelated
    for each in rotations(*_cropped(fixed, moving, inside), grid.spacing):
        if each[2].any():
            share = np.sqrt(np.sqrt(min(each[2].sum() / pixels, 1)))
            value = level + (lncc(*each) - level) * share
            if value > most:
                most, closest = float(value), each
    if bending is not None and most > level:
        most = max(most, _climbed(*closest, rough, reach))
    return replace(displaced, fitted=most, spread=0.0, margin=MARGIN * max(1.0, rough / ROUGH))


def _small(metrics: PairMetrics, transform: Transform | None) -> tuple[Array, Array, Array, Grid]:
    """Fixed and warped moving image on small pixels, where both have data, and their grid."""
    fixed, moving, inside = metrics.coarsely(transform)
    steps = steps_to(fixed.grid, SIZES[fixed.ndim])
    small, other, both = (block_mean(image, steps) for image in (fixed, moving, inside))
    return small.data, other.data, both.data > 0.5, small.grid


def _cropped(fixed: Array, moving: Array, inside: Array) -> tuple[Array, Array, Array]:
    """The smallest box around the overlap."""
    box = box_around(inside)
    return fixed[box], moving[box], inside[box]


def _inner(inside: Array) -> Array:
    """The overlap without its rim and without that of the image, along which displaced images meet."""
    from scipy.ndimage import binary_erosion

    thin = [min(BORDER, (n - 1) // 4) for n in inside.shape]
    box = np.ones([2 * n + 1 for n in thin], bool)
    inner = np.asarray(binary_erosion(inside, box))
    return inner if inner.any() else inside


def _displacements(fixed: Array, moving: Array, inside: Array, inner: Array) -> list[tuple[int, ...]]:
    """Displacements around the edges: those of the highest correlation, then some that are evenly spread."""
    from scipy.fft import irfftn, rfftn

    one, other = (_normalised(image, inside) for image in (fixed, moving))
    shape = inside.shape

    def correlated(a: Array, b: Array) -> Array:
        return np.asarray(irfftn(rfftn(a) * np.conj(rfftn(b)), shape))

    shared = correlated(inside.astype(np.float32), inner.astype(np.float32))
    far = np.ones(shape, bool)
    for k, n in enumerate(shape):
        index = np.arange(n).reshape([n if axis == k else 1 for axis in range(len(shape))])
        # Along all axes, as a displacement along a spinal cord or a road changes little.
        far = far & (np.minimum(index, n - index) >= FAR * n if n >= THICK else True)
    most = shared[far].max() if far.any() else 0
    if most < 1:
        return []
    allowed = far & (shared >= max(SHARED * most, 1))
    score = np.where(allowed, np.abs(correlated(one, other * inner)) / np.maximum(shared, 1), -1)
    ways = []
    for _ in range(BEST):
        ways.append(np.unravel_index(int(score.argmax()), shape))
        axes = [(np.arange(-2, 3) + k) % n for k, n in zip(ways[-1], shape, strict=True)]
        score[np.ix_(*axes)] = -1
    rest = np.flatnonzero(allowed)
    spread = rest[(2 * np.arange(PLACES) + 1) * len(rest) // (2 * PLACES)]
    ways += [np.unravel_index(k, shape) for k in spread]
    return [tuple(int(n) for n in way) for way in ways]


def _displaced(
    fixed: Array, moving: Array, inside: Array, inner: Array, way: tuple[int, ...]
) -> tuple[Array, Array, Array]:
    """Fixed, the displaced moving image, and where both have data."""
    axes = tuple(range(fixed.ndim))
    return fixed, np.roll(moving, way, axes), inside & np.roll(inner, way, axes)


def _normalised(image: Array, inside: Array) -> Array:
    """Local contrast, so that structures of any brightness count alike in a correlation."""
    from scipy.ndimage import uniform_filter

    weight = inside.astype(np.float32)
    size = 2 * BORDER - 1
    share = np.maximum(uniform_filter(weight, size), 1e-3)
    centred = (image - uniform_filter(image * weight, size) / share) * weight
    return np.asarray(centred / np.sqrt(uniform_filter(centred**2, size) / share + 1e-3))


def _parts(transform: Transform, grid: Grid, inside: Array) -> tuple[Transform, Array | None]:
    """The closest affine transform, and what remains at the nodes inside, else nan: pixels, (*shape, d)."""
    if transform.linear:
        return transform, None
    d = grid.ndim
    nodes = grid.nodes()
    mapped = nodes + displacement_on(transform, grid).reshape(-1, d)
    design = np.column_stack([nodes, np.ones(len(nodes))])
    counted = inside.ravel()
    matrix = np.eye(d + 1)
    matrix[:d] = np.linalg.lstsq(design[counted], mapped[counted], rcond=None)[0].T
    affine = Affine(matrix)
    left = (mapped - affine(nodes)) @ np.linalg.inv(grid.affine[:d, :d]).T
    left[~counted] = np.nan
    return affine, left.reshape(*grid.shape, d)


def _roughness(bending: Array | None) -> tuple[float, float]:
    """Root mean square of the displacements' gradient, and the length in pixels over which they vary."""
    if bending is None:
        return 0.0, 1.0
    d = bending.shape[-1]
    axes = [k for k in range(d) if bending.shape[k] > 1]
    slopes = sum(_mean((np.diff(bending, axis=k) ** 2).sum(axis=-1)) for k in axes)
    size = _mean((bending**2).sum(axis=-1))
    roughness = float(np.sqrt(slopes))
    # A Gaussian that smooths white noise into such displacements.
    return roughness, float(np.sqrt(size * d / 2)) / max(roughness, 1e-6)


def _mean(values: Array) -> float:
    """The mean of those that are numbers, 0 if none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else 0.0


def _climbed(fixed: Array, moving: Array, both: Array, roughness: float, reach: float) -> float:
    """The LNCC after climbing by smooth displacements until they are as rough as given."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    smooth = float(np.clip(reach / 2, 0.7, max(fixed.shape) / 8))
    index = np.indices(fixed.shape, dtype=np.float32)
    axes = [k for k in range(fixed.ndim) if fixed.shape[k] > 1]
    way = np.zeros((*fixed.shape, fixed.ndim), np.float32)
    warped, weight = moving, both
    levels, rough = [], [0.0]
    for _ in range(MOST):
        values, slope = local_correlation(fixed, warped, weight)
        levels.append(float(values[weight].mean(dtype=np.float64)))
        if rough[-1] >= roughness:
            break
        slope = np.where(weight, slope, 0)
        step = np.zeros_like(way)
        for k in axes:
            step[..., k] = gaussian_filter(slope * np.gradient(warped, axis=k), smooth, truncate=3)
        bent, longest = _roughness(step)[0], float(np.abs(step).max())
        if bent == 0:
            break
        way += step * min(roughness / STEPS / bent, LONGEST / longest)
        at = index + np.moveaxis(way, -1, 0)
        warped = map_coordinates(moving, at, order=1, mode="nearest")
        weight = both & map_coordinates(both, at, order=0)
        rough.append(_roughness(np.where(both[..., None], way, np.nan))[0])
        if not weight.any():
            break
    rough = rough[: len(levels)]
    return float(np.interp(roughness, rough, np.maximum.accumulate(levels)))
