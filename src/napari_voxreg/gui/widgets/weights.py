"""Weights of finished training runs, and the methods that can use them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ... import methods
from ...io.guards import read_json

_roots: list[Path] = []  # folders of runs besides the usual one, in this session


def remember(root: Path) -> None:
    """Offer also the runs of another folder."""
    if root not in _roots:
        _roots.append(root)


def weights_for(architectures: Sequence[str]) -> tuple[Path, ...]:
    """The best weights of every run for a network of these architectures, the newest of each folder first."""
    from ...train.runs import default_root, weights_of_runs

    roots = dict.fromkeys([default_root(), *_roots])
    return tuple(file for root in roots for file in weights_of_runs(root, architectures))


def method_for(weights: Path) -> str | None:
    """The method that can use the weights of a run; None if there is none, or their card is damaged."""
    try:
        card = read_json(weights.with_suffix(".json"))
        return methods.method_for(card["architecture"])
    except (ValueError, LookupError, TypeError):
        return None
