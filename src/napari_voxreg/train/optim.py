"""The one step downhill that recipes and runs on own pairs take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .distributed import Processes, SingleProcess, share_gradients

LONGEST_STEP = 1.0  # norm to which a gradient is clipped
FIRST_STEPS = 10  # about over how many steps averaged weights begin


def descend(
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    team: Processes | None = None,
) -> bool:
    """Change parameters by the gradient of a loss, clipped, and averaged over the processes of a team.

    Returns
    -------
    bool
        False, and nothing was changed, if the gradient is not finite.
    """
    optimizer.zero_grad()
    loss.backward()
    share_gradients(team or SingleProcess(), parameters)
    length = nn.utils.clip_grad_norm_(parameters, LONGEST_STEP)
    if not bool(torch.isfinite(length)):
        return False
    optimizer.step()
    return True


def follow(averaged: nn.Module, net: nn.Module, step: int, most: float) -> None:
    """Let averaged weights follow those of a network: at a constant rate these wander about what they found.

    Parameters
    ----------
    averaged, net : Module
        Of the same layers; the first is changed.
    step : int
        How many were taken, from 1 on; the first ones, which change most, soon no longer count.
    most : float
        How much of the averaged weights stays at each step, at most.
    """
    keep = min(most, step / (step + FIRST_STEPS))
    with torch.no_grad():
        for mean, value in zip(averaged.parameters(), net.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)
        for own, buffer in zip(averaged.buffers(), net.buffers(), strict=True):
            own.copy_(buffer)
