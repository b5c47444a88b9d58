"""Where networks run, and what to do when there is no room."""

from __future__ import annotations

import math
import re
from pathlib import Path

import torch

# What torch says where it has no exception of its own for it.
_FULL = ("out of memory", "can't allocate memory", "not enough memory")


def device_named(name: str) -> torch.device:
    """The device of that name; "auto" takes CUDA, else MPS, else the CPU.

    Raises
    ------
    ValueError
        If there is no such device on this machine.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, present in there.items() if present)
    kind = name.partition(":")[0]
    if kind not in there:
        raise ValueError(f"There is no device {name!r}; choose from: auto, {', '.join(there)}.")
    if not there[kind]:
        raise ValueError(f"There is no {kind.upper()} device on this machine; choose auto or cpu.")
    return torch.device(name)


def reason_to_leave(error: Exception) -> str | None:
    """Why work must go on elsewhere, in a few words; None for any other error."""
    if isinstance(error, NotImplementedError):
        return "cannot do all that the network needs"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(w in str(error).lower() for w in _FULL):
        return "has too little memory"
    return None


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
