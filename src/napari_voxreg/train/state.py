"""Where a run is: everything needed to resume it as if it had never stopped."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..io.files import replace_file
from ..io.guards import check_regular
from ..nets.architectures.network import Network
from .events import Losses, Row
from .runs import damaged, row_from


@dataclass
class Place:
    """How far a run has come; with the seed this determines all that follows.

    Parameters
    ----------
    epoch : int
        The present one, from 1 on.
    step : int
        Steps of it that are done.
    sums : Sums
        Of the losses of these steps.
    rows : list of Row
        The history.
    best : float
        The least validation loss of the present stage.
    best_epoch : int
        In which it was found.
    seconds : float
        Spent on training until `clock` was started.
    hashes, unreadable : dict of str to str
        Fingerprints, and why pairs could not be read, by name.
    """

    epoch: int = 1
    step: int = 0
    sums: Sums = field(default_factory=lambda: Sums())
    rows: list[Row] = field(default_factory=list)
    best: float = math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    hashes: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    clock: float = field(default_factory=time.perf_counter)

    def spent(self) -> float:
        """Seconds of training, all sessions together."""
        return self.seconds + time.perf_counter() - self.clock


@dataclass
class Sums:
    """Losses, weighted and added up."""

    weight: float = 0.0
    total: float = 0.0
    similarity: float = 0.0
    smoothness: float = 0.0
    error: float = 0.0
    known: float = 0.0

    def add(self, losses: Losses, weight: float) -> None:
        """One more step."""
        self.weight += weight
        self.total += weight * losses.total
        self.similarity += weight * losses.similarity
        self.smoothness += weight * losses.smoothness
        if losses.error is not None:
            self.known += weight
            self.error += weight * losses.error

    def means(self) -> Losses | None:
        """Their means; None if there were none."""
        if not self.weight:
            return None
        parts = (self.total / self.weight, self.similarity / self.weight, self.smoothness / self.weight)
        return Losses(*parts, self.error / self.known if self.known else None)


def save_state(
    path: Path, place: Place, net: Network, averaged: Network, optimizer: torch.optim.Optimizer
) -> None:
    """Write it, all or nothing.

    Raises
    ------
    OSError
        If the disk is full.
    """
    values = {
        "arguments": net.arguments,
        "net": net.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": place.epoch,
        "step": place.step,
        "sums": asdict(place.sums),
        "rows": [row.as_dict() for row in place.rows],
        "best": place.best,
        "best_epoch": place.best_epoch,
        "seconds": place.spent(),
        "hashes": place.hashes,
        "unreadable": place.unreadable,
    }
    # Through memory, since torch's own error on a full disk does not name the cause.
    content = io.BytesIO()
    torch.save(values, content)
    replace_file(path, lambda target: target.write_bytes(content.getbuffer()))


def read_state(path: Path) -> Mapping[str, Any]:
    """What `save_state` wrote.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    with damaged(path, f"start another run from {path.parent}'s weights"):
        check_regular(path)
        values: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if missing := {"arguments", "net", "averaged", "optimizer"} - set(values):
            raise ValueError(f"no {missing}")
        place_from(values)
    return values


def load_optimizer(optimizer: torch.optim.Optimizer, values: Mapping[str, Any]) -> None:
    """Put what an optimiser remembers of each parameter back; its settings follow from the run's options.

    Raises
    ------
    ValueError
        If it does not fit the parameters.
    """
    optimizer.load_state_dict({**optimizer.state_dict(), "state": values["state"]})
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for value in optimizer.state[parameter].values():
                if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
                    raise ValueError("no plain tensor")
                if value.ndim and value.shape != parameter.shape:
                    raise ValueError("another network")


def place_from(values: Mapping[str, Any]) -> Place:
    """The place recorded in a state."""
    return Place(
        epoch=int(values["epoch"]),
        step=int(values["step"]),
        sums=Sums(**{name: float(value) for name, value in values["sums"].items()}),
        rows=[row_from(row) for row in values["rows"]],
        best=float(values["best"]),
        best_epoch=int(values["best_epoch"]),
        seconds=float(values["seconds"]),
        hashes=dict(values["hashes"]),
        unreadable=dict(values["unreadable"]),
    )
