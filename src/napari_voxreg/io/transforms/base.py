"""What every format of transform files has: how it is recognised, read and written."""

from __future__ import annotations

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.geometry import Grid, unit_factor
from ...transforms import Transform
from ..guards import check_regular, reading

HEAD = 2**16  # bytes by which a file is recognised; a bare matrix must end within them


# Of a file whose images are not those of its chain: the end of a sentence.
ALONE = (
    "in a chain, these are not known, so convert it to .h5 by itself first (napari-voxreg convert, with its "
    "own --fixed and --moving)"
)


@dataclass(frozen=True, eq=False)
class Grids:
    """The grids of the two images, as far as they are known.

    Parameters
    ----------
    fixed, moving : Grid or None
    units : tuple of str or None
        Of the world that the transform maps from, where that is known without the fixed image's grid.
    in_chain : bool
        Whether the transform is one of several, so that the images between them are not known.
    """

    fixed: Grid | None = None
    moving: Grid | None = None
    units: tuple[str, ...] | None = None
    in_chain: bool = False

    @property
    def world(self) -> tuple[str, ...] | None:
        """The units of the fixed world, None where they are not known."""
        return self.units if self.fixed is None else self.fixed.units

    def both(self, name: str, why: str) -> tuple[Grid, Grid]:
        """The two grids.

        Parameters
        ----------
        name : str
            Of the file that needs them.
        why : str
            The end of a sentence that begins with what the file holds.

        Raises
        ------
        ValueError
            If one is not known.
        """
        if self.in_chain and (self.fixed is None or self.moving is None):
            raise ValueError(f"{name} {why}; {ALONE}.")
        if self.fixed is None or self.moving is None:
            raise ValueError(f"{name} {why}; give both, as fixed and moving image (--fixed and --moving).")
        return self.fixed, self.moving


@dataclass(frozen=True, eq=False)
class Found:
    """What a file holds.

    Parameters
    ----------
    transform : Transform
        From the fixed to the moving world.
    notes : tuple of str
        Sentences for the user: what was decided, and what is approximate.
    """

    transform: Transform
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format of transform files.

    Parameters
    ----------
    title : str
        What it is, for messages and lists.
    recognises : callable
        Takes the first bytes of a file, unpacked; whether it is of this format.
    read : callable
        Takes the path of a file and the `Grids`, and gives what it `Found`.
    write : callable or None
        Takes a transform, a path, the `Grids` and gives notes; None for formats that are only read.
    endings : tuple of str
        Of names: those of new files, which also decide between formats of the same content.
    millimetres : bool
        Whether its numbers are millimetres, whatever the unit of the images; else they count in that of the
        fixed image.
    shown_as : str or None
        The format of the same content that is read unless this one is stated.
    """

    title: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Path, Grids], Found]
    write: Callable[[Transform, Path, Grids], tuple[str, ...]] | None = None
    endings: tuple[str, ...] = ()
    millimetres: bool = False
    shown_as: str | None = None


def in_millimetres(grid: Grid | None) -> Grid | None:
    """A grid in millimetres if its unit is a length; others, such as pixels, stay as they are."""
    if grid is None or not are_lengths(grid.units):
        return grid
    return grid.in_units(("millimeter",) * grid.ndim)


def are_lengths(units: Sequence[str]) -> bool:
    """Whether all units are lengths; pixels are not."""
    return all(_is_length(unit) for unit in units)


def _is_length(unit: str) -> bool:
    try:
        return unit_factor(unit, "millimeter") > 0
    except ValueError:
        return False


def head_of(path: Path) -> bytes:
    """The first bytes of a file, unpacked if it is packed by gzip, and without a byte order mark of UTF-8.

    Raises
    ------
    ValueError
        If there is no such file, or it cannot be unpacked.
    """
    check_regular(path, "transform file")
    with reading(path), path.open("rb") as file:
        head = file.read(HEAD)
        if not head.startswith(b"\x1f\x8b"):
            return head.removeprefix(BOM_UTF8)
        file.seek(0)
        try:
            with gzip.open(file) as unpacked:
                return unpacked.read(HEAD)
        except EOFError:  # a short file that was cut off: what there is says what it was
            return zlib.decompressobj(31).decompress(head, HEAD)
