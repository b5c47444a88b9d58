"""What every registration network is, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's answer to a batch of pairs.

    Parameters
    ----------
    displacement : Tensor, shape (B, d, *shape)
        In pixels, array-axis order: x + u(x) is the place in the moving image that belongs to x.
    velocity : Tensor, shape (B, d, *coarse), optional
        The stationary velocity whose flow the displacement is, in pixels of the images, on a lattice whose
        outermost nodes are the images' outermost pixels.
    affine : Tensor, shape (B, d, d + 1), optional
        An affine map's matrix and shift in pixels about the images' middle; the displacement includes it.
    extras : mapping of str to Tensor
        What else there is to see, (B, C, *shape) each.
    """

    displacement: Tensor
    velocity: Tensor | None = None
    affine: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


class Network(nn.Module):
    """Base of the networks: two images on one grid go in, a map from the fixed to the moving image comes out.

    Subclasses call ``super().__init__`` with what they were built from, so that a checkpoint can build them
    again: ``type(net)(**net.arguments)`` has the same layers.

    Parameters
    ----------
    ndim : int
        2 or 3.
    stride : int
        Sides must be multiples of it; whoever calls pads and crops.
    arguments : mapping
        The constructor's keyword arguments, as JSON could hold them.

    Attributes
    ----------
    first_side : int or None
        Where motions may be larger than those it was trained on: the pixels along the longest side of its
        first look at a pair, at most. Each further look is at about twice as many, through what was found by
        then.
    last_side : int or None
        Where its answer is coarse: the pixels along the longest side beyond which it only takes longer.
    steps : int
        How often an affine network, or the affine part of one, is applied to the moving image as warped so
        far; may be set at any time.
    cautious : bool
        Whether training lets its affine map leave the identity only gradually.
    """

    first_side: int | None = None
    last_side: int | None = None
    steps: int = 1
    cautious: bool = False

    def __init__(self, ndim: int, stride: int, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        if ndim not in (2, 3):
            raise ValueError(f"A network works on 2D or 3D images, not on {ndim}D ones.")
        self.ndim = ndim
        self.stride = stride
        self.arguments = dict(arguments)

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch.

        Parameters
        ----------
        fixed, moving : Tensor, shape (B, 1, *shape)
            In [0, 1], on one grid, sides multiples of `stride`.
        """
        raise NotImplementedError

    @property
    def manner(self) -> str:
        """What kind of field it makes, in a few words for the user; empty where there is only one kind."""
        return ""

    @property
    def affine_part(self) -> Network | None:
        """The network inside this one that finds an affine map before the rest deforms; None without one."""
        return None

    def with_levels(self, fixed: Tensor, moving: Tensor) -> tuple[Prediction, list[Tensor]]:
        """The answer to a batch and every displacement that training judges, the finest last."""
        answer = self(fixed, moving)
        return answer, [answer.displacement]

    def again(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch that an earlier, coarser look has brought closer; by default as any other."""
        return self(fixed, moving)


def conv(ndim: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    """The convolution for that many axes."""
    return nn.Conv2d if ndim == 2 else nn.Conv3d
