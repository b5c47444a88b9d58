"""Where tensors are computed, and what happens where that device has too little memory.

Nothing else in the package chooses a device. Torch is imported on use, so that a name can be checked, and
the devices be listed in the child process, by a process that never loads it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..core.process import call
from ..core.progress import Progress, silent

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

_NAME = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
# What torch and the libraries under it say where they raise no exception of its own for it.
_FULL = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def check_name(name: str) -> None:
    """Refuse, with a `ValueError`, a name that is no device on any machine."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"There is no device {name!r}; choose from: auto, cpu, cuda, mps, or cuda:1 for a second GPU."
        )


def check_device(name: str, progress: Progress = silent) -> None:
    """Refuse a device that is not there; the child process looks, so that this one loads no torch.

    Parameters
    ----------
    name : str
        As `device_named` takes it.
    progress : Progress
        Called while the child process loads torch; may raise `Cancelled`.

    Raises
    ------
    ValueError
        As `device_named`.
    """
    check_name(name)
    if name not in ("auto", "cpu"):
        _chosen(name, call(available, progress=progress))


def available(progress: Progress = silent) -> tuple[str, ...]:
    """The names of what there is on this machine: "auto", "cpu", then each GPU."""
    progress(None, "looking for GPUs")
    import torch

    names = ["auto", "cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{k}" for k in range(1, torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return tuple(names)


def device_named(name: str) -> torch.device:
    """The device of that name.

    Parameters
    ----------
    name : str
        "cpu", "cuda" (NVIDIA; "cuda:1" is the second GPU), "mps" (Apple), or "auto": CUDA, else MPS, else
        the CPU.

    Raises
    ------
    ValueError
        If there is no such device, or not on this machine.
    """
    import torch

    check_name(name)
    return torch.device("cpu" if name == "cpu" else _chosen(name, available()))


def with_fallback(work: Callable[[torch.device], T], device: str) -> tuple[T, str, str | None]:
    """Do work on a device, and on the CPU where that device cannot do it.

    Parameters
    ----------
    work : callable
        Called with the device; once more, from the beginning, with the CPU, if the first one has too little
        memory or lacks an operation.
    device : str
        As `device_named` takes it.

    Returns
    -------
    value
        Of `work`.
    device : str
        That did the work: "cpu", "cuda", "cuda:1" or "mps".
    note : str or None
        A sentence for the user if that is not the one that was chosen.

    Raises
    ------
    ValueError
        If the device is not there; before any work.
    """
    import torch

    where = device_named(device)
    if where.type == "cpu":
        return work(where), "cpu", None
    try:
        # By default cuDNN keeps 10 bits of what it convolves (TF32); then GPU and CPU differ visibly.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return work(where), str(where), None
    except (RuntimeError, MemoryError, TypeError) as error:
        why = reason_to_leave(error)
        if why is None:
            raise
    # Outside of the handler, which would keep alive what fills the memory.
    note = f"The {where.type.upper()} device {why}; the CPU did the work."
    return work(torch.device("cpu")), "cpu", note


def reason_to_leave(error: Exception) -> str | None:
    """Why work must go on elsewhere, in a few words; None for any other error."""
    # Where a type is missing on MPS, torch raises a TypeError instead of a NotImplementedError.
    if isinstance(error, NotImplementedError) or (isinstance(error, TypeError) and "MPS" in str(error)):
        return "lacks an operation that is needed"
    return "has too little memory" if is_memory_short(error) else None


def is_memory_short(error: Exception) -> bool:
    """Whether an error means that a device has too little memory."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _FULL)


def free_memory() -> float:
    """Bytes that this process may still fill, inside of a container's limit too; infinite where Linux is not.

    Linux grants memory that it does not have and ends the process that fills it: one has to ask before.
    """
    free = math.inf
    told = _text("/proc/meminfo")
    found = re.search(r"^MemAvailable:\s*(\d+) kB", told, re.MULTILINE)
    if found:
        free = 1024.0 * int(found[1])
    limit, used = _text("/sys/fs/cgroup/memory.max").strip(), _text("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        free = min(free, float(int(limit) - int(used)))
    return free


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""


def _chosen(name: str, there: tuple[str, ...]) -> str:
    """A name among those of the devices that are there; a `ValueError` if it is not."""
    if name == "auto":
        return there[2] if len(there) > 2 else "cpu"
    name = "cuda" if name == "cuda:0" else name
    if name in there:
        return name
    kind = name.partition(":")[0]
    if kind in there:
        raise ValueError(f"There is no {name} on this machine; choose from: {', '.join(there)}.")
    raise ValueError(f"There is no {kind.upper()} device on this machine; choose auto or cpu.")
