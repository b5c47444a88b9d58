"""The slices of a DICOM series: whether they make an even grid, which ITK assumes, and where that lies.

The frames of an enhanced multi-frame file are slices, too. ITK does not report where each of them lies, and
reads uneven ones as if all pixels had a size of 1 mm.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.geometry import Array, Image
from . import itk_files
from .headers import Refused

POSITION, ORIENTATION = "0020|0032", "0020|0037"
# Begin of the elements that say where the frames lie (shared and per frame), and of the pixels.
SHARED, PER_FRAME, PIXELS = b"\x00\x52\x29\x92", b"\x00\x52\x30\x92", b"\xe0\x7f\x10\x00"
SAME = 1e-3  # millimetres between two slices that lie at one place, and between the axes of two orientations
ROUNDED, EVEN = (
    0.01,
    0.05,
)  # distances between slices by which one may lie beside an even grid unsaid, and said


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do; no for one that cannot be opened, and for a folder or pipe."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


@dataclass(frozen=True, eq=False)
class Slices:
    """The slices of a series in the order of their places.

    Parameters
    ----------
    files : tuple of str
        One a slice, or a single one with all of them.
    positions : ndarray, shape (N, 3), or None
        Of each slice's first pixel, (x, y, z) in millimetres; None where the files do not say it.
    note : str
        How far they lie beside an even grid, if that is more than rounding.
    """

    files: tuple[str, ...]
    positions: Array | None = None
    note: str = ""

    def placed(self, image: Image) -> Image:
        """The volume that ITK made of them, with its planes where the slices were taken.

        ITK lays the planes above one another, which the slices of a tilted gantry do not.
        """
        if self.positions is None or len(self.positions) != len(image.data):
            return image
        affine = image.grid.affine.copy()
        affine[:3, 0] = ((self.positions[-1] - self.positions[0]) / (len(self.positions) - 1))[::-1]
        affine[:3, 3] = self.positions[0][::-1]
        own = replace(image.grid, affine=affine)
        near = np.abs(own.corners() - image.grid.corners()).max() < ROUNDED * own.spacing.min()
        return replace(image, grid=image.grid if near else own, notes=(self.note,) if self.note else ())


def sorted_slices(files: Sequence[str], name: str) -> Slices:
    """Sort the files of a series by position, and check that the slices lie on an even grid.

    Parameters
    ----------
    files : sequence of str
        Of one series, a slice each, or one file with all slices as frames.
    name : str
        Of the folder or file, for messages.

    Raises
    ------
    Refused
        If slices lie at one place, lie across each other, or are missing.
    """
    single = len(files) == 1
    places = _frames(Path(files[0])) if single else [_place(file) for file in files]
    known = [place for place in places if place is not None]
    if len(known) < max(2, len(places)):
        return Slices(tuple(files))

    def refusal(fault: str, remedy: str) -> Refused:
        return Refused(f"{fault}; {'convert it with dcm2niix' if single else remedy}.")

    orientations, found = (np.array(values) for values in zip(*known, strict=True))
    if np.abs(orientations - orientations[0]).max() > SAME:
        raise refusal(
            f"{name} holds slices of several orientations in one series",
            "put those of each orientation into a folder of their own",
        )
    along = found @ np.cross(orientations[0, :3], orientations[0, 3:])
    if single and along[-1] < along[0]:
        along = -along  # frames stay in the order of the file, which may go downwards
    order = np.argsort(along, kind="stable")
    positions, steps = found[order], np.diff(along[order])
    if (twice := int((steps < SAME).sum())) > 0:
        raise refusal(
            f"In {name}, {twice} of {len(found)} slices lie where another does (copies, echoes or points in "
            "time)",
            "put one slice of each place into a folder of its own",
        )
    step = float(along.max() - along.min()) / (len(found) - 1)
    even = np.linspace(positions[0], positions[-1], len(found))
    beside = float(np.linalg.norm(positions - even, axis=1).max())
    if beside > EVEN * step:
        raise refusal(
            f"The slices of {name} lie {steps.min():.4g} to {steps.max():.4g} mm apart, as if some were "
            "missing",
            "add these, or convert the folder with dcm2niix, which makes the distances even",
        )
    if single and (np.diff(order) < 0).any():
        raise refusal(f"The slices of {name} are not stored in the order of their places", "")
    note = f"The slices of {name} lie up to {beside:.2g} mm beside the even grid on which they are read."
    ordered = tuple(files) if single else tuple(files[k] for k in order)
    return Slices(ordered, positions, note if beside > ROUNDED * step else "")


def _place(file: str) -> tuple[list[float], list[float]] | None:
    """The two in-plane directions (6 numbers) and the position (3) of a slice; None where it does not say."""
    try:
        reader = itk_files.read_header(Path(file))
        orientation, position = (
            [float(number) for number in reader.GetMetaData(tag).split("\\")]
            for tag in (ORIENTATION, POSITION)
        )
    except (RuntimeError, ValueError):  # whoever reads the pixels says what is wrong
        return None
    return (orientation, position) if (len(orientation), len(position)) == (6, 3) else None


def _frames(path: Path) -> list[tuple[list[float], list[float]] | None]:
    """Orientation and position of each frame of an enhanced multi-frame file; none of any other file.

    ITK reports no element within sequences. There the positions stand, one a frame, whatever else is there.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stored:
            start = max(stored.find(SHARED), 0) or stored.find(PER_FRAME)
            end = stored.find(PIXELS, start)
            text = stored[start:end] if 0 <= start < end else b""
    positions, orientations = _numbers(text, b"\x32", 3), _numbers(text, b"\x37", 6)
    if not positions or len(orientations) not in (1, len(positions)):
        return []
    return list(zip(orientations * (len(positions) // len(orientations)), positions, strict=True))


def _numbers(text: bytes, element: bytes, count: int) -> list[list[float]]:
    """The values of all elements (0020,00xx) with so many numbers, in either of the two encodings."""
    found = []
    for match in re.finditer(rb"\x20\x00" + element + rb"\x00(?:DS(..)|(..)\0\0)", text, re.DOTALL):
        length = int.from_bytes(match[1] or match[2], "little")
        try:
            numbers = [float(x) for x in text[match.end() : match.end() + length].rstrip(b"\0 ").split(b"\\")]
        except ValueError:
            continue
        if len(numbers) == count:
            found.append(numbers)
    return found
