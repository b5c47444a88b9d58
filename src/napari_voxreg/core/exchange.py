"""What the parent and the child send each other: pickles in a folder, large arrays as files of their own."""

from __future__ import annotations

import mmap
import os
import pickle
import traceback
from pathlib import Path
from typing import Any

from .disk import full_disk_named

LARGE = 2**16  # bytes from which a buffer gets a file of its own


def write_value(value: object, folder: Path, name: str) -> None:
    """Pickle a value into a folder; large buffers go into files of their own."""
    count = 0

    def aside(buffer: pickle.PickleBuffer) -> bool:
        nonlocal count
        with buffer.raw() as raw:
            if raw.nbytes < LARGE:
                return True  # stays in the pickle
            with full_disk_named(folder.parent):
                (folder / f"{name}.{count}").write_bytes(raw)
        count += 1
        return False

    try:
        pickled = pickle.dumps(value, protocol=5, buffer_callback=aside)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"This cannot be sent to or from the child process: {error}.") from error
    with full_disk_named(folder.parent):
        (folder / name).write_bytes(pickled)


def read_value(folder: Path, name: str, mapped: bool = False) -> Any:
    """Undo `write_value`, with the large buffers in memory or mapped (private: changes stay here)."""
    buffers: list[Any] = []
    while (file := folder / f"{name}.{len(buffers)}").exists():
        with file.open("rb") as opened:
            if mapped:
                buffers.append(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY))
            else:
                buffers.append(bytearray(file.stat().st_size))
                opened.readinto(buffers[-1])
    if mapped and os.name == "posix":
        # Should both processes be killed, at least no large file stays behind.
        for k in range(len(buffers)):
            (folder / f"{name}.{k}").unlink()
    return pickle.loads((folder / name).read_bytes(), buffers=buffers)


def portable(error: Exception) -> Exception:
    """The exception, or its text where its class does not survive a pickle, with the traceback as a note."""
    where = "In the child process:\n" + "".join(traceback.format_exception(error))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 (classes may fail in any way here)
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(where)
    return copy
