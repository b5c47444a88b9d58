"""Landmarks of two images: which points of two files correspond, and whether they lie on their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.geometry import Array, Grid
from .files import holds_pairs, read_point_file, read_point_pairs
from .values import PairFile

SHOWN = 5  # labels that a note names


def read_landmarks(
    fixed: Path, moving: Path, grids: tuple[Grid | None, Grid | None] = (None, None)
) -> PairFile:
    """Read corresponding points from two files, or from one with pairs that is given twice.

    Where both files label their points, each label once, points with one label correspond, and those without
    a partner are left out. Else they correspond line by line.

    Parameters
    ----------
    fixed, moving : path
        See `read_points`, or twice the same; see `read_point_pairs`.
    grids : tuple of Grid or None
        Of the two images, see `read_points`.

    Raises
    ------
    ValueError
        If a file cannot be read, or the two have different numbers of points without labels in common.
    """
    if Path(fixed) == Path(moving) and holds_pairs(fixed):
        return read_point_pairs(fixed)
    first, second = (
        read_point_file(path).on(grid, Path(path).name)
        for path, grid in zip((fixed, moving), grids, strict=True)
    )
    names = Path(fixed).name, Path(moving).name
    notes = (*first.notes, *second.notes)
    common = common_labels(first.labels, second.labels)
    if common:
        alone = [*set(first.labels) - set(common), *set(second.labels) - set(common)]
        if alone:
            notes += (f"Only one of {names[0]} and {names[1]} has {_listed(alone)}; left out.",)
        at = [first.labels.index(text) for text in common], [second.labels.index(text) for text in common]
        return PairFile(first.points[at[0]], second.points[at[1]], common, notes)
    if len(first.points) != len(second.points):
        raise ValueError(
            f"There are {len(first.points)} fixed and {len(second.points)} moving landmarks in {names[0]} "
            f"and {names[1]}; write one line for each place in both files, or label the points alike."
        )
    if first.labels and second.labels:
        unclear = [name for name, one in zip(names, (first, second), strict=True) if not _unique(one.labels)]
        why = f"{' and '.join(names)} have no labels in common"
        if unclear:
            why = f"Not every point of {' and '.join(unclear)} has a label of its own"
        notes += (f"{why}; paired in their order.",)
    return PairFile(first.points, second.points, first.labels, notes)


def common_labels(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """The labels that both have, in the order of the first; none where a label is empty or there twice."""
    if not (_unique(first) and _unique(second)):
        return ()
    known = set(second)
    return tuple(label for label in first if label in known)


def _unique(labels: Sequence[str]) -> bool:
    """Whether each label names one point."""
    return len(set(labels)) == len(labels) and "" not in labels


def outside_note(points: Array, grid: Grid, which: str) -> tuple[str, ...]:
    """A sentence on the points that lie outside an image; none if all lie on it.

    Parameters
    ----------
    points : ndarray, shape (N, d)
        World points.
    grid : Grid
        Of the image, in the units of the points.
    which : str
        "fixed" or "moving".
    """
    count = int((~grid.contains(points)).sum()) if len(points) else 0
    if not count:
        return ()
    some = "All" if count == len(points) else f"{count} of the {len(points)}"
    lie = "lies" if count == 1 and count < len(points) else "lie"
    return (
        f"{some} {which} points {lie} outside the {which} image; check the units and the coordinate system "
        "of their file.",
    )


def _listed(labels: Sequence[str]) -> str:
    """Some labels in a sentence."""
    return ", ".join(sorted(labels)[:SHOWN]) + (", …" if len(labels) > SHOWN else "")
