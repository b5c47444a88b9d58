"""The files that a series and a cohort write beside their transforms."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..io.files import replace_file


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table, the file whole or not at all."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    replace_file(path, partial(Path.write_text, data=text.getvalue(), encoding="utf-8", newline=""))


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, the file whole or not at all."""
    replace_file(
        path, partial(Path.write_text, data=json.dumps(record, indent=1), encoding="utf-8", newline="")
    )


def folder_names(names: list[str]) -> list[str]:
    """A folder's name for each image: that of its file without the ending, numbered where two are alike."""
    found: list[str] = []
    for name in names:
        plain = name.removesuffix(".gz").rsplit(".", 1)[0] if "." in name.strip(".") else name
        plain = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in plain).strip(
            ". "
        )
        plain = plain or "image"
        number, candidate = 2, plain
        # On some systems names that differ in capitals only are the same file.
        while candidate.casefold() in {other.casefold() for other in found}:
            candidate, number = f"{plain} {number}", number + 1
        found.append(candidate)
    return found


def check_apart(images: Iterable[Path], folder: Path) -> None:
    """Refuse an output folder that holds images which are read: results would be written over or among them.

    Raises
    ------
    ValueError
        In one sentence that names the folder.
    """
    place = folder.resolve()
    if any(place in (image.resolve(), image.resolve().parent) for image in images):
        raise ValueError(f"The folder {folder} holds images that are registered; choose another output.")


@contextmanager
def held(folder: Path | None) -> Iterator[None]:
    """Keep a folder to this run as long as the context lasts; None needs no folder.

    Raises
    ------
    ValueError
        If another run has it.
    """
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        where = folder.parent
        raise ValueError(
            f"Another run writes into {where}; wait for it, or choose another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()
