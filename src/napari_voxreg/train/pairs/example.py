"""The example pair as a network registers it, to show the user."""

from __future__ import annotations

import torch

from ...nets.architectures.network import Network
from ...tensor.warp import warp_batch
from ..events import Example
from .prepare import Prepared


def example(net: Network, pair: Prepared, device: torch.device, step: int) -> Example:
    """A pair, the moving image as warped, and the displacement."""
    fixed, moving = (pair.tensors[side][None].to(device) for side in ("fixed", "moving"))
    with torch.no_grad():
        field = net(fixed, moving).displacement.float()
        warped = warp_batch(moving, field)
    arrays = (fixed[0, 0], moving[0, 0], warped[0, 0], field[0])
    return Example(step, pair.name, pair.grid, *(array.cpu().numpy() for array in arrays))
