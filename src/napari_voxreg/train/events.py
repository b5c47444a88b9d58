"""Events that a training reports, as plain values that can be sent between processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ..core.geometry import Array, Grid

Request = Literal["go", "pause", "stop"]
Control = Callable[[], Request]
"""Called between any two steps, and every tenth of a second while waiting or paused."""


@dataclass(frozen=True)
class Losses:
    """Means over pairs; `total` is what training minimises, with symmetry and Dice where they are chosen.

    `error` is the mean distance from the true displacements in pixels, where pairs have them, over textured
    pixels that both images show (`train.pairs.endpoint_error.error`).
    """

    total: float
    similarity: float
    smoothness: float
    error: float | None = None


@dataclass(frozen=True)
class Row:
    """A line of history: an epoch, or with number 0 the validation before the first step.

    `seconds` are those of all training so far.
    """

    epoch: int
    step: int
    training: Losses | None
    validation: Losses | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """One value a column; None where there is none."""
        values: dict[str, Any] = {"epoch": self.epoch, "step": self.step}
        for prefix, losses in (("train", self.training), ("val", self.validation)):
            for field in fields(Losses):
                values[f"{prefix}_{field.name}"] = losses and getattr(losses, field.name)
        return values | {"seconds": self.seconds}


@dataclass(frozen=True)
class Preparing:
    """What is done before the first step, in a few words: loading, reading, the first validation."""

    text: str


@dataclass(frozen=True)
class Began:
    """A run is under way: where, with how many pairs, pixels and parameters."""

    folder: Path
    training: int
    validation: int
    shape: tuple[int, ...]
    device: str
    parameters: int
    epochs: int
    steps: int
    history: tuple[Row, ...]


@dataclass(frozen=True)
class Stepped:
    """A step was taken; sent at most ten times a second.

    `seconds_left` until the last epoch; `memory` is what the GPU holds in bytes, None on the CPU. `waited`
    is the fraction of this epoch's time in which training waited for pairs.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: Losses
    seconds_left: float
    memory: int | None
    waited: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch is over and validated; `best` if none was better."""

    row: Row
    best: bool


@dataclass(frozen=True, eq=False)
class Example:
    """The example pair as the network registers it now.

    Images are (*grid.shape) in [0, 1], the displacement (d, *grid.shape) in pixels of the grid.
    """

    step: int
    name: str
    grid: Grid
    fixed: Array
    moving: Array
    warped: Array
    displacement: Array


@dataclass(frozen=True)
class Paused:
    """The run waits, with everything saved; the next `Stepped` means that it has resumed."""

    step: int


@dataclass(frozen=True)
class Said:
    """A sentence for the user: a pair that cannot be read, say."""

    text: str


@dataclass(frozen=True)
class Choice:
    """The weights that a training from shipped weights kept, measured as Register uses them.

    Parameters
    ----------
    measure : str
        What was measured of held-out pairs: "error in pixels", "landmark error", "1 - Dice" or "1 - LNCC".
    pairs : int
        How many of them.
    before, after : float
        Its mean with the shipped weights and with those that were kept.
    fraction : float
        Of the tuned weights in those that were kept; 0 if they are the shipped ones.
    others : float
        By what fraction the error on generated pairs rose.
    """

    measure: str
    pairs: int
    before: float
    after: float
    fraction: float
    others: float

    def describe(self) -> str:
        """One sentence for the user."""
        if not self.fraction:
            return "No better than the shipped weights, which are kept."
        return (
            f"Held-out {self.measure}: {self.before:.3g} -> {self.after:.3g} "
            f"({100 * (self.after / self.before - 1):+.0f} % against the shipped weights; "
            f"{100 * self.others:+.0f} % on generated pairs)."
        )


@dataclass(frozen=True)
class Ended:
    """The run is over.

    `reason` is "done" (all epochs), "early" (no better validation), "stopped" (by the user) or "not a number"
    (the loss); `text` is the sentence for it. `best` and `last` are the weights, where there are any.
    `choice` is that of a training from shipped weights which was not stopped.
    """

    reason: Literal["done", "early", "stopped", "not a number"]
    text: str
    epoch: int
    best: Path | None
    last: Path | None
    choice: Choice | None = None


@dataclass(frozen=True)
class Failed:
    """The run ended by an error, `text` in a sentence, `details` for experts; what was saved is intact.

    Sent only by a run in a process of its own; elsewhere the exception is raised.
    """

    text: str
    details: str = ""


Event = Preparing | Began | Stepped | EpochDone | Example | Paused | Said | Ended | Failed
Report = Callable[[Event], None]
