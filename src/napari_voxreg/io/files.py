"""Writing files so that a half-written one is never left."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a path beside the target, of the same ending, and move what it wrote into place.

    Parameters
    ----------
    path : Path
        The target; its folder must exist. What stood there stays until the new file is complete.
    write : callable
        Writes the file at the path that it is given.
    """
    # A folder of our own beside the target: same file system, and files made in it get the usual permissions.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        temporary.replace(path)
