"""Poses that the search for the pose is offered by what it must not know: the affine network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.geometry import Array, Image
from ..core.progress import Progress
from ..weights import shipped
from .base import Task
from .networks.network_method import read_weights, recorded

if TYPE_CHECKING:
    from ..pose.proposal import Proposals, Source

SIDE = 128  # pixels along the longest side that the network sees, as it was trained
KEPT, PASSES = 3, 3
AROUND = np.arange(25.0, 350.0, 25.0)  # degrees; the network itself copes with half of it


def sources(ndim: int) -> tuple[Source, ...]:
    """What proposes poses of images with so many axes, the cheapest first."""
    return (network_from_here, network_all_around) if ndim == 2 else ()


def weights(ndim: int) -> tuple[tuple[str, str], ...]:
    """Names and SHA-256 of the weights that the sources use."""
    return recorded(shipped("affine", ndim)) if sources(ndim) else ()


def network_from_here(task: Task, progress: Progress) -> Proposals:
    """What the affine network finds from the current pose and from centre on centre."""
    progress(0.0, "affine network")
    initial = np.concatenate([np.eye(3)[None], _centred(task, np.zeros(1))])
    return _network(task, initial[:1] if np.allclose(initial[0], initial[1]) else initial)


def network_all_around(task: Task, progress: Progress) -> Proposals:
    """What the affine network finds after rotations all around."""
    progress(0.0, "affine network from several rotations")
    return _network(task, _centred(task, AROUND))


def _network(task: Task, initial: Array) -> Proposals:
    """The affine network's maps from several initial ones."""
    from ..nets.architectures.match import MatchAffine
    from ..nets.inference.candidates import affine_candidates
    from ..pose.proposal import Proposals

    net = read_weights(shipped("affine", task.fixed.ndim))[0].net
    assert isinstance(net, MatchAffine)
    fixed, moving = _voting(task.fixed, task.fixed_mask), _voting(task.moving, task.moving_mask)
    maps, agreed = affine_candidates(fixed, moving, net, initial, size=SIDE, kept=KEPT, passes=PASSES)
    return Proposals(maps, agreed)


def _centred(task: Task, degrees: Array) -> Array:
    """The moving image's centre on the fixed one's after rotations: (n, 3, 3).

    Where world units are mere pixels, the same scene may have been scanned at another size: the sizes are
    made equal.
    """
    fixed, moving = task.fixed.grid, task.moving.grid
    scale = moving.diagonal / fixed.diagonal if set(fixed.units) == {"pixel"} else 1.0
    a = np.deg2rad(degrees)
    matrices = np.tile(np.eye(3), (len(a), 1, 1))
    linear = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]).transpose(2, 0, 1)
    matrices[:, :2, :2] = scale * linear
    matrices[:, :2, 2] = moving.centre - matrices[:, :2, :2] @ fixed.centre
    return matrices


def _voting(image: Image, mask: Image | None) -> Image:
    """The image with what does not vote as grey as the rest on average, for the network knows no masks."""
    if mask is None or mask.data.all() or not mask.data.any():
        return image
    return image.with_data(np.where(mask.data, image.data, image.data[mask.data].mean()).astype(np.float32))
