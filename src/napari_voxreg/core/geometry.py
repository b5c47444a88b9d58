"""Where pixels lie: grids with units, and images on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from keyword import iskeyword
from typing import Any

import numpy as np
import numpy.typing as npt

from .pixels import with_opacity
from .planes import plane_frame

Array = npt.NDArray[Any]
LONGEST_UNIT = 32  # characters of a unit's name
SHORT_UNITS = {
    "pixel": "px",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "kilometer": "km",
    "second": "s",
}


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice of pixel centres in the world.

    Parameters
    ----------
    shape : tuple of int
        Number of pixels along each array axis, (row, column) or (plane, row, column).
    affine : ndarray, shape (d + 1, d + 1)
        Homogeneous matrix from index to world coordinates, both in array-axis order.
        Index 0 is the centre of the first pixel. Any invertible matrix is allowed: negative spacing,
        rotation and shear included.
    units : tuple of str
        Unit of each world axis, in any spelling that pint knows ("mm", "micrometer", "pixel").
    crs : str or None
        The coordinate reference system of a map, "EPSG:32633" say; None where it is not known.

    Raises
    ------
    ValueError
        If the matrix has the wrong size, is not finite or is singular, or if an axis is empty.
    """

    shape: tuple[int, ...]
    affine: Array
    units: tuple[str, ...]
    crs: str | None = None

    def __post_init__(self) -> None:
        d = len(self.shape)
        affine = np.array(self.affine, dtype=float)
        if affine.shape != (d + 1, d + 1):
            raise ValueError(f"The affine of a {d}D grid must be {d + 1} x {d + 1}, not {affine.shape}.")
        if min(self.shape, default=0) < 1:
            raise ValueError(f"A grid needs at least one pixel along each axis; its shape is {self.shape}.")
        if not np.isfinite(affine).all() or abs(np.linalg.det(unit_columns(affine[:d, :d]))) < 1e-9:
            raise ValueError("The affine of a grid must be finite and invertible; check scale and shear.")
        if len(self.units) != d:
            raise ValueError(f"A {d}D grid needs {d} units, not {len(self.units)}.")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "units", tuple(str(u) for u in self.units))

    @classmethod
    def from_spacing(
        cls,
        shape: Sequence[int],
        spacing: npt.ArrayLike = 1.0,
        origin: npt.ArrayLike = 0.0,
        direction: npt.ArrayLike | None = None,
        units: Sequence[str] | str = "pixel",
    ) -> Grid:
        """Make a grid from spacing, origin (of the first pixel's centre) and direction.

        Parameters
        ----------
        shape : sequence of int
            Pixels along each axis.
        spacing, origin : float or sequence of float
            World units, in array-axis order.
        direction : array_like, shape (d, d), optional
            Column k is the world direction of array axis k; identity by default.
        units : str or sequence of str
            One unit for all axes, or one each.
        """
        d = len(shape)
        affine = np.eye(d + 1)
        axes = np.eye(d) if direction is None else np.asarray(direction, dtype=float)
        affine[:d, :d] = axes * np.broadcast_to(np.asarray(spacing, dtype=float), d)
        affine[:d, d] = origin
        return cls(tuple(shape), affine, (units,) * d if isinstance(units, str) else tuple(units))

    @property
    def ndim(self) -> int:
        """Number of array axes."""
        return len(self.shape)

    @property
    def spacing(self) -> Array:
        """Distance between neighbouring pixels along each axis, world units, shape (d,)."""
        return np.linalg.norm(self.affine[:-1, :-1], axis=0)

    @property
    def origin(self) -> Array:
        """World position of the first pixel's centre, shape (d,)."""
        return self.affine[:-1, -1].copy()

    @property
    def direction(self) -> Array:
        """Unit world vectors of the array axes as columns, shape (d, d)."""
        return unit_columns(self.affine[:-1, :-1])

    @property
    def diagonal(self) -> float:
        """Length of the world diagonal between the outermost pixel centres."""
        corners = self.corners()
        return float(np.linalg.norm(corners[:, None] - corners[None], axis=-1).max())

    @property
    def centre(self) -> Array:
        """World position of the middle of the grid, shape (d,)."""
        return self.to_world((np.array(self.shape, dtype=float)[None] - 1) / 2)[0]

    def to_world(self, index: npt.ArrayLike) -> Array:
        """Index coordinates (N, d) to world coordinates (N, d)."""
        return apply_affine(self.affine, index)

    def to_index(self, world: npt.ArrayLike) -> Array:
        """World coordinates (N, d) to (continuous) index coordinates (N, d)."""
        return apply_affine(np.linalg.inv(self.affine), world)

    def corners(self) -> Array:
        """World positions of the 2^d outermost pixel centres, shape (2^d, d)."""
        return self.to_world(list(product(*[(0, n - 1) for n in self.shape])))

    def nodes(self) -> Array:
        """World positions of all pixel centres in C order, shape (number of pixels, d)."""
        index = np.indices(self.shape, dtype=float).reshape(self.ndim, -1).T
        return self.to_world(index)

    def contains(self, world: npt.ArrayLike) -> Array:
        """Whether each world point (N, d) lies on a pixel (half a pixel beyond the outer centres counts)."""
        index = self.to_index(world)
        return np.all((index >= -0.5) & (index < np.array(self.shape) - 0.5), axis=1)

    def same_as(self, other: Grid) -> bool:
        """Whether both grids have the same pixels in the same places and units, up to rounding."""
        tolerance = 1e-6 * float(self.spacing.min())
        return (
            self.shape == other.shape
            and self.units == other.units
            and (self.crs == other.crs or None in (self.crs, other.crs))
            and np.allclose(self.corners(), other.corners(), rtol=0, atol=tolerance)
        )

    def moved(self, matrix: npt.ArrayLike) -> Grid:
        """The grid after its world is mapped by a homogeneous matrix (d + 1, d + 1)."""
        return replace(self, affine=np.asarray(matrix, dtype=float) @ self.affine)

    def coarsened(self, step: Sequence[int] | int) -> Grid:
        """Every step-th pixel of the grid, starting with the first."""
        steps = np.broadcast_to(np.asarray(step), self.ndim)
        affine = self.affine.copy()
        affine[:-1, :-1] *= steps
        shape = tuple(-(-n // int(s)) for n, s in zip(self.shape, steps, strict=True))
        return replace(self, shape=shape, affine=affine)

    def blocks(self, steps: Sequence[int]) -> Grid:
        """The grid of blocks of so many pixels along each axis, its nodes in their middle."""
        affine = self.coarsened(steps).affine.copy()
        affine[:-1, -1] = self.to_world([[(s - 1) / 2 for s in steps]])[0]
        shape = tuple(-(-n // s) for n, s in zip(self.shape, steps, strict=True))
        return replace(self, shape=shape, affine=affine)

    def in_units(self, units: Sequence[str]) -> Grid:
        """The same grid with its world axes measured in other units.

        Raises
        ------
        ValueError
            If a unit cannot be converted (pixel to millimetre, say).
        """
        factors = [unit_factor(a, b) for a, b in zip(self.units, units, strict=True)]
        # A reference system defines its units; in others the numbers are no longer its coordinates.
        crs = self.crs if set(factors) == {1.0} else None
        return replace(self.moved(np.diag([*factors, 1.0])), units=tuple(units), crs=crs)

    def in_world_of(self, other: Grid) -> Grid:
        """The same grid in the units and the coordinate reference system of another.

        Raises
        ------
        ValueError
            If the reference systems differ, one counts in degrees and the other in lengths, or the units
            cannot be converted; in one sentence with the remedy.
        """
        a, b = self.units[-1], other.units[-1]
        angular = a == "degree", b == "degree"
        unlike = self.crs != other.crs and None not in (self.crs, other.crs)
        if unlike or (any(angular) and not all(angular) and "pixel" not in (a, b)):
            # Pixels of equal size in metres are better than those of equal angles.
            target = (self.crs if angular[1] else other.crs) or other.crs or "EPSG:n"
            raise ValueError(
                f"One image lies in {other.crs or b} and the other in {self.crs or a}; "
                f"reproject one first, for example with gdalwarp -t_srs {target}."
            )
        return replace(self.in_units(other.units), crs=other.crs or self.crs)

    def thin_axes(self) -> tuple[int, ...]:
        """Axes of one pixel, where at least two others are thicker: a single slice, in any orientation."""
        thin = tuple(k for k, n in enumerate(self.shape) if n == 1)
        if not thin or self.ndim - len(thin) < 2:
            return ()
        # Other slices than those of a volume are in no plane that could be rotated onto the axes.
        single = self.ndim == 3 and len(thin) == 1 and len(set(self.units)) == 1
        return thin if single or not self.oblique(thin) else ()

    def oblique(self, thin: Sequence[int]) -> bool:
        """Whether the one-pixel array axes and the world axes of the same numbers mix with the others."""
        kept = [k for k in range(self.ndim) if k not in thin]
        linear = self.affine[:-1, :-1]
        return bool(np.abs(linear[np.ix_(list(thin), kept)]).max() > 1e-9 * np.abs(linear).max())

    def plane(self, thin: int) -> Array:
        """From places in the plane of a single slice and a distance from it to the world, (4, 4).

        Parameters
        ----------
        thin : int
            The array axis of one pixel of a 3D grid. See `plane_frame` for the places.
        """
        first, second = np.delete(self.direction, thin, axis=1).T
        return plane_frame(first, second, self.origin)

    def without(self, axes: Sequence[int]) -> Grid:
        """The grid without the given array axes, in the world without the axes of the same numbers.

        A single slice that is oblique to these is a grid in its `plane`.
        """
        kept = [k for k in range(self.ndim) if k not in axes]
        affine = self.affine
        if len(axes) == 1 and self.ndim == 3 and self.oblique(axes):
            affine = np.linalg.inv(self.plane(axes[0])) @ affine
            rows = [0, 1]
        else:
            rows = kept
        affine = affine[np.ix_([*rows, self.ndim], [*kept, self.ndim])]
        units = tuple(self.units[k] for k in kept)
        return replace(self, shape=tuple(self.shape[k] for k in kept), affine=affine, units=units)

    def flat_points(self, points: npt.ArrayLike) -> Array:
        """World points (N, d) in the world of ``without(thin_axes())``, (N, d - thin)."""
        thin, points = self.thin_axes(), np.asarray(points, dtype=float)
        if len(thin) == 1 and self.ndim == 3 and self.oblique(thin):
            return apply_affine(np.linalg.inv(self.plane(thin[0])), points)[:, :2]
        return np.delete(points, thin, axis=1)


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels on a grid.

    Parameters
    ----------
    data : ndarray
        Shape ``grid.shape``, or ``grid.shape + (channels,)``. Never modified. What a masked array masks, and
        NaN and infinities, are pixels without data.
    grid : Grid
        Where the pixels lie.
    name : str
        What to call the image in messages and records.
    notes : tuple of str
        What its file says that a user should know: that its header contradicts itself, say. They become notes
        of the `Result`.

    Raises
    ------
    ValueError
        If the shape of the data does not fit the grid.
    """

    data: Array
    grid: Grid
    name: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = tuple(np.shape(self.data))
        if shape[: self.grid.ndim] != self.grid.shape or len(shape) - self.grid.ndim not in (0, 1):
            raise ValueError(
                f"Data of shape {shape} does not fit a grid of shape {self.grid.shape}; "
                "give the grid's shape, with channels last if there are any."
            )

    def __repr__(self) -> str:
        channels = "" if self.channels is None else f", {self.channels} channels"
        return f"Image({self.name!r}, {self.data.dtype}{channels}, {self.grid!r})"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        """The pixels for NumPy, ``np.asarray(image)``: shared where no conversion is needed, as for an array.

        Parameters
        ----------
        dtype : dtype, optional
            What to convert the pixels to; unchanged by default.
        copy : bool, optional
            True always copies; False never does, which is a `ValueError` where a conversion is needed.
        """
        return np.array(self.data, dtype=dtype, copy=copy)

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return self.grid.ndim

    @property
    def channels(self) -> int | None:
        """Number of channels along the last axis, None for a plain image."""
        return self.data.shape[-1] if self.data.ndim > self.grid.ndim else None

    def with_data(self, data: Array) -> Image:
        """Other pixels on the same grid."""
        return replace(self, data=data)

    def with_grid(self, grid: Grid) -> Image:
        """The same pixels elsewhere."""
        return replace(self, grid=grid)

    def without(self, axes: Sequence[int]) -> Image:
        """The image without the given one-pixel-thin array axes."""
        return replace(self, data=np.squeeze(self.data, axis=tuple(axes)), grid=self.grid.without(axes))


def as_image(image: Image | npt.ArrayLike, name: str = "") -> Image:
    """Take an image as it is, or a plain array as an image with unit spacing.

    An array whose last of three axes has three or four entries is taken as RGB(A), and the last of four axes
    with up to four entries as channels; build an `Image` where that guess is wrong. The mask of a masked
    array is kept.

    Raises
    ------
    ValueError
        If it holds no numbers, has too few axes, or so many that one of them must be time or channels.
    """
    if isinstance(image, Image):
        return image
    data = np.asanyarray(image)
    if data.dtype.kind not in "biufc":
        raise ValueError(
            f"{str(image)[:60]!r} is not an image; give an array of numbers, or what "
            "napari_voxreg.io.images.read_image makes of a file."
        )
    if data.ndim < 2:
        raise ValueError(f"An image needs two or three axes; this array has the shape {data.shape}.")
    if data.ndim > 4 or (data.ndim == 4 and data.shape[-1] > 4):
        raise ValueError(
            f"Which axis of the array of shape {data.shape} is time or channels; "
            "give one time point, and channels, four at most, as the last axis?"
        )
    coloured = data.ndim == 4 or (data.ndim == 3 and data.shape[-1] in (3, 4) and min(data.shape[:2]) > 4)
    shape = data.shape[:-1] if coloured else data.shape
    if coloured and data.ndim == 3 and data.shape[-1] == 4:
        data = with_opacity(data)
    return Image(data, Grid.from_spacing(shape), name)


def apply_affine(matrix: Array, points: npt.ArrayLike) -> Array:
    """Map points (N, d) by a homogeneous matrix (d + 1, d + 1)."""
    # For such small matrices einsum takes a quarter of the time of a matrix product, whatever the order.
    mapped: Array = np.einsum("ni,ji->nj", np.asarray(points, dtype=float), matrix[:-1, :-1])
    mapped += matrix[:-1, -1]
    return mapped


def is_plain_unit(unit: object) -> bool:
    """Whether a text is the name of a unit, such as "mm" or "micrometer", and nothing to compute."""
    return isinstance(unit, str) and len(unit) <= LONGEST_UNIT and unit.isidentifier() and not iskeyword(unit)


def unit_factor(source: str, target: str) -> float:
    """How many `target` units one `source` unit is.

    Raises
    ------
    ValueError
        If one cannot be converted to the other, or is not the plain name of a unit.
    """
    if source == target:
        return 1.0
    for unit in (source, target):
        if not is_plain_unit(unit):  # pint would compute it, for ever if it were 9**9**9**9
            raise ValueError(f"{unit[:40]!r} is not the name of a unit; choose one such as mm or micrometer.")
    import pint

    registry = pint.get_application_registry()
    try:
        # "pixel" converts to "dot" alone, so lengths against pixels end here as they should.
        factor = float(registry.Quantity(1.0, source).to(target).magnitude)
    except (pint.PintError, ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"Units cannot be converted from {source!r} to {target!r}; "
            "give both images lengths or both pixels."
        ) from error
    if not math.isfinite(factor) or factor <= 0:
        raise ValueError(f"Units cannot be converted from {source!r} to {target!r}; choose plain lengths.")
    return factor


def short_unit(unit: str) -> str:
    """A unit in its short form: "mm", "µm", "px"; a unit without one stays as it is."""
    return SHORT_UNITS.get(unit, unit)


def unit_columns(matrix: Array) -> Array:
    """A matrix with each column divided by its length (zero columns stay zero)."""
    length = np.linalg.norm(matrix, axis=0)
    return matrix / np.where(length > 0, length, 1.0)
