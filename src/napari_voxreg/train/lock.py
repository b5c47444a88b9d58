"""One training at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .distributed import Processes
from .events import Wish

LOCK = ".lock"
ENDING = 10.0  # seconds that a run which was just told to stop may take to save itself


@contextmanager
def held(folder: Path, team: Processes, wait: float) -> Iterator[None]:
    """Keep other trainings out of a folder, which is made if need be.

    The system itself frees it when the process is gone, however that ended, so that nothing stale stays.

    Parameters
    ----------
    folder : Path
    team : Team
        Those who train in it together; none goes on before the first one holds it.
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
    wish: Wish = "go"
    if team.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            wish = "stop"
    if team.agree(wish) == "stop":
        raise ValueError(f"Another training is on in {folder}; stop it first, or choose another folder.")
    try:
        yield
    finally:
        lock.release()
