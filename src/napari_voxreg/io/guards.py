"""Opening files that may be damaged or made to do harm: one sentence with their name says what is wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

DAMAGED = "it may be damaged or cut off"
FREE = 768 * 2**20  # bytes that any file may unpack to: 200 megapixels in colour, whatever they show
DENSEST = 300  # bytes from one, beyond that: more than any image or array with contents is compressed


@contextmanager
def reading(path: Path, remedy: str = DAMAGED) -> Iterator[None]:
    """Whatever reading a damaged file raises becomes a `ValueError` of one sentence with the file's name.

    Parameters
    ----------
    path : Path
        The file. Errors of one line that name it already are passed on.
    remedy : str
        The end of the sentence, without its full stop.
    """
    try:
        yield
    except MemoryError as error:
        raise ValueError(
            f"{path.name} needs more memory than there is; close other programs, or give a smaller file."
        ) from error
    except PermissionError as error:
        raise ValueError(f"{path.name} cannot be read; you lack the permission.") from error
    except Exception as error:
        said = str(error)
        if isinstance(error, ValueError) and path.name in said and "\n" not in said:
            raise
        raise ValueError(f"{path.name} cannot be read; {remedy}.") from error


def check_regular(path: Path, kind: str = "file") -> None:
    """Refuse what is no file, such as a folder, a device or a named pipe, which would block for ever.

    Parameters
    ----------
    path : Path
        Where it should be.
    kind : str
        What to call it where it is missing.

    Raises
    ------
    ValueError
        If there is nothing, or something else, at the path.
    """
    try:
        there, regular = path.exists(), path.is_file()
    except (OSError, ValueError):  # a name that no file can have, or a folder that cannot be entered
        there = regular = False
    if not there:
        raise ValueError(f"There is no {kind} {str(path)[:300]}; check the path or choose another one.")
    if not regular:
        raise ValueError(f"{path.name} is not a regular file; choose another one.")


def exists(path: Path) -> bool:
    """Whether there is a file or folder; no for a name that none can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def check_claim(name: str, claimed: int, stored: int) -> None:
    """Refuse contents that would unpack to far more than any image does, before memory is taken for them.

    Parameters
    ----------
    name : str
        Of the file.
    claimed : int
        Bytes in memory, by its header.
    stored : int
        Bytes on disk.

    Raises
    ------
    ValueError
        If the claim is large and the file is too small for it.
    """
    if claimed > FREE and claimed > DENSEST * stored:
        raise ValueError(
            f"{name} claims {claimed / 2**30:.1f} GB of contents in {stored / 2**20:.1f} MB; "
            "it may be damaged, write it again with less compression."
        )


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises
    ------
    ValueError
        If it is missing or no text.
    """
    check_regular(path)
    with reading(path, "it is no text in UTF-8, choose another file"):
        return path.read_text(encoding="utf-8-sig")


def read_json(path: Path) -> Any:
    """The value that a JSON file holds.

    Raises
    ------
    ValueError
        If it is missing, or damaged in any way, such as brackets nested thousands deep.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is damaged (it is not valid JSON); copy it again.") from error


def user_path(path: Path | str) -> Path:
    """A path as typed, with ``~`` replaced by the home folder.

    Raises
    ------
    ValueError
        If there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path} names a user without a home folder; write out the whole path.") from error


def quiet_tifffile() -> AbstractContextManager[None]:
    """Without tifffile's log, which tells each tag that it does not understand; the reader checks its own."""
    return quiet("tifffile")


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Without the log of a library, by the log's name; what matters is raised, too."""
    log = logging.getLogger(library)
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
