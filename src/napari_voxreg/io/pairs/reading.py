"""Reading a pair, its fingerprint, and whether a set is 2D or 3D."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from tifffile import TiffFile

from ...core.geometry import Array, Grid, Image
from ...core.pixels import counted
from .. import itk_files
from ..flo import read_flo
from ..guards import check_regular, quiet_tifffile, reading
from ..headers import check_image
from ..images import MEDICAL, PLAIN, TIFF, ending_of, read_unlogged
from ..points import read_landmarks, read_points
from ..tiff import TIME
from ..transforms import load_unlogged
from .hdf5 import read_stored_array, read_stored_image, stored_digest
from .values import ROLES, Pair, Source, Stored, array_digest, name_of_source


@dataclass(frozen=True, eq=False)
class LoadedPair:
    """A pair in memory.

    Parameters
    ----------
    name : str
        The pair's.
    fixed, moving : Image
        both 2D or both 3D, without axes of one pixel; pixels as stored, channels last.
    fixed_mask, moving_mask : Image, optional
        Boolean, True counts.
    fixed_labels, moving_labels : Image, optional
        As stored.
    fixed_landmarks, moving_landmarks : ndarray, shape (N, d), optional
        World points, line by line the same place.
    displacement : ndarray, shape (d, \\*fixed shape), float32, optional
        In pixels, (row, column) or (plane, row, column): x + u(x) is a place in the moving image. NaN where
        the file marks it unknown.
    """

    name: str
    fixed: Image
    moving: Image
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    fixed_labels: Image | None = None
    moving_labels: Image | None = None
    fixed_landmarks: Array | None = None
    moving_landmarks: Array | None = None
    displacement: Array | None = None


def read_pair(pair: Pair) -> LoadedPair:
    """Read all members of a pair.

    A true displacement may be a .flo file, a .npy array of shape (d, \\*shape) in pixels, or a transform
    (.h5, .tfm; see `load_transform`). A transform maps the fixed image's world to the moving image's.

    Raises
    ------
    ValueError
        If a file is missing or damaged, or the members do not fit together; the sentence names it.
    """
    (fixed, grid), (moving, grid_too) = _space(pair.fixed), _space(pair.moving)
    if fixed.ndim != moving.ndim:
        raise ValueError(
            f"In the pair {pair.name}, the fixed image is {fixed.ndim}D and the moving image {moving.ndim}D; "
            "pair images of one kind."
        )
    first, second, notes = landmarks_of(pair, grid, grid_too)
    fixed = replace(fixed, notes=(*fixed.notes, *notes))
    points = _flat(first, pair.fixed_landmarks, grid), _flat(second, pair.moving_landmarks, grid_too)
    if points[0] is not None and points[1] is not None and len(points[0]) != len(points[1]):
        raise ValueError(
            f"The pair {pair.name} has {len(points[0])} fixed and {len(points[1])} moving landmarks; "
            "write one line for each place in both files."
        )
    return LoadedPair(
        pair.name,
        fixed,
        moving,
        _mask(_like(fixed, pair.fixed_mask, "mask")),
        _mask(_like(moving, pair.moving_mask, "mask")),
        _like(fixed, pair.fixed_labels, "label image"),
        _like(moving, pair.moving_labels, "label image"),
        *points,
        _displacement(pair.displacement, fixed, moving),
    )


def read_source(source: Source) -> Image:
    """Read an image from wherever it is.

    Raises
    ------
    ValueError
        If the file is missing or damaged; the sentence names it.
    """
    if isinstance(source, Image):
        return source
    return read_unlogged(source) if isinstance(source, Path) else read_stored_image(source)


def read_displacement(source: Path | Stored | Array, fixed: Image, moving: Image) -> Array:
    """Read a true displacement, (d, \\*shape) in pixels, float32; see `read_pair`.

    Raises
    ------
    ValueError
        If the file is missing or damaged, of a kind that is not known, or not of the fixed image's shape.
    """
    name = "array" if isinstance(source, np.ndarray) else name_of_source(source)
    if isinstance(source, np.ndarray):
        field = source
    elif isinstance(source, Stored):
        field = read_stored_array(source)
    elif source.suffix.lower() == ".flo":
        field = np.moveaxis(read_flo(source), -1, 0)
    elif source.suffix.lower() == ".npy":
        check_regular(source)
        with reading(source):
            # Mapped, so that a header which claims too much takes no memory.
            field = np.asarray(np.load(source, mmap_mode="r", allow_pickle=False))
            if field.dtype.kind not in "biuf":
                raise ValueError("no numbers")
    elif source.suffix.lower() in (".h5", ".tfm"):
        there = load_unlogged(source, fixed.grid)(fixed.grid.nodes())
        index = moving.grid.in_world_of(fixed.grid).to_index(there)
        field = index.T.reshape(fixed.ndim, *fixed.grid.shape) - np.indices(fixed.grid.shape)
    else:
        raise ValueError(
            f"{source.name} cannot be read as a displacement field; give a .flo, .npy, .h5 or .tfm file."
        )
    wanted = (fixed.ndim, *fixed.grid.shape)
    if field.shape != wanted:
        raise ValueError(
            f"The displacement {name} has the shape {field.shape}, but {fixed.name} needs {wanted}; "
            "give one value an axis at each pixel of the fixed image."
        )
    return field.astype(np.float32)


def content_hash(pair: Pair) -> str:
    """The fingerprint of all that a pair holds: sha256 over its members' files, in hexadecimal digits.

    It does not depend on names or places of files, and packing into a pair file does not change it.

    Raises
    ------
    ValueError
        If a file is missing.
    """
    lines = [
        f"{role} {member_digest(source)}" for role in ROLES if (source := getattr(pair, role)) is not None
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def member_digest(source: Source | Array) -> str:
    """The sha256 of a member's file, or of its pixels and grid where it is no file."""
    if isinstance(source, Path):
        try:
            if not source.is_dir():
                return _file_digest(source, *_stamp(source))
            slices = [
                _file_digest(file, *_stamp(file)) for file in sorted(source.iterdir()) if file.is_file()
            ]
        except OSError as error:
            raise ValueError(f"{source} cannot be read; check the path.") from error
        return hashlib.sha256("".join(slices).encode()).hexdigest()
    if isinstance(source, Stored):
        return stored_digest(source)
    if isinstance(source, Image):
        return array_digest(source.data, source.grid.affine)
    return array_digest(source)


def check_one_kind(pairs: Iterable[Pair]) -> None:
    """Refuse a set that mixes 2D and 3D, by the headers of its files; damaged files are left to `read_pair`.

    Raises
    ------
    ValueError
        Naming one image of each kind.
    """
    first: dict[int, Source] = {}
    # Each image once, however many pairs it is in; a pair file was checked before it was written.
    sources = dict.fromkeys(source for pair in pairs for source in (pair.fixed, pair.moving))
    for source in sources:
        if isinstance(source, Stored):
            continue
        if (ndim := _ndim(source)) is not None:
            first.setdefault(ndim, source)
        if len(first) > 1:
            kinds = " and ".join(f"{name_of_source(first[d])} is {d}D" for d in sorted(first))
            raise ValueError(f"2D and 3D images cannot be mixed ({kinds}); make a set of each.")


def _ndim(source: Path | Image) -> int | None:
    """The number of axes in space of more than one pixel, from the header; None where it does not say."""
    if isinstance(source, Image):
        shape: tuple[int, ...] = source.grid.without(source.grid.thin_axes()).shape
        return len(shape)
    ending = ending_of(source)
    try:
        if source.is_file():
            check_image(source, ending)
        if source.is_dir() or ending in PLAIN:
            return None if source.is_dir() else 2
        if ending in TIFF:
            with quiet_tifffile(), TiffFile(source) as tiff:
                series = tiff.series[0]
                axes = zip(series.axes, series.shape, strict=True)
                return sum(axis in "YX" or (n > 1 and axis not in "TCS") for axis, n in axes)
        if ending in MEDICAL:
            sizes = [n for n in itk_files.read_header(source).GetSize()[:3] if n > 1]
            return max(2, len(sizes))
    except Exception:  # noqa: BLE001 (libraries fail in any way on a damaged file)
        return None
    return None


def read_flat(source: Source) -> Image:
    """Read an image, without its axes of one pixel.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or is a series in time; the sentence names it.
    """
    return _space(source)[0]


def _space(source: Source) -> tuple[Image, Grid]:
    """An image without axes of one pixel, and its grid with them."""
    image = read_source(source)
    if image.grid.units[0] == TIME:
        raise ValueError(f"{name_of_source(source)} is a series in time; save its time points as images.")
    thin = image.grid.thin_axes()
    return image.without(thin) if thin else image, image.grid


def _like(image: Image, source: Source | None, what: str) -> Image | None:
    """A mask or labels, which must have the shape of their image."""
    if source is None:
        return None
    other = _space(source)[0]
    if other.data.shape != image.grid.shape:
        raise ValueError(
            f"The {what} {name_of_source(source)} has the shape {other.data.shape}, but {image.name} has "
            f"{image.grid.shape}; give one value for each pixel."
        )
    return other


def _mask(image: Image | None) -> Image | None:
    return None if image is None else image.with_data(counted(image.data))


def landmarks_of(pair: Pair, fixed: Grid, moving: Grid) -> tuple[Array | None, Array | None, tuple[str, ...]]:
    """World points on the two images, (N, d) each, where there are any, and notes for the user.

    Parameters
    ----------
    pair : Pair
    fixed, moving : Grid
        Of its images.

    Raises
    ------
    ValueError
        If a file cannot be read, or no points of the two correspond; see `read_landmarks`.
    """
    sources, grids = (pair.fixed_landmarks, pair.moving_landmarks), (fixed, moving)
    first, second = sources
    if isinstance(first, Path) and isinstance(second, Path):
        found = read_landmarks(first, second, grids)
        return found.fixed, found.moving, found.notes
    points = [_points(source, grid) for source, grid in zip(sources, grids, strict=True)]
    return points[0], points[1], ()


def _points(source: Path | Stored | Array | None, grid: Grid) -> Array | None:
    if isinstance(source, Path):
        return read_points(source, grid)
    return read_stored_array(source) if isinstance(source, Stored) else source


def _flat(points: Array | None, source: Path | Stored | Array | None, grid: Grid) -> Array | None:
    """World points on an image, of whose grid only the thick axes are left."""
    if points is None or source is None:
        return None
    if points.ndim == 2 and points.shape[1] == grid.ndim:
        return grid.flat_points(points)
    ndim = grid.ndim - len(grid.thin_axes())
    if points.ndim != 2 or points.shape[1] != ndim:
        name = "array" if isinstance(source, np.ndarray) else name_of_source(source)
        raise ValueError(
            f"The landmarks {name} have the shape {points.shape}, but their image is {ndim}D; "
            f"write {ndim} coordinates a line."
        )
    return points


def _displacement(source: Path | Stored | Array | None, fixed: Image, moving: Image) -> Array | None:
    return None if source is None else read_displacement(source, fixed, moving)


def _stamp(file: Path) -> tuple[int, int]:
    """What changes when a file is written anew."""
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1 << 16)
def _file_digest(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
