"""Points of one image and of a pair, as files hold them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from ...core.geometry import Array, Grid, unit_factor

FLAT = 1e-6  # how far points of a plane may lie from 0 along the third axis
Held = TypeVar("Held", "PointFile", "PairFile")


@dataclass(frozen=True, eq=False)
class PointFile:
    """Points of one image, with what their file says of them.

    Parameters
    ----------
    points : ndarray, shape (N, d), float64
        In array-axis order: world points, or indices.
    labels : tuple of str
        One for each point; empty where the file has none.
    unit : str or None
        Of the coordinates; None where it is that of the image.
    indices : bool
        Whether they are indices of the image's pixels instead of world points.
    notes : tuple of str
        What a user should know: that points were left out, say.
    """

    points: Array
    labels: tuple[str, ...] = ()
    unit: str | None = None
    indices: bool = False
    notes: tuple[str, ...] = ()

    def on(self, grid: Grid | None, name: str) -> PointFile:
        """The same points in the world and the units of their image.

        Parameters
        ----------
        grid : Grid or None
            The image's; None where it is not known.
        name : str
            Of the file, for messages.

        Raises
        ------
        ValueError
            If they are indices and the image is not known or has another number of axes.
        """
        if self.indices:
            return self._from_indices(grid, name)
        if grid is None or not len(self.points):
            return self
        points = self.points
        if points.shape[1] == 3 and grid.ndim == 2 and np.abs(points[:, 0]).max() <= FLAT:
            points = points[:, 1:]  # of programs that know 3D images only
        if self.unit is None or "pixel" in grid.units or points.shape[1] != grid.ndim:
            return replace(self, points=points)
        factors = [unit_factor(self.unit, unit) for unit in grid.units]
        return replace(self, points=points * factors, unit=grid.units[-1])

    def _from_indices(self, grid: Grid | None, name: str) -> PointFile:
        if grid is None:
            raise ValueError(
                f"{name} holds indices of an image that is not known; write world points instead."
            )
        if self.points.shape[1] != grid.ndim:
            raise ValueError(
                f"{name} holds {self.points.shape[1]}D indices and its image is {grid.ndim}D; "
                "give points of that image."
            )
        return replace(self, points=grid.to_world(self.points), unit=grid.units[-1], indices=False)


@dataclass(frozen=True, eq=False)
class PairFile:
    """Corresponding points of two images.

    Parameters
    ----------
    fixed, moving : ndarray, shape (N, d), float64
        World points in array-axis order, each in the units of its image; line by line the same place.
    labels : tuple of str
        One for each pair; empty where the file has none.
    notes : tuple of str
        What a user should know.
    units : tuple of str or None
        Of the fixed and the moving points; None where it is that of the image.
    """

    fixed: Array
    moving: Array
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    units: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True)
class Format(Generic[Held]):
    """A format of files with points (`PointFile`) or pairs of points (`PairFile`).

    Parameters
    ----------
    title : str
        What to call it.
    endings : tuple of str
        Of its files, the usual one first.
    recognises : callable
        Whether a text is of this format.
    read : callable
        The text and the file's name to what they hold; a `ValueError` says in one sentence what is wrong.
    write : callable
        What is to be written, and the text of a file of this format or an empty one, to a text. Where there
        is one, it is that text with other coordinates.
    """

    title: str
    endings: tuple[str, ...]
    recognises: Callable[[str], bool]
    read: Callable[[str, str], Held]
    write: Callable[[Held, str], str]


def in_millimetres(held: PointFile) -> Array:
    """Points in millimetres (N, d), or as they are where their unit is no length."""
    if held.unit in (None, "pixel", "degree"):
        return held.points
    return held.points * unit_factor(str(held.unit), "millimeter")


def in_space(points: Array) -> Array:
    """Points (N, 2) or (N, 3) as (N, 3), those of a plane at 0."""
    return points if points.shape[1] == 3 else np.insert(points, 0, 0.0, axis=1)


def numbers(cells: list[str]) -> Array:
    """Texts as numbers; Java writes Infinity."""
    return np.array([float(cell) for cell in cells])


def check_finite(points: Array, what: str) -> None:
    """Refuse points (N, d) that are NaN or infinite, which lie nowhere.

    Raises
    ------
    ValueError
        If there is one; it says what holds it and which one it is.
    """
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=-1))
    if len(wrong):
        raise ValueError(
            f"Point {wrong[0] + 1} of {what} has a coordinate that is not finite; complete or delete it."
        )


def left_out(name: str, count: int, what: str) -> tuple[str, ...]:
    """The note on points that a file marks as not to be used; none for no points."""
    if not count:
        return ()
    points = "point" if count == 1 else "points"
    return (f"{count} {points} of {name} {'is' if count == 1 else 'are'} left out: {what}.",)
