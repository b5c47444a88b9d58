"""One training at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .distributed import Processes
from .events import Request

LOCK = ".lock"
ENDING = 10.0  # seconds that a run may take to save after a request to stop


@contextmanager
def locked(folder: Path, processes: Processes, wait: float) -> Iterator[None]:
    """Keep other trainings out of a folder, which is made if need be.

    The system frees the lock when the process ends, however it ends, so no stale lock remains.

    Parameters
    ----------
    folder : Path
    processes : Processes
        That train in it together; none goes on before the first one holds the lock.
    wait : float
        Seconds to wait for another one that may be ending.

    Raises
    ------
    ValueError
        If another training holds it.
    OSError
        If the folder cannot be written.
    """
    lock = FileLock(folder / LOCK)
    request: Request = "go"
    if processes.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            request = "stop"
    if processes.agree(request) == "stop":
        raise ValueError(f"Another training is on in {folder}; stop it first, or choose another folder.")
    try:
        yield
    finally:
        lock.release()
