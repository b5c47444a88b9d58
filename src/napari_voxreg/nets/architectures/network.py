"""Base class of the registration networks, and their prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's prediction for a batch of pairs.

    Parameters
    ----------
    displacement : Tensor, shape (B, d, *shape)
        In pixels, array-axis order: x + u(x) is the point of the moving image that corresponds to x.
    velocity : Tensor, shape (B, d, *coarse), optional
        Stationary velocity whose flow is the displacement, in pixels of the images. The outermost nodes of
        its lattice are the images' outermost pixels.
    affine : Tensor, shape (B, d, d + 1), optional
        Matrix and translation of an affine map in pixels about the images' centre. The displacement
        includes it.
    extras : mapping of str to Tensor
        Other tensors to show, (B, C, *shape) each.
    """

    displacement: Tensor
    velocity: Tensor | None = None
    affine: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


class Network(nn.Module):
    """Base of the networks: two images on one grid to a map from the fixed to the moving image.

    Subclasses pass their arguments to ``super().__init__``, so that a checkpoint can rebuild them:
    ``type(net)(**net.arguments)`` has the same layers.

    Parameters
    ----------
    ndim : int
        2 or 3.
    stride : int
        Sides must be multiples of it; the caller pads and crops.
    arguments : mapping
        The constructor's keyword arguments; serialisable as JSON.

    Attributes
    ----------
    first_side : int or None
        Largest longest side in its first pass, pixels, if motions may exceed those it was trained on. Each
        further pass has about twice as many pixels and starts from the displacement so far. None: one pass.
    last_side : int or None
        Longest side beyond which its coarse prediction only takes longer, pixels. None: no limit.
    steps : int
        Steps of an affine network, or of the affine part of a network, each on the moving image as warped so
        far; may be set at any time.
    decaying_affine_penalty : bool
        Whether training penalises its affine map's distance from the identity, less with every epoch.
    """

    first_side: int | None = None
    last_side: int | None = None
    steps: int = 1
    decaying_affine_penalty: bool = False

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
    def field_kind(self) -> str:
        """Kind of field it predicts, in a few words for the user; empty if there is only one kind."""
        return ""

    @property
    def affine_part(self) -> Network | None:
        """The network inside this one that predicts an affine map first; None without one."""
        return None

    def with_levels(self, fixed: Tensor, moving: Tensor) -> tuple[Prediction, list[Tensor]]:
        """Prediction of a batch, and every displacement that enters the training loss, the finest last."""
        prediction = self(fixed, moving)
        return prediction, [prediction.displacement]

    def loss_weight(self, fixed: Tensor, warped: Tensor) -> Tensor | None:
        """Weight of each pixel in an unsupervised loss; by default None, which is the same for all.

        Parameters
        ----------
        fixed, warped : Tensor, shape (B, 1, *shape)
            Of any size.

        Returns
        -------
        Tensor, shape (B, 1, *shape), or None
            Only its ratio to its mean counts. It has no gradient.
        """
        return None

    def later_pass(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch already aligned by an earlier, coarser pass; by default as any other."""
        return self(fixed, moving)


def conv(ndim: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    """Convolution class for 2 or 3 axes."""
    return nn.Conv2d if ndim == 2 else nn.Conv3d
