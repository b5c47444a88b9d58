"""What an earlier run wrote into a folder: what the next one does not write again is removed.

The record of a cohort or a series names the files that a run has written. Nothing else is ever removed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from .files import write_record

log = logging.getLogger(__name__)

FILES = "files"  # of the record: paths from its folder on
IMAGES = "images"  # the folder with a folder for each image


def listed(paths: Iterable[Path], folder: Path) -> list[str]:
    """Files in a folder as its record names them; those that a link leads elsewhere are left out."""
    whole, root = {path.parent.resolve() / path.name for path in paths}, folder.resolve()
    return sorted(path.relative_to(root).as_posix() for path in whole if path.is_relative_to(root))


def add_files(record: Path, paths: Iterable[Path]) -> None:
    """Name more files in a record, if it is there."""
    if not record.is_file():
        return
    kept = json.loads(record.read_text(encoding="utf-8"))
    kept[FILES] = sorted({*kept.get(FILES, []), *listed(paths, record.parent)})
    write_record(record, kept)


def files_of(record: Path) -> list[Path]:
    """The files that a record names, as far as they are there; none outside of its folder."""
    folder = record.parent.resolve()
    try:
        names = json.loads(record.read_text(encoding="utf-8"))[FILES]
        paths = [(folder / name).resolve() for name in names]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [path for path in paths if path.is_file() and path.is_relative_to(folder)]


def remove_outdated(record: Path, written: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Remove the files that a record names and a new run has not written, and folders that become empty.

    Parameters
    ----------
    record : Path
        Of the run before.
    written : iterable of Path
        Files of the new run.
    inputs : iterable of Path
        Files that it has read, and which stay: a run may go on from what an earlier one wrote.
    """
    # Where capitals do not count, a file may have another name than before.
    found = (path.stat() for path in (*written, *inputs) if path.exists())
    kept = {(about.st_dev, about.st_ino) for about in found}
    for path in files_of(record):
        about = path.stat()
        if (about.st_dev, about.st_ino) in kept:
            continue
        path.unlink()
        log.info("removed %s of an earlier run", path)
        with suppress(OSError):  # where something else is in it
            path.parent.rmdir()


def notes_on(record: Path, names: Collection[str]) -> list[str]:
    """What to say of folders of images that are no longer in the cohort.

    Parameters
    ----------
    record : Path
        Of the run before; need not be there.
    names : collection of str
        Folders that the new run writes.
    """
    images = record.parent / IMAGES
    if not images.is_dir():
        return []
    ours = set(files_of(record))
    now = {name.casefold() for name in names}
    removed: list[str] = []
    left: list[str] = []
    for folder in sorted(images.iterdir()):
        if folder.name.casefold() in now or not folder.is_dir():
            continue
        known = all(path.resolve() in ours for path in folder.iterdir())
        (removed if known else left).append(folder.name)
    notes = []
    if removed:
        listing = ", ".join(removed)
        notes.append(f"Saving removes the results of images that are no longer in the cohort: {listing}.")
    if left:
        listing = ", ".join(left)
        notes.append(f"In {images} are folders of no image of the cohort, with files of others: {listing}.")
    return notes
