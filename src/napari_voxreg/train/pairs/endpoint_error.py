"""How far displacements are from the true ones, where pairs have them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...nets.losses import endpoint_error
from ...tensor.correlation import moments
from ...tensor.similarity import box_mean_batch
from ...tensor.warp import identity
from .prepare import TRUTH

SMOOTHED = 5  # pixels over which noise is averaged before texture is measured
WINDOW = 9  # pixels over which it is measured
TEXTURE = 0.03  # deviation of the averaged brightness there, of a range of 1; speckle of four looks has 0.02


def is_known(tensors: Mapping[str, Tensor]) -> bool:
    """Whether any true displacement is."""
    return TRUTH in tensors and bool(torch.isfinite(tensors[TRUTH]).any())


def distance(tensors: Mapping[str, Tensor], displacement: Tensor) -> Tensor:
    """Mean distance from the true displacements, wherever they are known: what supervision makes small.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Of a batch.
    displacement : Tensor, shape (B, d, \\*shape)
        In pixels.
    """
    known = torch.isfinite(tensors[TRUTH]).all(1, keepdim=True)
    return endpoint_error(displacement, torch.where(known, tensors[TRUTH], 0.0), known.float())


def error(tensors: Mapping[str, Tensor], displacement: Tensor) -> Tensor | None:
    """The same over the pixels where a correct prediction differs from a guess: what users are shown.

    These are places that have texture in the fixed image (`textured`) and that the moving image shows too.

    Returns
    -------
    Tensor or None
        Pixels; None where there is no such place.
    """
    if TRUTH not in tensors:
        return None
    truth = tensors[TRUTH]
    shape = tuple(truth.shape[2:])
    last = torch.tensor(shape, device=truth.device).view(-1, *(1,) * len(shape)) - 1
    there = identity(shape, displacement) + truth
    # What is not known is not inside either.
    inside = ((there >= 0) & (there <= last)).all(1, keepdim=True)
    counted = inside & textured(tensors["fixed"])
    if not bool(counted.any()):
        return None
    return endpoint_error(displacement, torch.where(counted, truth, 0.0), counted.float())


def textured(images: Tensor) -> Tensor:
    """Where images (B, 1, \\*shape) in [0, 1] show something to go by, and not noise alone; bool."""
    return moments(box_mean_batch(images, SMOOTHED), WINDOW)[1] > TEXTURE**2
