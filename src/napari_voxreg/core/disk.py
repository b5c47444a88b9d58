"""Full disks in one sentence, and temporary folders of our own that nobody else's clean-up touches."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PREFIX = "napari-voxreg-"
# In each temporary folder: that it is ours, and that its owner lives. What is written there may hold a .lock.
MARK, LOCK = ".napari-voxreg", ".napari-voxreg-lock"


class DiskFull(OSError):
    """The disk of a folder is full, in one sentence that names the folder."""


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Raise `DiskFull` in place of the system's error, which does not name the disk.

    Parameters
    ----------
    folder : Path
        Where everything inside the ``with`` is written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(folder) from error
        raise


def disk_full(folder: Path) -> DiskFull:
    """The error that names the disk of a folder, and what to do about it."""
    remedy = "free some space there"
    if folder == Path(tempfile.gettempdir()):
        remedy += ", or name another folder for temporary files in the environment variable TMPDIR"
    return DiskFull(f"The disk of {folder} is full; {remedy}, and start again.")


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A temporary folder, removed in the end; should the process be killed, by the next one.

    Parameters
    ----------
    parent : Path, optional
        Where it is made, hidden; by default among the system's temporary files.

    Raises
    ------
    ValueError
        If the folder of temporary files has a name that is not UTF-8.
    DiskFull
        If there is no space for it.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    check_utf8(place)
    _clean_once(place)
    with full_disk_named(place):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX if parent is None else f".{PREFIX}", dir=place))
    lock = FileLock(folder / LOCK)
    try:
        # Where a file system has no locks, the folder is not marked, and so nobody else removes it.
        with suppress(OSError, NotImplementedError):
            lock.acquire()
            (folder / MARK).touch()
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(place: Path) -> None:
    """Remove the temporary folders in a folder that `scratch_folder` made and whose owner was killed.

    The mark says that a folder is ours. It is set once the owner holds the lock, which the system frees when
    the owner ends, however it ends, on whatever machine or in whatever container.
    """
    for folder in (*place.glob(f"{PREFIX}*"), *place.glob(f".{PREFIX}*")):
        with suppress(OSError, NotImplementedError, Timeout):
            if not (folder / MARK).is_file() or folder.is_symlink() or not _own(folder):
                continue
            with FileLock(folder / LOCK, timeout=0):
                pass
            shutil.rmtree(folder, ignore_errors=True)


@cache
def _clean_once(place: Path) -> None:
    with suppress(OSError):  # a folder that cannot be listed
        remove_leftovers(place)


def _own(folder: Path) -> bool:
    """Whether a folder belongs to the user of this process."""
    return os.name != "posix" or folder.stat().st_uid == os.geteuid()


def check_utf8(path: Path) -> None:
    """Refuse a name that is not UTF-8, which ITK cannot open and no table can hold.

    Raises
    ------
    ValueError
        In one sentence that names it.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        name = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise ValueError(f"The name {name} is not UTF-8; rename the file or folder.") from error
