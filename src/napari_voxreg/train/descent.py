"""The one step downhill that recipes and runs on own pairs take."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .team import Alone, Team, share_gradients

LONGEST_STEP = 1.0  # norm to which a gradient is clipped


def descend(
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[torch.nn.Parameter],
    team: Team | None = None,
) -> bool:
    """Change parameters by the gradient of a loss, clipped, and averaged over the processes of a team.

    Returns
    -------
    bool
        False, and nothing was changed, if the gradient is not finite.
    """
    optimizer.zero_grad()
    loss.backward()
    share_gradients(team or Alone(), parameters)
    length = torch.nn.utils.clip_grad_norm_(parameters, LONGEST_STEP)
    if not bool(torch.isfinite(length)):
        return False
    optimizer.step()
    return True
