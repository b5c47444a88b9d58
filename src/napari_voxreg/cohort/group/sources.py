"""Which images make a cohort, and what their names say of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from ...core.geometry import Image
from ...io.guards import user_path
from ...io.pairs import NameParts, list_images, read_names
from ...io.pairs.lists import read_lines
from ...io.pairs.names import natural_key
from ..series.frames import Frames, Series, frames_of

LISTS = (".txt", ".csv")
HEADINGS = ("image", "path", "file")  # of a list, in its first line


def cohort_frames(images: Series | Frames, pattern: str | None = None) -> Frames:
    """The images of a cohort, and patient, side and date where names say them.

    Parameters
    ----------
    images : sequence of Image or of path, path, or Frames
        The images; a folder with them; a list of paths, one a line (.txt or .csv), which start at the list's
        folder; or file names with ``*``. Those of a folder are ordered by patient, side and date, else by
        name; a list keeps its order.
    pattern : str, optional
        A regular expression with the groups ``id``, ``laterality`` and ``date``, as `read_names` takes it.
        Images in whose names it is not found are left out.

    Raises
    ------
    ValueError
        If fewer than two images are left, or the pattern is no regular expression.
    """
    if isinstance(images, Frames):
        return images
    paths, ordered = _paths(images)
    if not paths:
        return frames_of(images)
    parts = read_names(paths, pattern)
    if pattern is not None:
        parts = tuple(one for one in parts if one.read)
        if len(parts) < 2:
            raise ValueError(
                f"The pattern {pattern!r} is found in {len(parts)} of {len(paths)} names, "
                f"as {paths[0].name}; a cohort needs two images or more."
            )
    if not ordered:
        parts = tuple(sorted(parts, key=_by_visit))
    chosen = [one.source for one in parts if isinstance(one.source, Path)]
    counts = Counter(path.name for path in chosen)
    # In different folders files may have the same name.
    names = tuple(p.name if counts[p.name] == 1 else f"{p.parent.name}/{p.name}" for p in chosen)
    return replace(frames_of(chosen), names=names, parts=parts)


def _paths(images: Series) -> tuple[list[Path], bool]:
    """The files that are named, none for images in memory; and whether their order was given."""
    if isinstance(images, (list, tuple)) and images and all(isinstance(one, (str, Path)) for one in images):
        return [Path(one) for one in images], True
    if not isinstance(images, (str, Path)):
        return [], False
    path = user_path(images)
    if path.is_dir():
        return list_images(path), False
    if any(mark in str(path) for mark in "*?["):
        found = [file for file in path.parent.glob(path.name) if not file.name.startswith(".")]
        if len(found) < 2:
            raise ValueError(f"{path} names {len(found)} files; a cohort needs two or more.")
        return found, False
    if path.suffix.lower() in LISTS:
        return _listed(path), True
    return [path], True


def _listed(path: Path) -> list[Path]:
    """The paths in a list."""
    lines = [line.strip('"') for line in read_lines(path)]
    if lines and lines[0].casefold() in HEADINGS:
        del lines[0]
    if len(lines) < 2:
        raise ValueError(f"{path.name} lists {len(lines)} images; a cohort needs two or more, one a line.")
    return [path.parent / line for line in lines]


def _by_visit(parts: NameParts) -> tuple[list[tuple[int, int, str]], ...]:
    """A key by patient, side and date, then by name."""
    source = parts.source
    name = source.name if isinstance(source, (Path, Image)) else ""
    said = (parts.patient.casefold(), parts.laterality, parts.date) if parts.read else ("", "", "")
    return (*map(natural_key, said), natural_key(name))
