"""A scratch folder beside the output: what is finished in it is recorded, so that a broken run goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..core.disk import check_utf8, full_disk_named
from ..core.progress import Cancelled

WORK, DONE, LOCK = "work.json", "finished.txt", "lock"


@dataclass(frozen=True)
class Scratch:
    """The folder in which an output is made.

    Parameters
    ----------
    folder : Path
        Hidden, beside the output.
    finished : set of str
        Names of the blocks that are complete.
    """

    folder: Path
    finished: set[str] = field(default_factory=set)

    def record(self, name: str) -> None:
        """Say that a block is complete."""
        with (self.folder / DONE).open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
        self.finished.add(name)


@contextmanager
def scratch_for(output: Path, work: Mapping[str, Any]) -> Iterator[Scratch]:
    """The scratch folder of an output, with what a broken run of the same work has finished.

    It is removed in the end, by Cancel and by Ctrl-C; it stays after an error or a crash, and is emptied if
    the work is another one.

    Parameters
    ----------
    output : Path
        The file or folder to be made; must not be there.
    work : mapping
        All that decides what is written, for JSON.

    Raises
    ------
    ValueError
        If another run makes it now, or the folder holds something else.
    DiskFull
        If the disk is full.
    """
    check_utf8(output)
    folder = output.parent / f".{output.name}.unfinished"
    digest = sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()
    with full_disk_named(output.parent):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ValueError(f"Another run writes {output}; wait for it, or choose another name.") from error
        try:
            yield Scratch(folder, _taken_up(folder, digest))
        except (Cancelled, KeyboardInterrupt):
            lock.release()  # Windows removes no file that is held
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def _taken_up(folder: Path, digest: str) -> set[str]:
    """The names of the finished blocks of the same work; the folder is emptied where there is none."""
    work, done = folder / WORK, folder / DONE
    if work.is_file() and work.read_text(encoding="utf-8") == digest:
        # A name without its line's end was being written when the run broke.
        lines = done.read_text(encoding="utf-8").splitlines(keepends=True) if done.is_file() else []
        whole = [line for line in lines if line.endswith("\n")]
        done.write_text("".join(whole), encoding="utf-8", newline="")
        return {line.rstrip("\n") for line in whole}
    rest = [path for path in folder.iterdir() if path.name != LOCK]
    if rest and not work.is_file():
        raise ValueError(f"{folder} holds something else; move it away, or choose another name.")
    for path in rest:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    work.write_text(digest, encoding="utf-8", newline="")
    return set()
