"""How many threads computations use."""

from __future__ import annotations

import os
import sys

# Read when a library is loaded; those that are loaded are told.
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
_given = {name: os.environ.get(name) for name in VARIABLES}
_count = 0


def chosen() -> int:
    """The number of threads in force; 0 if each library takes as many as it likes."""
    return _count


def use(count: int) -> None:
    """Limit the threads of each library that computes, here and in the child process.

    Parameters
    ----------
    count : int
        0 leaves the choice to the libraries and the environment.
    """
    global _count
    if count == _count:
        return
    _count = count
    for name, given in _given.items():
        if count:
            os.environ[name] = str(count)
        elif given is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = given
    threads = count or int(_given["OMP_NUM_THREADS"] or 0) or os.cpu_count() or 1
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "SimpleITK" in sys.modules:
        sys.modules["SimpleITK"].ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(threads)
