"""How well a network does on synthetic pairs that it was never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from ...nets.architectures.network import Network
from ...tensor.folding import jacobian_determinant
from .scenes import SOME, Objects
from .synthetic_pairs import Batch, Motion, make_batch

UNSEEN = 1_000_003  # seed of the pairs that no recipe trains on
BATCH = 8


@dataclass(frozen=True)
class Score:
    """Means over pairs.

    Parameters
    ----------
    before, after : float
        Mean distance from the true map over textured pixels, pixels, without and with the network.
    folds : float
        Fraction of the pixels whose Jacobian is negative.
    worse : float
        Fraction of the pairs that the network makes worse.
    """

    before: float
    after: float
    folds: float
    worse: float

    def as_dict(self) -> dict[str, float]:
        """For a card."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def unseen(
    count: int,
    shape: tuple[int, ...],
    motion: Motion,
    seed: int = UNSEEN,
    batch: int = BATCH,
    objects: Objects = SOME,
    alike: bool = False,
) -> list[Batch]:
    """Batches of pairs for measuring; see `make_batch`."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [min(batch, count - start) for start in range(0, count, batch)]
    return [make_batch(size, shape, motion, generator, objects, alike=alike) for size in sizes]


def score(net: Network, batches: Sequence[Batch]) -> Score:
    """Measure a network."""
    net.eval()
    with torch.inference_mode():
        rows = [_of(net(b.fixed, b.moving).displacement.float(), b) for b in batches]
    before, after, folds = (torch.cat(column) for column in zip(*rows, strict=True))
    return Score(
        float(before.mean()),
        float(after.mean()),
        float(folds.mean()),
        float((after > before).float().mean()),
    )


def _of(displacement: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Error before and after, and the fraction folded, of each pair."""
    weight = batch.textured.flatten(1)
    total = weight.sum(1).clamp_min(1)
    before = (batch.displacement.norm(dim=1).flatten(1) * weight).sum(1) / total
    after = ((displacement - batch.displacement).norm(dim=1).flatten(1) * weight).sum(1) / total
    return before, after, (jacobian_determinant(displacement) < 0).float().flatten(1).mean(1)
