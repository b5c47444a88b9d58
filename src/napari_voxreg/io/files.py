"""Writing files: whole or not at all, and refused before the work where they cannot be written."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..core.disk import FULL, DiskFull, check_utf8, disk_full, scratch_folder
from ..core.progress import Cancelled

BLOCK = 4096  # bytes, by which disks give space
# On Windows a file cannot be replaced while another process reads it, as a panel reads that of a training.
PATIENCE = 2.0 if os.name == "nt" else 0.0  # seconds to wait for the reader


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a path beside the target, of the same ending, and move what it wrote into place.

    Parameters
    ----------
    path : Path
        The target; its folder is made if need be. What stood there stays until the new file is complete.
    write : callable
        Writes the file at the path that it is given.

    Raises
    ------
    DiskFull
        If the disk is full, whatever error the library makes of it.
    OSError
        If the file cannot be written, in one sentence that names it.
    ValueError
        If its name is not UTF-8.
    """
    check_utf8(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder of our own beside the target: same file system, and files in it get the usual permissions.
        with scratch_folder(path.parent) as folder:
            temporary = folder / path.name
            try:
                write(temporary)
                with temporary.open("rb+") as file:
                    os.fsync(file.fileno())  # some disks say only now that they are full
            except Cancelled:
                raise
            except Exception as error:
                if _is_about_space(error, folder):
                    raise disk_full(path.parent) from error
                raise
            _into_place(temporary, path)
    except DiskFull:
        raise
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.strerror is not None:
            raise OSError(f"{path} cannot be written: {error.strerror}; choose another folder.") from error
        reason = " ".join(str(error).split())
        raise OSError(f"{path} was not written ({reason}); check the space on its disk.") from error


def check_outputs(*paths: Path) -> None:
    """Refuse files that could not be written, before any work is done for them; makes no folder.

    Parameters
    ----------
    *paths : Path
        Files to be written; their folders need not exist yet.

    Raises
    ------
    OSError
        If one cannot be written there, in one sentence that names the place; `DiskFull` without space.
    ValueError
        If a name is not UTF-8.
    """
    for path in paths:
        check_utf8(path)
        try:
            wrong = f"{path} is a folder; choose another name or move it away." if path.is_dir() else ""
            place = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
            if not place.is_dir():
                wrong = f"{place} is not a folder; choose another one for the output."
            elif not wrong:
                _probe(place)
        except OSError as error:
            if error.errno in FULL:
                raise disk_full(place) from error
            wrong = f"{path} cannot be written: {error.strerror}; choose another folder for the output."
        if wrong:
            raise OSError(wrong)


def _there(path: Path) -> bool:
    """Whether a path exists; not if its name is too long, which `check_outputs` tells."""
    try:
        return path.exists()
    except OSError:
        return False


def check_inputs_kept(inputs: Sequence[Path | None], outputs: Sequence[Path]) -> None:
    """Refuse to write over a file that is read.

    Raises
    ------
    ValueError
        In one sentence that names the file.
    """
    for path in outputs:
        if _there(path) and any(x is not None and _there(x) and path.samefile(x) for x in inputs):
            raise ValueError(f"{path} is an input and would be written over; choose another output.")


def check_replaceable(path: Path, beginning: str) -> None:
    """Refuse to replace a file that this package has not written.

    Parameters
    ----------
    path : Path
        To be written; need not be there.
    beginning : str
        Of all files that are written there.

    Raises
    ------
    ValueError
        In one sentence that names the file.
    """
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            ours = file.read(len(beginning.encode())) == beginning.encode()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; choose another folder.") from error
    if not ours:
        raise ValueError(f"{path} is there and holds something else; choose another folder.")


def _into_place(temporary: Path, path: Path) -> None:
    """Rename a complete file, once nobody reads the one that it replaces."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            temporary.replace(path)
            return
        except PermissionError:
            if time.monotonic() >= end:
                raise
        time.sleep(0.02)


def _probe(folder: Path) -> None:
    """Write one more block into a folder, which leaves nothing; raises the system's error."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(BLOCK))


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no space for one more block."""
    try:
        _probe(folder)
    except OSError as failure:
        return failure.errno in FULL
    return False


def _is_about_space(error: Exception, folder: Path) -> bool:
    """Whether a full disk is behind an error of a library, which often names no reason.

    What it wrote is still in the folder and fills the disk.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    return is_full(folder)
