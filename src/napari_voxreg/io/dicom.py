"""The slices of a DICOM series: whether they make an even grid, which ITK assumes, and where that lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..core.geometry import Array, Image

POSITION, ORIENTATION = "0020|0032", "0020|0037"
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
        One a slice.
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
        if self.positions is None:
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
        Of one series, a slice each.
    name : str
        Of the folder, for messages.

    Raises
    ------
    ValueError
        If slices lie at one place, lie across each other, or are missing.
    """
    places = [_place(file) for file in files]
    known = [place for place in places if place is not None]
    if len(files) < 2 or len(known) < len(files):
        return Slices(tuple(files))
    orientations, found = (np.array(values) for values in zip(*known, strict=True))
    if np.abs(orientations - orientations[0]).max() > SAME:
        raise ValueError(
            f"{name} holds slices of several orientations in one series; "
            "put those of each orientation into a folder of their own."
        )
    along = found @ np.cross(orientations[0, :3], orientations[0, 3:])
    order = np.argsort(along, kind="stable")
    positions, steps = found[order], np.diff(along[order])
    if (twice := int((steps < SAME).sum())) > 0:
        raise ValueError(
            f"In {name}, {twice} of {len(files)} slices lie where another does (copies, echoes or points in "
            "time); put one slice of each place into a folder of its own."
        )
    step = float(along.max() - along.min()) / (len(files) - 1)
    even = np.linspace(positions[0], positions[-1], len(files))
    beside = float(np.linalg.norm(positions - even, axis=1).max())
    if beside > EVEN * step:
        raise ValueError(
            f"The slices of {name} lie {steps.min():.4g} to {steps.max():.4g} mm apart, as if some were "
            "missing; add these, or convert the folder with dcm2niix, which makes the distances even."
        )
    note = f"The slices of {name} lie up to {beside:.2g} mm beside the even grid on which they are read."
    return Slices(tuple(files[k] for k in order), positions, note if beside > ROUNDED * step else "")


def _place(file: str) -> tuple[list[float], list[float]] | None:
    """The two in-plane directions (6 numbers) and the position (3) of a slice; None where it does not say."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(file)
    try:
        reader.ReadImageInformation()
        orientation, position = (
            [float(number) for number in reader.GetMetaData(tag).split("\\")]
            for tag in (ORIENTATION, POSITION)
        )
    except (RuntimeError, ValueError):  # whoever reads the pixels says what is wrong
        return None
    return (orientation, position) if (len(orientation), len(position)) == (6, 3) else None
