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
    beside: Tensor | None = None,
) -> bool:
    """Change parameters by the gradient of a loss, clipped, and averaged over the processes.

    Parameters
    ----------
    loss : Tensor
    optimizer : Optimizer
    parameters : sequence of Parameter
    processes : Processes, optional
    beside : Tensor, optional
        Another loss that counts as much, whatever the units of the two: each gradient has unit length.

    Returns
    -------
    bool
        False, and nothing was changed, if the gradient is not finite.
    """
    optimizer.zero_grad()
    if beside is None:
        loss.backward()
    else:
        for each in (loss, beside):
            _add_direction(each, parameters)
    share_gradients(processes or SingleProcess(), parameters)
    length = nn.utils.clip_grad_norm_(parameters, LONGEST_STEP)
    if not bool(torch.isfinite(length)):
        return False
    optimizer.step()
    return True


def _add_direction(loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    """Add the gradient of a loss, scaled to unit length, to what the parameters have."""
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    there = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    length = torch.stack([g.norm() for _, g in there]).norm().clamp_min(1e-12)
    for parameter, gradient in there:
        step = gradient / length
        parameter.grad = step if parameter.grad is None else parameter.grad + step


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
