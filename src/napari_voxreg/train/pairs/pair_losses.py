"""The losses of training on one's own pairs: dissimilarity, roughness, and the optional terms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...nets import losses
from ...nets.architectures.network import Network, Prediction
from ...nets.architectures.vsvf import energy
from ...tensor import similarity
from ...tensor.warp import warp_batch
from ..events import Losses
from ..options import TrainOptions
from . import endpoint_error
from .data import Batch

IMAGE_SIGMA = 0.01  # of the probabilistic VoxelMorph
MOST_LABELS = 32  # that count in a step; of more, the first in a random order
COARSER = 0.5  # weight of a level against that of the next finer one
CAUTIOUS = 120  # epochs over which Shen et al. let an affine map go
MOMENTUM = 10.0  # of Shen et al.: weight of <v, m> where that of the loss's smoothness is 1


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of the cost of a batch, scalars; `error` is that of `endpoint_error.error`, in pixels."""

    total: Tensor
    similarity: Tensor
    smoothness: Tensor
    error: Tensor | None = None

    def values(self) -> Losses:
        """As numbers."""
        error = None if self.error is None else float(self.error)
        return Losses(float(self.total), float(self.similarity), float(self.smoothness), error)


@dataclass(frozen=True)
class Cost:
    """The cost of a network's prediction for a batch.

    Parameters
    ----------
    options : TrainOptions
    """

    options: TrainOptions

    def __call__(
        self, net: Network, batch: Batch, epoch: int, judging: bool = False
    ) -> tuple[Terms, Prediction]:
        """The cost in an epoch (from 1 on), and the prediction; costs with `judging` are comparable.

        Raises
        ------
        ValueError
            If the loss needs labels or displacements that the pairs do not have.
        """
        stage = self.stage(net, epoch)
        fixed, moving = batch.tensors["fixed"], batch.tensors["moving"]
        with torch.autocast(fixed.device.type, torch.bfloat16, enabled=self.options.precision == "bfloat16"):
            prediction, fields = _predicted(stage, fixed, moving)
            bound = self.options.inverse_consistency(stage.decaying_affine_penalty)
            back = _predicted(stage, moving, fixed)[0] if bound else None
        weights = [COARSER ** (len(fields) - 1 - k) for k in range(len(fields))]
        name = self._name(epoch)
        levels = [
            w * self._dissimilarity(stage, name, batch, field)
            for w, field in zip(weights, fields, strict=True)
        ]
        dissimilar = torch.stack(levels).sum() / sum(weights)
        rough = self._roughness(prediction, tuple(fixed.shape[2:]))
        let_go = self.options.epochs if judging else epoch
        total = dissimilar + self._smoothness_weight(stage, prediction, let_go) * rough
        if self.options.probabilistic:
            dissimilar = dissimilar / (2 * IMAGE_SIGMA**2)
            total = dissimilar + rough
        if back is not None:
            total = total + bound * _symmetry(prediction, back, tuple(fixed.shape[2:]))
        if self.options.dice and "fixed_labels" in batch.tensors:
            total = total + self.options.dice * _dice(batch, fields[-1])
        return Terms(
            total, dissimilar, rough, endpoint_error.error(batch.tensors, fields[-1].detach())
        ), prediction

    def stage(self, net: Network, epoch: int) -> Network:
        """The part of a network that an epoch trains, set to the number of affine steps that it then takes.

        An affine part is trained alone first, with a single step and then with all of its steps.
        """
        part = net.affine_part
        steps = net if part is None else part
        if steps.decaying_affine_penalty:
            steps.steps = 1 if self.options.single_step(epoch) else steps.arguments["steps"]
        return net if part is None or epoch > self.options.affine_part() else part

    def rate(self, epoch: int) -> float:
        """The learning rate in an epoch: half of it once affine steps follow each other."""
        several = self.options.single_step(1) and not self.options.single_step(epoch)
        momentum = self.options.architecture == "avsm" and epoch > self.options.affine_part()
        return self.options.rate * (0.5 if several and not momentum else 1.0)

    def learning(self, net: Network, epoch: int) -> list[torch.nn.Parameter]:
        """The parameters that change in an epoch: an affine part stays as it is once the rest begins."""
        learning = list(self.stage(net, epoch).parameters())
        if net.affine_part is None or epoch <= self.options.affine_part():
            return learning
        settled = {id(p) for p in net.affine_part.parameters()}
        return [p for p in learning if id(p) not in settled]

    def _name(self, epoch: int) -> str:
        """The loss of an epoch: for affine maps, Shen et al. begin with the correlation of whole images."""
        first = self.options.loss == "auto" and self.options.single_step(epoch)
        return "NCC" if first else self.options.dissimilarity

    def _dissimilarity(self, net: Network, name: str, batch: Batch, field: Tensor) -> Tensor:
        """The dissimilarity of the images under a displacement, at each pixel as the network weights it."""
        if name == "end-point error":
            if not endpoint_error.is_known(batch.tensors):
                raise ValueError("The pairs have no true displacements; choose another loss, or add them.")
            return endpoint_error.distance(batch.tensors, field)
        if name == "Dice":
            if "fixed_labels" not in batch.tensors:
                raise ValueError("The pairs have no labels on both images; choose another loss, or add them.")
            return _dice(batch, field)
        fixed, moving = batch.tensors["fixed"], batch.tensors["moving"]
        if name == "seen NCC":
            return losses.overlap_ncc(fixed, moving, field)
        warped = warp_batch(moving, field)
        weight = net.loss_weight(fixed, warped)
        if "fixed_mask" in batch.tensors:
            inside = batch.tensors["fixed_mask"] * warp_batch(batch.tensors["moving_mask"], field)
            inside = inside.detach()  # else moving everything out of the mask would lower the loss
            if name not in _WEIGHTED:
                fixed, warped = fixed * inside, warped * inside
            weight = inside if weight is None else inside * weight
        if weight is not None and name in _WEIGHTED:
            return _WEIGHTED[name](fixed, warped, weight)
        return _SIMILARITY[name](fixed, warped)

    def _roughness(self, prediction: Prediction, shape: tuple[int, ...]) -> Tensor:
        """The roughness of the prediction, by the kind of network."""
        if self.options.probabilistic:
            return losses.kl(prediction.extras["mean"].float(), prediction.extras["log_sigma"].float())
        if "momentum" in prediction.extras:
            return energy(prediction.extras["velocity"].float(), prediction.extras["momentum"].float())
        if prediction.affine is not None:
            return losses.affine_deviation(prediction.affine.float(), shape)
        field = prediction.displacement.float()
        ratio = 1.0
        if prediction.velocity is not None:
            # On a coarser lattice neighbours lie further apart.
            field = prediction.velocity.float()
            ratio = field.shape[2] / shape[0]
        if self.options.smoothness == "bending":
            return ratio**4 * losses.bending(field)
        if self.options.smoothness == "diffusion":
            return ratio**2 * losses.diffusion(field)
        slopes = [losses.charbonnier(ratio * field.diff(dim=axis)) for axis in range(2, field.ndim)]
        return torch.stack(slopes).sum()

    def _smoothness_weight(self, net: Network, prediction: Prediction, epoch: int) -> float:
        weight = self.options.smooth
        if "momentum" in prediction.extras:
            return MOMENTUM * weight
        if net.decaying_affine_penalty:
            return weight * losses.affine_weight(round(epoch * max(1.0, CAUTIOUS / self.options.epochs)))
        return weight


def _predicted(net: Network, fixed: Tensor, moving: Tensor) -> tuple[Prediction, list[Tensor]]:
    """A network's prediction, and the displacements of every level to be judged, finest last."""
    prediction, fields = net.with_levels(fixed, moving)
    return prediction, [field.float() for field in fields]


def _symmetry(there: Prediction, back: Prediction, shape: tuple[int, ...]) -> Tensor:
    if there.affine is not None and back.affine is not None and "momentum" not in there.extras:
        return losses.affine_symmetry(there.affine.float(), back.affine.float(), shape)
    return losses.map_symmetry(there.displacement.float(), back.displacement.float())


def _dice(batch: Batch, field: Tensor) -> Tensor:
    """1 - Dice of the labels, the moving ones warped; background does not count."""
    fixed, moving = batch.tensors["fixed_labels"], batch.tensors["moving_labels"]
    there = torch.cat([fixed.flatten(), moving.flatten()]).unique()
    there = there[there != 0]
    if len(there) > MOST_LABELS:
        there = there[torch.randperm(len(there))[:MOST_LABELS].to(there.device)]
    if not len(there):
        return field.sum() * 0
    column = there.view(-1, *(1,) * (fixed.ndim - 2))
    return losses.dice((fixed == column).float(), warp_batch((moving == column).float(), field))


def _mean_of(pairs: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A cost of one pair (1, *shape) as a mean over a batch."""

    def cost(fixed: Tensor, warped: Tensor) -> Tensor:
        return torch.stack([pairs(a, b) for a, b in zip(fixed, warped, strict=True)]).mean()

    return cost


def _mind(a: Tensor, b: Tensor) -> Tensor:
    return similarity.mse(similarity.mind_ssc(a), similarity.mind_ssc(b))


def _edges(fixed: Tensor, warped: Tensor) -> Tensor:
    """Charbonnier and gradient without smoothness, which has its own weight."""
    return losses.edge_aware(fixed, warped, torch.zeros_like(fixed))


_WEIGHTED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"MSE": losses.mse, "L1": losses.l1}
_SIMILARITY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "MSE": losses.mse,
    "L1": losses.l1,
    "NCC": losses.ncc,
    "LNCC": losses.lncc,
    "mk-LNCC": losses.mk_lncc,
    "NMI": _mean_of(similarity.nmi),
    "MIND": _mean_of(_mind),
    "edges": _edges,
}
