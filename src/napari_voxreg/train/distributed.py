"""Processes that train together, through Lightning Fabric; and one that trains alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ..tensor.device import device_named
from .events import Request

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
        self._fabric: Any = Fabric(
            accelerator="gpu" if kind == "cuda" else "cpu", devices=devices, num_nodes=nodes, strategy="ddp"
        )
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
