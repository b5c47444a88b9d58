"""What a pair of images to train on or to evaluate is, and a set of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...core.geometry import Array, Image

ROLES = (
    "fixed",
    "moving",
    "fixed_mask",
    "moving_mask",
    "fixed_labels",
    "moving_labels",
    "fixed_landmarks",
    "moving_landmarks",
    "displacement",
)
"""The members of a pair, as attributes of `Pair`, columns of a CSV and columns of a pair file."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An array inside an HDF5 file, read when it is needed.

    Parameters
    ----------
    file : Path
        The HDF5 file.
    dataset : str
        The array's path inside it.
    index : int, optional
        The entry along the first axis, where the dataset is a stack of images.
    """

    file: Path
    dataset: str
    index: int | None = None


Source = Path | Stored | Image
"""Where an image comes from: a file (or a folder with a DICOM series), a pair file, or memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two images that belong together, and what is known about them; nothing is read yet.

    Cheap to make, to keep and to pickle as long as its members are no images in memory.

    Parameters
    ----------
    name : str
        Unlike that of any other pair in its set.
    fixed, moving : Path, Stored or Image
        The images.
    fixed_mask, moving_mask : Path, Stored or Image, optional
        On the grid of their image; pixels that are not zero count.
    fixed_labels, moving_labels : Path, Stored or Image, optional
        On the grid of their image; whole numbers, 0 is background.
    fixed_landmarks, moving_landmarks : Path, Stored or ndarray, optional
        Corresponding points, (N, d), in the world of their image (see `read_points`).
    displacement : Path, Stored or ndarray, optional
        The true one; see `read_pair` for the kinds of file.
    fixed_patient, moving_patient : str, optional
        Whose image it is. A patient is on one side only of a split between training and validation.
    """

    name: str
    fixed: Source
    moving: Source
    fixed_mask: Source | None = None
    moving_mask: Source | None = None
    fixed_labels: Source | None = None
    moving_labels: Source | None = None
    fixed_landmarks: Path | Stored | Array | None = None
    moving_landmarks: Path | Stored | Array | None = None
    displacement: Path | Stored | Array | None = None
    fixed_patient: str | None = None
    moving_patient: str | None = None


@dataclass(frozen=True, slots=True)
class NameParts:
    """What was read out of a file's name.

    Parameters
    ----------
    source : Path or Image
        The file, or the layer's image.
    read : bool
        Whether the pattern was found in the name.
    patient, laterality, date : str
        The pattern's groups; empty where it has no such group or the group was not found.
    """

    source: Path | Image
    read: bool
    patient: str = ""
    laterality: str = ""
    date: str = ""


@dataclass(frozen=True)
class PairSet:
    """Pairs for training and for validation.

    Parameters
    ----------
    training, validation : tuple of Pair
        No image and no patient of one is in the other, but for a template that all pairs share. Where they
        could not be divided (one pair only), both are the same and a note says so.
    notes : tuple of str
        Sentences for the user: what was skipped and why.
    names : tuple of NameParts
        For the preview: what was read out of the names, where it was.
    """

    training: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    notes: tuple[str, ...] = ()
    names: tuple[NameParts, ...] = ()

    @property
    def all(self) -> tuple[Pair, ...]:
        """Every pair once, training first."""
        known = set(map(id, self.training))
        return (*self.training, *(pair for pair in self.validation if id(pair) not in known))

    @property
    def known(self) -> bool:
        """Whether every pair has its true displacements."""
        return all(pair.displacement is not None for pair in self.all)


@dataclass(frozen=True)
class Found:
    """What a source holds, before it is split.

    Parameters
    ----------
    pairs : tuple of Pair
        In the source's order.
    sets : tuple of str
        The source's own split, "train" or "val" for each pair; empty if it has none.
    notes : tuple of str
        What was skipped.
    names : tuple of NameParts
        What was read out of the names.
    template : Path or Image, optional
        What all were paired with.
    """

    pairs: tuple[Pair, ...]
    sets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names: tuple[NameParts, ...] = ()
    template: Path | Image | None = None


def name_of_source(source: Source) -> str:
    """A short name for messages and tables."""
    if isinstance(source, Path):
        return source.name
    if isinstance(source, Stored):
        return source.dataset if source.index is None else f"{source.dataset}[{source.index}]"
    return source.name


def identity(source: Source | Array) -> Hashable:
    """Equal for two members if they are the same file, entry of a file, or object in memory."""
    if isinstance(source, Path):
        return os.path.realpath(source)
    return source if isinstance(source, Stored) else id(source)


def pair_name(fixed: str, moving: str) -> str:
    """What to call a pair of files or layers of these names."""
    return fixed if fixed == moving else f"{moving} to {fixed}"


def numbered(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs with names that differ: the second of a name gets (2) after it, and so on."""
    pairs = list(pairs)
    taken = {pair.name for pair in pairs}
    seen: set[str] = set()
    result = []
    for pair in pairs:
        name, number = pair.name, 2
        while name in seen or (number > 2 and name in taken):
            name, number = f"{pair.name} ({number})", number + 1
        seen.add(name)
        result.append(pair if name == pair.name else replace(pair, name=name))
    return result


def plural(number: int, word: str) -> str:
    """A number with its noun: 1 pair, 2 pairs."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def array_digest(*arrays: Array) -> str:
    """The sha256 of arrays with their shapes and types, in hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype.str} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
        if np.ma.is_masked(array):
            digest.update(np.ma.getmaskarray(array).tobytes())
    return digest.hexdigest()
