"""Transforms applied to whatever belongs to an image: other channels, time points, labels, points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ..core.geometry import Array, Grid, Image, as_image, short_unit
from ..core.progress import Progress, silent, subprogress
from ..images.nodata import background as ground
from ..io.points import check_finite
from ..io.series import is_series, time_point, with_time_of
from ..transforms import INTERPOLATIONS, Interpolation, Transform, resampled
from ..transforms.base import world_points
from .in_slabs import resampled_in_slabs
from .inverse import Exactness, inverse_at, inverse_on, outside
from .pair_transform import Applicable, PairTransform, open_transform

Direction = Literal["moving -> fixed", "fixed -> moving"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
Background = float | Literal["own"]
NODES = 10_000  # at which an image is looked for that seems to be nowhere
MOST = 10_000_000_000  # pixels of a result; more is a slip in the pixel size
LARGE = 8_000_000  # pixels from which splines are made in slabs: of a whole volume they take seconds
# The last inverse of each transform that is in use: many layers or files lie on one grid.
_inverses: WeakKeyDictionary[PairTransform, tuple[Grid, Transform, Exactness | None]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Applied:
    """What `apply` made.

    Parameters
    ----------
    image : Image or None
        Of an image.
    points : ndarray, shape (N, d), or None
        Of points, in world units.
    notes : tuple of str
        Sentences for the user: how exact an inverse is, how many points lie outside a field.
    inverse_error : float or None
        By how much a numerical inverse misses at most, world units; None where none was needed, or where it
        is exact.
    """

    image: Image | None = None
    points: Array | None = None
    notes: tuple[str, ...] = ()
    inverse_error: float | None = None

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        """The pixels or the points for NumPy, as of an `Image`."""
        return np.array(self.points if self.image is None else self.image.data, dtype=dtype, copy=copy)


def apply(
    transform: Applicable,
    what: Image | npt.ArrayLike,
    *,
    direction: Direction = "moving -> fixed",
    grid: Grid | Literal["fixed", "moving"] | None = None,
    pixel_size: float | Sequence[float] | None = None,
    interpolation: Interpolation = "linear",
    background: Background = 0.0,
    progress: Progress | None = None,
) -> Applied:
    """Apply a transform to an image or to points.

    A transform maps world points of the fixed image to world points of the moving image. So an image comes
    from the moving to the fixed world through the transform itself, and points come there through its
    inverse. The inverse is exact where it is closed, else it is found numerically and states its error.

    Parameters
    ----------
    transform : Transform, Result, path, or a sequence of these
        What to apply; the path of a file or folder is enough. Several are composed, and an image is resampled
        once: the first one's fixed image is that of the chain, the last one's moving image its moving image.
    what : Image or array_like
        An image with any number of channels; with a time axis first (unit second) each time point is warped.
        An array of shape (N, d), with the d axes of the transform, is N points in array-axis order, in world
        units of the fixed image. Any other array is an image with unit spacing.
    direction : {"moving -> fixed", "fixed -> moving"}
        From which image's world into which one's.
    grid : Grid, "fixed" or "moving", optional
        Where a warped image lies; by default on the grid of the image at which the direction ends.
    pixel_size : float or sequence of float, optional
        Of the warped image, world units, instead of that of its grid; it covers the same field of view.
    interpolation : {"linear", "nearest", "cubic", "vote"}
        For labels, nearest or vote, which smooths their borders; both keep the set of labels.
    background : float or "own"
        The value outside the image; "own" is NaN for floating-point pixels, and the ground of the image for
        integers.
    progress : Progress, optional
        Called on the way; may raise `Cancelled`.

    Returns
    -------
    Applied
        The image or the points, with notes and the error of the inverse.

    Raises
    ------
    ValueError
        In one sentence, for a transform that cannot be read or that has another number of axes, an unknown
        choice, a grid that is not known, or where no point has an inverse or lies inside the transform's
        field.
    Cancelled
        If `progress` raised it.
    """
    report = silent if progress is None else progress
    _check("direction", direction, DIRECTIONS)
    _check("interpolation", interpolation, INTERPOLATIONS)
    pair = open_transform(transform)
    points = None if isinstance(what, Image) else np.asanyarray(what)
    if points is not None and points.shape[1:] == (pair.transform.ndim,) and points.ndim == 2:
        return _apply_to_points(pair, points, direction, report)
    if points is not None and points.ndim == 2 < pair.transform.ndim:
        raise ValueError(
            f"An array of shape {points.shape} is neither points, (N, {pair.transform.ndim}), nor an image "
            f"for the {pair.transform.ndim}D transform; give one of them."
        )
    image = as_image(what)
    target = target_grid(pair, direction, grid, pixel_size)
    ready = warper(pair, direction, target, interpolation, report)
    return _apply_to_image(image, ready, target, background, report)


def target_grid(
    pair: PairTransform,
    direction: Direction,
    grid: Grid | Literal["fixed", "moving"] | None = None,
    pixel_size: float | Sequence[float] | None = None,
) -> Grid:
    """The grid on which `apply` puts an image; the parameters are its.

    Raises
    ------
    ValueError
        If the grid is not known, or the pixel size is none.
    """
    if not isinstance(grid, Grid):
        which = direction.rpartition(" ")[2] if grid is None else grid
        _check("grid", which, ("fixed", "moving"))
        known = pair.fixed if which == "fixed" else pair.moving
        if known is None:
            raise ValueError(
                f"The transform does not say on which grid the {which} image lies; give an image whose grid "
                "is taken."
            )
        grid = known
    return grid if pixel_size is None else _with_pixel_size(grid, pixel_size)


def _apply_to_points(
    pair: PairTransform, points: npt.ArrayLike, direction: Direction, progress: Progress
) -> Applied:
    """Map points, and say how far the result can be relied on."""
    transform = pair.transform
    given = world_points(points, transform.ndim)
    check_finite(given, "those given")
    if not len(given):
        return Applied(points=given.copy())
    exactness = None
    if direction == "fixed -> moving":
        found, fixed_points = transform(given), given
    else:
        found, exactness = inverse_at(transform, pair.fixed, given, progress)
        fixed_points = found
    beyond = int(np.count_nonzero(outside(transform, fixed_points)))
    if beyond == len(given):
        unit = "" if pair.fixed is None else f" in {short_unit(pair.fixed.units[-1])}"
        raise ValueError(
            "None of the points lies inside the field of the transform; give world coordinates"
            f"{unit}, and check the direction."
        )
    notes = [*pair.notes]
    notes += [f"{beyond} of {len(given)} points lie outside the field of the transform."] if beyond else []
    notes += _about(exactness, pair.fixed, "points")
    return Applied(points=found, notes=tuple(notes), inverse_error=_error(exactness))


def _apply_to_image(
    image: Image, warper: Warper, grid: Grid, background: Background, progress: Progress
) -> Applied:
    """Warp every time point of an image onto a grid."""
    fill = fill_of(image, warper.interpolation, background)
    if not is_series(image):
        warped = Image(warper(image, fill, progress).reshape(_on(grid, image)), grid, image.name)
        _check_met(image, warped, warper, fill)
        return Applied(warped, None, warper.notes, warper.inverse_error)
    count = image.grid.shape[0]
    new = np.ma.empty if isinstance(image.data, np.ma.MaskedArray) else np.empty
    frames: Array = new((count, *_on(grid, image)), image.data.dtype)
    for k in range(count):
        part = subprogress(progress, k / count, (k + 1) / count)
        part(0.0, f"warping time point {k + 1} of {count}")
        frames[k] = warper(time_point(image, k), fill, part).reshape(frames.shape[1:])
    warped = Image(frames, with_time_of(image, grid), image.name)
    return Applied(warped, None, warper.notes, warper.inverse_error)


def _check_met(image: Image, warped: Image, warper: Warper, fill: float) -> None:
    """Refuse a result that shows nothing of the image, because that lies elsewhere."""
    pixels = np.ma.getdata(warped.data)
    if not (np.ma.getmaskarray(warped.data) | (pixels == fill) | (pixels != pixels)).all():
        return
    step = max(1, math.ceil((math.prod(warper.grid.shape) / NODES) ** (1 / warper.grid.ndim)))
    nodes = warper.grid.coarsened(step).nodes() if step > 1 else warper.grid.nodes()
    with np.errstate(over="ignore", invalid="ignore"):
        there = warper.transform(nodes)
    if not _flat(image, warper.grid).grid.contains(there).any():
        raise ValueError(
            f"{image.name or 'The image'} lies wholly outside the grid of the result; check its position and "
            "units, the grid and the direction."
        )


def _on(grid: Grid, image: Image) -> tuple[int, ...]:
    """The shape of an image's pixels on a grid."""
    return grid.shape if image.channels is None else (*grid.shape, image.channels)


@dataclass(frozen=True, eq=False)
class Warper:
    """Warps one image after the other through a transform that is ready for it.

    Parameters
    ----------
    transform : Transform
        From the world of `grid` to the world of the images.
    grid : Grid
        Where the results lie, with as many axes as the transform.
    interpolation : str
        As in `apply`.
    notes : tuple of str
        What a user should know of the transform.
    inverse_error : float or None
        As in `Applied`.
    """

    transform: Transform
    grid: Grid
    interpolation: Interpolation = "linear"
    notes: tuple[str, ...] = ()
    inverse_error: float | None = None

    def __call__(self, image: Image, fill: float, progress: Progress = silent) -> Array:
        """The pixels of an image without time on the grid, shape (*grid.shape, channels if any).

        Parameters
        ----------
        image : Image
            Its pixels may be lazy; axes of one pixel that the transform lacks are left out.
        fill : float
            The value outside, see `fill_of`.
        progress : Progress
            May raise `Cancelled`.
        """
        image = _flat(image, self.grid)
        lazy = not isinstance(image.data, np.ndarray)
        largest = max(math.prod(image.grid.shape), math.prod(self.grid.shape))
        slabs = lazy or (self.interpolation == "cubic" and largest > LARGE)
        work = resampled_in_slabs if slabs else resampled
        return work(image, self.transform, self.grid, self.interpolation, fill, progress).data


def warper(
    pair: PairTransform,
    direction: Direction,
    grid: Grid,
    interpolation: Interpolation,
    progress: Progress = silent,
) -> Warper:
    """Make a transform ready to warp images; one that has to be inverted is inverted here, once for a grid.

    Parameters
    ----------
    pair : PairTransform
    direction, interpolation
        As in `apply`.
    grid : Grid
        As `target_grid` gives it.
    progress : Progress
        May raise `Cancelled`.
    """
    ndim, thin = pair.transform.ndim, grid.thin_axes()
    if grid.ndim > ndim and grid.ndim - len(thin) == ndim:
        grid = grid.without(thin)
    if grid.ndim != ndim:
        raise ValueError(f"The transform is {ndim}D and the grid {grid.ndim}D; give one with as many axes.")
    if pair.fixed is not None:
        grid = grid.in_world_of(pair.fixed)
    if direction == "moving -> fixed":
        return Warper(pair.transform, grid, interpolation, pair.notes)
    inverse, exactness = _inverse(pair, grid, progress)
    notes = (*pair.notes, *_about(exactness, grid, "pixels"))
    return Warper(inverse, grid, interpolation, notes, _error(exactness))


def _inverse(pair: PairTransform, grid: Grid, progress: Progress) -> tuple[Transform, Exactness | None]:
    """The inverse of a transform on a grid, see `inverse_on`; found anew on another grid than last."""
    known = _inverses.get(pair)
    if known is not None and known[0].same_as(grid):
        return known[1:]
    found = inverse_on(pair.transform, pair.fixed, grid, progress)
    _inverses[pair] = (grid, *found)
    return found


def _flat(image: Image, grid: Grid) -> Image:
    """An image with as many axes as a grid, in its units."""
    thin = image.grid.thin_axes()
    if image.ndim > grid.ndim and image.ndim - len(thin) == grid.ndim:
        at = tuple(0 if k in thin else slice(None) for k in range(image.ndim))
        image = replace(image, data=image.data[at], grid=image.grid.without(thin))
    if image.ndim != grid.ndim:
        raise ValueError(
            f"The transform is {grid.ndim}D and {image.name or 'the image'} {image.ndim}D; "
            "give an image with as many axes."
        )
    return image.with_grid(image.grid.in_world_of(grid))


def fill_of(image: Image, interpolation: Interpolation, background: Background) -> float:
    """The value outside an image that is warped; see `apply`.

    Raises
    ------
    ValueError
        If the pixels cannot have it.
    """
    kind = np.dtype(image.data.dtype)
    if background == "own":
        labels = interpolation in ("nearest", "vote") and kind.kind in "iu"
        return 0.0 if labels else ground(_borders(image))
    value = float(background)
    if kind.kind in "iu" and not isinstance(image.data, np.ma.MaskedArray):
        limits = np.iinfo(kind)
        if not limits.min <= value <= limits.max or value != round(value):
            raise ValueError(
                f"The background of {kind} pixels cannot be {value:g}; choose a whole number from "
                f"{limits.min} to {limits.max}, or own."
            )
    return value


def _borders(image: Image) -> Image:
    """An image whose background is found; of a lazy one its first and last plane, which are read."""
    if isinstance(image.data, np.ndarray):
        return image
    ends = np.stack([np.asarray(image.data[k]) for k in (0, -1)])
    return Image(ends, replace(image.grid, shape=(2, *image.grid.shape[1:])))


def _with_pixel_size(grid: Grid, size: float | Sequence[float]) -> Grid:
    """A grid with other pixels over the same field of view."""
    sizes = np.asarray(size, dtype=float)
    if sizes.shape not in ((), (grid.ndim,)) or not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise ValueError(
            f"The pixel size cannot be {size}; give one positive number, or {grid.ndim}, one for each axis."
        )
    shape = np.array(grid.shape)
    sizes = np.where(shape == 1, grid.spacing, sizes)  # a single plane keeps its thickness
    scale = sizes / grid.spacing
    count = np.maximum(np.rint(shape / scale), 1)
    if count.prod() > MOST:
        raise ValueError(
            f"The pixel size {size} makes {' x '.join(f'{n:.10g}' for n in count)} pixels, more than "
            f"{MOST:,}; give a larger one."
        )
    affine = grid.affine @ np.diag([*scale, 1.0])
    affine[:-1, -1] = grid.to_world([(shape - 1 - scale * (count - 1)) / 2])[0]  # the centre stays
    return replace(grid, shape=tuple(int(n) for n in count), affine=affine)


def _about(exactness: Exactness | None, grid: Grid | None, what: str) -> list[str]:
    """What a user should know of a numerical inverse; the grid has the units of the world, if they are known.

    Raises
    ------
    ValueError
        If there is none anywhere.
    """
    if exactness is None:
        return []
    if exactness.lost == 1:
        raise ValueError(
            f"The transform folds or does not reach so far, and has no inverse for any of the {what}; "
            "choose the other direction."
        )
    unit = "world units" if grid is None else short_unit(grid.units[-1])
    error = _rounded_up(exactness.error)
    notes = [f"The inverse was found numerically; it misses by {error:g} {unit} at most."]
    if exactness.lost:
        notes.append(f"For {100 * exactness.lost:.2g} % of the {what} it does not exist.")
    if exactness.folded:
        notes.append(
            f"The transform folds on about {exactness.folded:.2g} % of the fixed image and has no inverse "
            "there."
        )
    return notes


def _rounded_up(value: float) -> float:
    """The next larger number with one digit."""
    digit = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return round(math.ceil(value / digit - 1e-9) * digit, 15)


def _error(exactness: Exactness | None) -> float | None:
    return None if exactness is None else exactness.error


def _check(what: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"The {what} cannot be {value!r:.60}; choose from: {', '.join(choices)}.")
