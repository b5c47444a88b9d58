"""The network that a training begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...io.guards import user_path
from ...nets.architectures.network import Network
from ...nets.architectures.pyramid import SHIPPED as PYRAMIDS
from ...nets.checkpoints.checkpoint import build, filled, open_checkpoint, shipped, shipped_names
from ..options import SHIPPED, Guidance, TrainOptions

# Architecture and arguments of each network that can be chosen.
_HALF: Mapping[str, Any] = {"half": True, "int_steps": 5}
_STRIDED: Mapping[str, Any] = {"down": "end", "int_steps": 0, "int_downsize": 1}
_KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "voxelmorph": ("voxelmorph", _HALF),
    "voxelmorph displacement": ("voxelmorph", {"half": True, "int_steps": 0}),
    "voxelmorph probabilistic": ("voxelmorph", {**_HALF, "probabilistic": True}),
    "sar-voxelmorph": (
        "voxelmorph",
        {
            "encoder": (32,) * 4,
            "decoder": (32, 32, 32, (32, 32)),
            "remaining": (16,),
            "shift": -1.0,
            **_STRIDED,
        },
    ),
    "voxelmorph cvpr 2018": (
        "voxelmorph",
        {"decoder": (32, 32, 32, (32, 32)), "remaining": (16, 16), **_STRIDED},
    ),
    "pyramid": ("pyramid", {}),
    "matching affine": ("matching affine", {"steps": 1}),
    "multi-step affine": ("multi-step affine", {}),
    "avsm": ("avsm", {"width": 16, "steps": 3}),
    "jsm": ("jsm", {"width": 0.25, "side": 64}),
    "stn": ("stn", {}),
    "tutorial stn": ("tutorial stn", {}),
    "detector affine": ("detector affine", {}),
}
_AS_PUBLISHED = ("sar-voxelmorph", "voxelmorph cvpr 2018")  # networks that see the two images and no more
_COMPARING = ("voxelmorph", "avsm", "multi-step affine", "jsm", "stn")  # architectures that can


def arguments_of(
    name: str, ndim: int, compare: bool, guidance: Guidance = "input"
) -> tuple[str, dict[str, Any]]:
    """Architecture and arguments of a network that can be chosen, for images of so many axes.

    Raises
    ------
    ValueError
        If the network is for 2D images only.
    """
    architecture, chosen = _KINDS[name]
    arguments = dict(chosen)
    if name == "jsm" and ndim != 2:
        raise ValueError("The joint-saliency network is for 2D images; choose another one for volumes.")
    if name == "pyramid":
        arguments |= PYRAMIDS[ndim]
    if name == "jsm":
        arguments["guidance"] = guidance
    else:
        arguments["ndim"] = ndim
    if architecture in _COMPARING and name not in _AS_PUBLISHED:
        # Images, not a pyramid: that would have to be learnt first.
        arguments["compare"] = "images" if compare else ""
    return architecture, arguments


def first_network(options: TrainOptions, ndim: int) -> Network:
    """The network to begin with, on the CPU; the same seed gives the same weights.

    Raises
    ------
    ValueError
        If there are no such weights, or they are for another network or number of axes.
    """
    torch.manual_seed(options.seed)
    architecture, arguments = arguments_of(options.architecture, ndim, options.compare, options.guidance)
    if options.start == "scratch":
        return build(architecture, arguments)
    if options.start == "shipped":
        name = f"{SHIPPED.get(options.architecture)}{ndim}d"
        if name not in shipped_names():
            raise ValueError(
                f"No weights are shipped for {options.architecture!r} in {ndim}D; start from scratch."
            )
        loaded = open_checkpoint(shipped(name))
    else:
        assert options.weights is not None  # the options have checked it
        loaded = open_checkpoint(user_path(options.weights))
    kind = loaded.card["architecture"]
    if kind != architecture:
        raise ValueError(f"The weights are for {kind!r}; choose that as the network, or other weights.")
    if loaded.net.ndim != ndim:
        raise ValueError(
            f"The weights are for {loaded.net.ndim}D images and the pairs are {ndim}D; choose other weights."
        )
    return loaded.net


def same_network(options: TrainOptions, state: Mapping[str, Any]) -> Network:
    """The network of a run that was begun with these options, with the weights in its state.

    Raises
    ------
    ValueError
        If the weights are not those of the network.
    """
    architecture = _KINDS[options.architecture][0]
    filled(architecture, state["arguments"], state["averaged"], "its average")
    return filled(architecture, state["arguments"], state["net"], "its network")
