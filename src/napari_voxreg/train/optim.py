"""The optimisation step shared by recipes and training on one's own pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .distributed import Processes, SingleProcess, share_gradients

LONGEST_STEP = 1.0  # norm to which a gradient is clipped
FIRST_STEPS = 10  # about over how many steps averaged weights begin


def descend(
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    processes: Processes | None = None,
) -> bool:
    """Change parameters by the gradient of a loss, clipped, and averaged over the processes.

    Returns
    -------
    bool
        False, and nothing was changed, if the gradient is not finite.
    """
    optimizer.zero_grad()
    loss.backward()
    share_gradients(processes or SingleProcess(), parameters)
    length = nn.utils.clip_grad_norm_(parameters, LONGEST_STEP)
    if not bool(torch.isfinite(length)):
        return False
    optimizer.step()
    return True


def averaging(net: nn.Module, most: float) -> AveragedModel:
    """A copy of a network with averaged weights, since at a constant rate its own fluctuate around a minimum.

    Parameters
    ----------
    net : Module
    most : float
        How much of the averaged weights stays at each step, at most.

    Returns
    -------
    AveragedModel
        To be updated after each step. Its ``n_averaged`` is the number of the next step, from 1 on: the first
        steps, which change most, soon no longer count.
    """

    def follow(means: Sequence[Tensor], values: Sequence[Tensor], step: Tensor | int) -> None:
        keep = min(most, int(step) / (int(step) + FIRST_STEPS))
        for mean, value in zip(means, values, strict=True):
            mean.lerp_(value, 1 - keep)

    averages = AveragedModel(net, multi_avg_fn=follow)
    averages.n_averaged.fill_(1)  # at 0 torch would forget the weights before the first step
    return averages
