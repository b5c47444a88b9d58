"""Processes that train together, through Lightning Fabric; and one that trains alone."""

from __future__ import annotations

import atexit
import os
import socket
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..tensor.device import device_named
from .events import Request

LOOPBACK = "127.0.0.1"
PORT = "NAPARI_VOXREG_PORT"  # the environment variable by which processes started here know the others
_distributed: Any = torch.distributed  # which does not declare the stores that it exports
_store: Any = None  # of the first process
REQUESTS: tuple[Request, ...] = ("go", "pause", "stop")


class Processes(Protocol):
    """The processes of a training, seen from one of them."""

    rank: int
    size: int

    def device(self, name: str) -> torch.device:
        """Where this process computes."""

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""

    def agree(self, request: Request) -> Request:
        """The first process's request, for all of them."""


class SingleProcess:
    """One process."""

    rank, size = 0, 1

    def device(self, name: str) -> torch.device:
        """The device of that name."""
        return device_named(name)

    def mean(self, values: Tensor) -> Tensor:
        """The tensor itself."""
        return values

    def agree(self, request: Request) -> Request:
        """The request itself."""
        return request


class FabricProcesses:
    """Several processes, on one machine or many; starts the others of this machine with the same command.

    Each takes its own pairs of every step; gradients are averaged, as in one process with all the pairs.

    Parameters
    ----------
    device : str
        As the option.
    devices : int
        Processes a machine, on a GPU each or all on the CPU.
    nodes : int
        Machines; each starts the same command, as SLURM or torchrun do.
    """

    def __init__(self, device: str, devices: int, nodes: int) -> None:
        from lightning_fabric import Fabric

        kind = device_named(device).type
        if kind == "mps":
            raise ValueError("Several processes need CUDA or the CPU; choose cuda or cpu as the device.")
        strategy = _loopback("nccl" if kind == "cuda" else "gloo", devices) if nodes == 1 else "ddp"
        self._fabric: Any = Fabric(
            accelerator="gpu" if kind == "cuda" else "cpu",
            devices=devices,
            num_nodes=nodes,
            strategy=strategy,
        )
        if nodes == 1 and not _started_elsewhere(self._fabric.strategy):
            _listen(devices)
        self._fabric.launch()
        self.rank: int = self._fabric.global_rank
        self.size: int = self._fabric.world_size

    def device(self, name: str) -> torch.device:
        """The one that is this process's own."""
        found: torch.device = self._fabric.device
        return found

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        mean: Tensor = self._fabric.all_reduce(values, reduce_op="mean")
        return mean

    def agree(self, request: Request) -> Request:
        """The first process's request, for all of them."""
        # The others add 0, so that the mean times the size is the first one's.
        number = torch.tensor(
            float(REQUESTS.index(request)) if self.rank == 0 else 0.0, device=self._fabric.device
        )
        return REQUESTS[round(float(self.mean(number)) * self.size)]


def _started_elsewhere(strategy: Any) -> bool:
    """Whether torchrun or SLURM has started the processes of Fabric's strategy."""
    return bool(strategy.cluster_environment.creates_processes_externally)


def _listen(size: int) -> None:
    """Open the meeting point of the processes that are about to be started here, on loopback only.

    Left to themselves, torch's store listens on every interface of the machine, and gloo on that of its name.
    """
    global _store
    point = socket.create_server((LOOPBACK, 0))
    port = point.getsockname()[1]
    _store = _distributed.TCPStore(
        LOOPBACK, port, size, is_master=True, wait_for_workers=False, master_listen_fd=point.detach()
    )
    os.environ |= {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(port), PORT: str(port)}
    if os.name == "posix":
        name = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        os.environ |= {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name}


def _loopback(backend: str, size: int) -> Any:
    """Fabric's strategy for the processes of one machine: they meet where `_listen` listens."""
    from lightning_fabric.strategies.ddp import DDPStrategy

    class Loopback(DDPStrategy):
        def setup_environment(self) -> None:
            """Join the others, unless torchrun or SLURM has started them all."""
            if PORT in os.environ:
                port = int(os.environ[PORT])
                store = _store or _distributed.TCPStore(LOOPBACK, port, size, is_master=False)
                torch.distributed.init_process_group(
                    backend, store=store, rank=self.local_rank, world_size=size
                )
                # Python's end may come after that of the libraries which the group needs.
                atexit.register(torch.distributed.destroy_process_group)
            super().setup_environment()

    return Loopback(process_group_backend=backend)


def share_gradients(processes: Processes, learning: Sequence[torch.nn.Parameter]) -> None:
    """Give every process the mean of all gradients."""
    if processes.size == 1:
        return
    # A parameter may have no gradient here and have one elsewhere: all must average the same ones.
    flat = torch.cat(
        [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in learning]
    )
    flat = processes.mean(flat)
    start = 0
    for p in learning:
        p.grad = flat[start : start + p.numel()].view_as(p).clone()
        start += p.numel()
