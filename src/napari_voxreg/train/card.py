"""Weights of a run with what is known of them."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..io.pairs import PairSet
from ..nets.architectures.network import Network
from ..nets.checkpoints.checkpoint import save_weights
from .events import Choice, Losses, Row
from .options import TrainOptions
from .state import Place


def save_with_card(
    path: Path,
    net: Network,
    options: TrainOptions,
    shape: tuple[int, ...],
    pairs: PairSet,
    place: Place,
    row: Row,
    choice: Choice | None = None,
) -> None:
    """Write weights and their card: pairs with fingerprints, shape, options, scores and versions.

    The shape is that of the training images, at which the network registers later; empty for shipped weights.
    The choice is that of a training from shipped weights that has ended.

    Raises
    ------
    OSError
        If the disk is full.
    """
    sets = (("training", pairs.training), ("validation", pairs.validation))
    card: dict[str, Any] = {
        "data": [
            {"set": name, "pair": pair.name, "sha256": place.hashes.get(pair.name)}
            for name, some in sets
            for pair in some
        ],
        "left out": place.unreadable,
        "shape": list(shape),
        "options": options.as_dict(),
        "epoch": row.epoch,
        "steps": row.step,
        "minutes": round(row.seconds / 60, 1),
        "scores": _scores(place, row),
        "versions": {
            "napari-voxreg": version("napari-voxreg"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    if choice is not None:
        card["choice"] = vars(choice)
    save_weights(path, net, card)


def _scores(place: Place, row: Row) -> Mapping[str, Mapping[str, float | None]]:
    """Losses of this epoch, and of the validation before the first."""
    first = next((r.validation for r in place.rows if r.epoch == 0), None)
    shown: dict[str, Losses | None] = {
        "validation before training": first,
        "training": row.training,
        "validation": row.validation,
    }
    return {name: vars(losses) for name, losses in shown.items() if losses is not None}
