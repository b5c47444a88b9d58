"""An affine network of ours: the correlation pyramid's displacements, fitted by weighted least squares."""

from __future__ import annotations

import torch
from torch import Tensor

from . import affines
from .network import Network, Prediction
from .pyramid import Pyramid
from .warp import identity, warp_batch

FINEST = 2  # level of the pyramid where it stops: an affine map needs no finer displacement
RIDGE = 1e-3  # keeps the fit solvable where nothing is trusted; the map then stays as it was
LEAST = 1e-4  # weight of a pixel


class PyramidAffine(Network):
    """Several affine steps, each fitted to where the features of a `Pyramid` lead.

    Every step resamples the original moving image through the map found so far. The pyramid says of each
    pixel how far it trusts it; least squares weighted by that take the place of a fully connected layer, so
    that any size of image will do.

    Parameters
    ----------
    ndim : int
        2 or 3.
    steps : int
        An attribute too, which may be changed after training.
    features, hidden, context, radius : int
        Of the `Pyramid`.
    """

    def __init__(
        self,
        ndim: int = 2,
        steps: int = 3,
        features: int = 32,
        hidden: int = 48,
        context: int = 16,
        radius: int = 2,
    ) -> None:
        arguments = {
            "ndim": ndim,
            "steps": steps,
            "features": features,
            "hidden": hidden,
            "context": context,
            "radius": radius,
        }
        pyramid = Pyramid(ndim, features, hidden, context, radius)
        super().__init__(ndim, pyramid.stride, arguments)
        self.pyramid = pyramid
        self.steps = steps

    def forward(self, fixed: Tensor, moving: Tensor) -> Prediction:
        """Register a batch; see `Network.forward`."""
        found = self.all_steps(fixed, moving)[-1]
        return Prediction(affines.displacement(found, tuple(fixed.shape[2:])), affine=found)

    def all_steps(self, fixed: Tensor, moving: Tensor) -> list[Tensor]:
        """The map after every step, (B, d, d + 1) each."""
        shape = tuple(fixed.shape[2:])
        found = affines.identities(len(fixed), self.ndim, fixed)
        maps = []
        for _ in range(self.steps):
            seen = warp_batch(moving, affines.displacement(found, shape))
            found = affines.compose(found, self.step(fixed, seen))
            maps.append(found)
        return maps

    def step(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """One step's map, (B, d, d + 1)."""
        return self.fit(fixed, moving)[0]

    def fit(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, list[Tensor]]:
        """One step's map, and the displacement of every level that led to it, coarse to fine."""
        found = self.pyramid.refined(fixed, moving, FINEST)
        flow, context = found[-1]
        trust = torch.sigmoid(4 * context[:, :1].float()) + LEAST
        return fitted(flow.float(), trust, tuple(fixed.shape[2:])), [flow for flow, _ in found]


def fitted(flow: Tensor, weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The affine map nearest to a displacement, in weighted least squares.

    Parameters
    ----------
    flow : Tensor, shape (B, d, *coarse)
        In pixels of the images, at the middle of their blocks.
    weight : Tensor, shape (B, 1, *coarse)
    shape : tuple of int
        Of the images.

    Returns
    -------
    Tensor, shape (B, d, d + 1)
    """
    d, coarse = len(shape), tuple(flow.shape[2:])
    half = affines.half_side(shape)
    block = torch.tensor([n / c for n, c in zip(shape, coarse, strict=True)]).to(flow)
    middle = torch.tensor([(n - 1) / 2 for n in shape]).to(flow)
    places = (identity(coarse, flow).flatten(1) + 0.5) * block[:, None] - 0.5 - middle[:, None]
    basis = torch.cat([places / half, torch.ones_like(places[:1])])
    share = (weight / weight.mean(dim=tuple(range(1, d + 2)), keepdim=True)).flatten(1) / weight[0].numel()
    normal = torch.einsum("ip,bp,jp->bij", basis, share, basis) + RIDGE * torch.eye(d + 1).to(flow)
    right = torch.einsum("ip,bp,bkp->bik", basis, share, flow.flatten(2))
    solved = torch.linalg.solve(normal, right).mT
    change = torch.cat([solved[:, :, :d] / half, solved[:, :, d:]], dim=2)
    return affines.identities(len(flow), d, flow) + change
