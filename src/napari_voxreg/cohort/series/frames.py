"""The images of a series, read one at a time: of an array, of a list, of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.geometry import Array, Grid, Image, as_image
from ...images.nodata import without_nodata
from ...images.preprocess import driving_channel
from ...io.images import read_unlogged
from ...io.pairs import NameParts, list_images
from ...io.series import is_series
from ...transforms import warp

Series = Image | npt.ArrayLike | Sequence[Image] | Sequence[str] | Sequence[Path] | str | Path
FEWEST = 2


class Unlike(ValueError):
    """A frame can be read, but does not go with the others: axes, channels or units."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Images that follow each other, each read when it is needed.

    Parameters
    ----------
    count : int
    grid : Grid
        Of the first frame, without the axis along which the frames follow each other.
    read : callable
        Gives the frame of a number, all channels, at its position in the world.
    step : float
        From one frame to the next, in `unit`.
    unit : str
        Such as second or micrometer; "frame" where nothing is known.
    names : tuple of str
        Of the files; empty where the frames have none.
    alike : bool
        Whether all frames are known to lie on `grid`.
    parts : tuple of NameParts
        What the names of files say of patient, side and date; empty where that was not read.
    sources : tuple of Path
        The files; empty where there are none.
    """

    count: int
    grid: Grid
    read: Callable[[int], Image]
    step: float = 1.0
    unit: str = "frame"
    names: tuple[str, ...] = ()
    alike: bool = True
    parts: tuple[NameParts, ...] = ()
    sources: tuple[Path, ...] = ()

    def name(self, number: int) -> str:
        """What to call a frame in a message; they count from 0, as napari's sliders do."""
        return self.names[number] if self.names else f"frame {number}"

    def image(self, number: int, channel: int | str | None = None) -> Image:
        """The channel of a frame that drives the registration, finite float32, where the frame lies.

        Raises
        ------
        ValueError
            If the frame cannot be read, or has no pixel with data.
        """
        return driving(self.read(number), channel)

    def pixels(self, number: int, channel: int | str | None = None) -> Array:
        """The pixels of `image` on `grid`."""
        return self.placed(self.image(number, channel))

    def placed(self, image: Image) -> Array:
        """The pixels on `grid` of a frame that `image` gave."""
        if not self.alike and not image.grid.same_as(self.grid):
            image = warp(image, None, self.grid, fill=None)
        return np.ascontiguousarray(image.data, dtype=np.float32)


def driving(image: Image, channel: int | str | None) -> Image:
    """The channel of an image that drives the registration, finite float32; see `Frames.image`."""
    return without_nodata(driving_channel(image, channel))[0]


def frames_of(series: Series, axis: int | None = None) -> Frames:
    """The frames of a series, whatever holds them.

    Parameters
    ----------
    series : Image, array_like, sequence of Image, sequence of path, or path
        One image whose frames follow each other along `axis`: a movie in 2D or 3D, a stack of planes. Its
        pixels may be lazy. Or images or files, one a frame; or a folder or a pattern with ``*``, whose files
        are taken in the order of their names, numbers by their value.
    axis : int, optional
        Along which the frames of one image follow each other; the first by default.

    Raises
    ------
    ValueError
        If there are fewer than two frames, they have no two or three axes, or nothing is found.
    """
    if isinstance(series, (str, Path)):
        return _of_path(Path(series), axis)
    if isinstance(series, Image):
        return _of_image(series, axis)
    given: list[Any] = list(series) if isinstance(series, (list, tuple)) else []
    if given and all(isinstance(one, Image) for one in given):
        return _of_images(given)
    if given and all(isinstance(one, (str, Path)) for one in given):
        return _of_files([Path(one) for one in given])
    data = series if hasattr(series, "ndim") else np.asarray(series)
    return _of_array(data, axis)


def _of_path(path: Path, axis: int | None) -> Frames:
    if path.is_dir():
        files = [file for file in list_images(path) if file.is_file()]
    elif any(mark in str(path) for mark in "*?["):
        files = list(path.parent.glob(path.name))
    else:
        return replace(_of_image(read_unlogged(path), axis), sources=(path,))
    if len(files) < FEWEST:
        raise ValueError(f"{path} names {len(files)} files; a series needs two or more.")
    return _of_files(sorted(files, key=natural))


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts names with their numbers by value: t2 before t10."""
    digits, key = "", []
    for letter in f"{path.name} ":
        if letter.isdecimal():
            digits += letter
            continue
        if digits:
            key.append((0, int(digits), ""))
            digits = ""
        key.append((1, 0, letter))
    return key


def _of_files(paths: list[Path]) -> Frames:
    first = _first_readable(paths)
    _check(len(paths), first.grid)

    def read(number: int) -> Image:
        image = _flat(read_unlogged(paths[number]))
        if image.ndim != first.ndim:
            raise Unlike(
                f"{paths[number].name} is {image.ndim}D and the first image {first.ndim}D; "
                "a series needs images of one kind."
            )
        return _in_world_of(first.grid, image, paths[number].name)

    names = tuple(path.name for path in paths)
    return Frames(len(paths), first.grid, read, names=names, alike=False, sources=tuple(paths))


def _first_readable(paths: list[Path]) -> Image:
    """The first image that can be read: one damaged file stops nothing."""
    for path in paths[:-1]:
        try:
            return _flat(read_unlogged(path))
        except (ValueError, OSError):
            continue
    return _flat(read_unlogged(paths[-1]))


def _of_images(images: list[Image]) -> Frames:
    flat = [_flat(image) for image in images]
    grid = flat[0].grid
    _check(len(flat), grid)
    for image in flat:
        if image.ndim != grid.ndim:
            raise Unlike(f"{image.name or 'An image'} is {image.ndim}D and the first {grid.ndim}D.")
    names = tuple(image.name or f"frame {k}" for k, image in enumerate(images))
    placed = [_in_world_of(grid, image, name) for image, name in zip(flat, names, strict=True)]
    alike = all(image.grid.same_as(grid) for image in placed)
    return Frames(len(placed), grid, placed.__getitem__, names=names, alike=alike)


def _of_image(image: Image, axis: int | None) -> Frames:
    """The frames of one image along an array axis; the world loses the axis of the same number."""
    chosen = 0 if axis is None else axis
    if not 0 <= chosen < image.ndim:
        raise ValueError(f"The image has no axis {axis}; choose from 0 to {image.ndim - 1}.")
    grid = image.grid.without((chosen,))
    count = image.grid.shape[chosen]
    _check(count, grid)
    step = float(image.grid.spacing[chosen])
    unit = image.grid.units[chosen]
    at: tuple[Any, ...] = (slice(None),) * chosen

    def read(number: int) -> Image:
        return Image(np.asanyarray(image.data[(*at, number)]), grid, f"{image.name} {number}".strip())

    if unit == "pixel" and not is_series(image):
        step, unit = 1.0, "frame"
    return Frames(count, grid, read, step, unit)


def _of_array(data: Any, axis: int | None) -> Frames:
    """Of a plain array: (frames, rows, columns), with planes before the rows, or up to four channels last."""
    coloured = data.ndim >= 4 and data.shape[-1] <= 4
    spatial = data.ndim - coloured
    if spatial not in (3, 4):
        raise ValueError(
            f"A series has the axes (frame, row, column) or (frame, plane, row, column), and channels last; "
            f"this array has the shape {tuple(data.shape)}."
        )
    grid = Grid.from_spacing(data.shape[:spatial])
    if isinstance(data, np.ndarray):
        as_image(np.zeros((2, 2), data.dtype))  # refuses what is no number
    return _of_image(Image(data, grid), axis)


def _flat(image: Image) -> Image:
    """Without axes of one pixel."""
    thin = image.grid.thin_axes()
    return image.without(thin) if thin else image


def _in_world_of(grid: Grid, image: Image, name: str) -> Image:
    """An image in the units of the first; the name is for the message where that cannot be."""
    try:
        return replace(image, grid=image.grid.in_world_of(grid))
    except ValueError as error:
        raise Unlike(f"{name} does not go with the first image: {error}") from error


def check_channels(name: str, channels: int | None, first_name: str, usual: int | None) -> None:
    """Refuse a frame whose number of channels is not that of the first.

    Raises
    ------
    Unlike
        In one sentence.
    """
    if channels == usual:
        return
    own, other = ("one channel" if n is None else f"{n} channels" for n in (channels, usual))
    raise Unlike(f"{name} has {own} and {first_name} {other}; convert the frames to one kind first.")


def _check(count: int, grid: Grid) -> None:
    if count < FEWEST:
        raise ValueError(f"The series has {count} image; it needs two or more.")
    if grid.ndim < 2:
        raise ValueError("A single 2D image has no frames; give several images, a folder or a movie.")
    if grid.ndim > 3:
        raise ValueError(f"The frames of the series are {grid.ndim}D; they must be 2D or 3D.")
