"""Choice of the device for tensors, and the fallback to the CPU.

Nothing else in the package chooses a device. Torch is imported on use: a process that never loads it can
check a name, and list the devices through the child process.
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
# Messages of torch and the libraries under it, where they raise no exception of their own for it.
_FULL = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def check_name(name: str) -> None:
    """Raise a `ValueError` for a name that is not a device on any machine."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"There is no device {name!r}; choose from: auto, cpu, cuda, mps, or cuda:1 for a second GPU."
        )


def check_device(name: str, progress: Progress = silent) -> None:
    """Refuse an absent device; the child process checks, so that this one does not load torch.

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
    """Names of the devices of this machine: "auto", "cpu", then each GPU."""
    progress(None, "looking for GPUs")
    import torch

    names = ["auto", "cpu"]
    if torch.cuda.is_available():
        names += ["cuda", *(f"cuda:{k}" for k in range(1, torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return tuple(names)


def described() -> dict[str, str]:
    """The devices of `available` but "auto", each with its maker's name, and what torch was built for."""
    import torch

    found = {"torch is built for": torch.version.cuda or torch.version.hip or "the CPU"}
    for name in available()[1:]:
        if name.startswith("cuda"):
            found[name] = torch.cuda.get_device_name(torch.device(name))
        else:
            found[name] = "Apple" if name == "mps" else f"{torch.get_num_threads()} threads"
    return found


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
        If there is no such device, or it is absent on this machine.
    """
    import torch

    check_name(name)
    return torch.device("cpu" if name == "cpu" else _chosen(name, available()))


def with_fallback(work: Callable[[torch.device], T], device: str) -> tuple[T, str, str | None]:
    """Run `work` on a device, and on the CPU if that device fails.

    Parameters
    ----------
    work : callable
        Called with the device; called again with the CPU if the device has too little memory or lacks an
        operation.
    device : str
        As `device_named` takes it.

    Returns
    -------
    value
        Of `work`.
    device : str
        That computed the value: "cpu", "cuda", "cuda:1" or "mps".
    note : str or None
        A sentence for the user if that is not the chosen device.

    Raises
    ------
    ValueError
        If the device is absent; raised before any work.
    """
    import torch

    where = device_named(device)
    if where.type == "cpu":
        return work(where), "cpu", None
    try:
        # By default cuDNN convolves with 10 bits of mantissa (TF32); then GPU and CPU differ visibly.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return work(where), str(where), None
    except (RuntimeError, MemoryError, TypeError) as error:
        why = reason_to_leave(error)
        if why is None:
            raise
    # Outside the handler, which would keep alive what fills the memory.
    note = f"The {where.type.upper()} device {why}; the CPU did the work."
    return work(torch.device("cpu")), "cpu", note


def reason_to_leave(error: Exception) -> str | None:
    """Why the CPU must take over, in a few words; None for any other error."""
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
    """Bytes that this process can still allocate, within a container's limit; infinite except on Linux.

    Linux grants memory that it does not have and kills the process that fills it, so check beforehand.
    """
    free = math.inf
    memory = _text("/proc/meminfo")
    found = re.search(r"^MemAvailable:\s*(\d+) kB", memory, re.MULTILINE)
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
    """Resolve a name to one of the present devices; raise a `ValueError` if it is absent."""
    if name == "auto":
        return there[2] if len(there) > 2 else "cpu"
    name = "cuda" if name == "cuda:0" else name
    if name in there:
        return name
    kind = name.partition(":")[0]
    if kind in there:
        raise ValueError(f"There is no {name} on this machine; choose from: {', '.join(there)}.")
    raise ValueError(f"There is no {kind.upper()} device on this machine; choose auto or cpu.")
