"""VoxelMorph checkpoints written by torch: layouts recognised by their keys, which are renamed to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

# Layer names of each layout and of our VoxelMorph; a layout is recognised by its first.
_LAYOUTS: dict[str, dict[str, str]] = {
    "torch 0.2": {
        r"unet_model\.encoder\.(\d+)\.(\d+)\.main": r"unet.encoder.\1.\2",
        r"unet_model\.decoder\.(\d+)\.(\d+)\.main": r"unet.decoder.\1.\2",
        r"unet_model\.remaining\.(\d+)\.main": r"unet.remaining.\1",
        r"flow": "flow",
    },
    "torch 2020": {
        r"unet_model\.downarm\.(\d+)\.main": r"unet.encoder.\1.0",
        r"unet_model\.uparm\.(\d+)\.main": r"unet.decoder.\1.0",
        r"unet_model\.extras\.(\d+)\.main": r"unet.remaining.\1",
        r"flow": "flow",
    },
    "legacy torch": {
        r"unet_model\.enc\.(\d+)\.main": r"unet.encoder.\1.0",
        r"unet_model\.dec\.([0-3])\.main": r"unet.decoder.\1.0",
        r"unet_model\.dec\.4\.main": "unet.decoder.3.1",
        r"unet_model\.dec\.5\.main": "unet.remaining.0",
        r"unet_model\.vm2_conv\.main": "unet.remaining.1",
        r"flow": "flow",
    },
    "torch 0.3": {
        r"model\.downsampling_conv_blocks\.(\d+)\.conv_block\.conv0": r"unet.encoder.\1.0",
        r"model\.lowest_resolution_conv_block\.conv0": "unet.decoder.0.0",
        r"model\.upsampling_conv_blocks\.(\d+)\.conv_block\.conv0": r"unet.upsampling.\1",
        r"model\.out_layer\.conv0": "narrow",
        r"flow_layer\.conv0": "flow",
    },
}


@dataclass(frozen=True, eq=False)
class ConvertedCheckpoint:
    """A checkpoint of another program, converted to our names.

    Parameters
    ----------
    layout : str
        Program and release that wrote it.
    arguments : mapping
        Of the matching `VoxelMorph`.
    weights : mapping of str to Tensor
        Its parameters under our names.
    """

    layout: str
    arguments: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def from_torch(content: Any, name: str) -> ConvertedCheckpoint:
    """Convert the content of a torch file: a state dict, or a dict with one and its configuration.

    Parameters
    ----------
    content : object
        Of the file, from `torch.load`.
    name : str
        Of the file, for messages.

    Raises
    ------
    ValueError
        If it is not a VoxelMorph checkpoint, or keys are missing or unknown.
    """
    config, state = _parts(content, name)
    layout = next((k for k, table in _LAYOUTS.items() if _any_match(next(iter(table)), state)), None)
    if layout is None:
        raise ValueError(
            f"{name} is not a known VoxelMorph checkpoint; its first key is {next(iter(state))!r}."
        )
    kept = {key: value for key, value in state.items() if not key.endswith("grid")}
    weights = {_renamed(key, layout, name): value for key, value in kept.items()}
    if layout == "torch 0.3":
        return ConvertedCheckpoint(layout, *_as_levels(weights, name))
    if layout == "torch 0.2":
        options: dict[str, Any] = {"down": "pool"}
    else:
        halving = weights.get("unet.encoder.0.0.weight")
        options = {"down": "both" if halving is not None and halving.shape[-1] == 4 else "start"}
    if layout == "legacy torch":
        options["int_steps"] = 0
    else:
        options |= _integration(config, state)
    return ConvertedCheckpoint(layout, arguments_of(weights, name, **options), weights)


def arguments_of(weights: Mapping[str, Tensor], name: str, **options: Any) -> dict[str, Any]:
    """Arguments of the `VoxelMorph` for weights under our names, derived from their shapes.

    Parameters
    ----------
    weights : mapping of str to Tensor
    name : str
        Of the file, for messages.
    **options
        Arguments that cannot be derived from shapes.

    Raises
    ------
    ValueError
        If the first or last convolution is missing, or a shape is not that of a convolution.
    """
    for key, value in weights.items():
        if value.ndim not in ((4, 5) if key.endswith("weight") else (1,)):
            raise ValueError(f"{name} is damaged: {key} has the shape {tuple(value.shape)}.")
    for key in ("unet.encoder.0.0.weight", "unet.decoder.0.0.weight", "flow.weight"):
        if key not in weights:
            raise ValueError(f"{name} is incomplete: its {key.split('.')[-4:-1][0]} convolution is missing.")
    channels = weights["unet.encoder.0.0.weight"].shape[1]
    if channels != 2:
        raise ValueError(
            f"{name} is for images with several channels ({channels} in both); choose another file."
        )
    encoder, decoder = _levels(weights, "unet.encoder"), _levels(weights, "unet.decoder")
    remaining = _chain(weights, "unet.remaining")
    flow = weights["flow.weight"]
    output = next(weights[k] for k in _AFTER_DECODER if k in weights)
    return {
        "ndim": flow.ndim - 2,
        "encoder": encoder,
        "decoder": decoder,
        "remaining": remaining,
        # Nothing was appended to the last level's features, so it was not upsampled either.
        "half": output.shape[1] == _chain(weights, f"unet.decoder.{len(decoder) - 1}")[-1],
        "narrow": "narrow.weight" in weights,
        "probabilistic": "log_sigma.weight" in weights,
        **options,
    }


_AFTER_DECODER = ("unet.remaining.0.weight", "narrow.weight", "flow.weight")


def _parts(content: Any, name: str) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Configuration and state dict; the prefix of names from DataParallel is removed."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{name} holds no named weights; save model.state_dict() and load that.")
    state = content.get("model_state", content.get("state_dict", content))
    config = content.get("config", {})
    if not isinstance(state, Mapping) or not state or not isinstance(config, Mapping):
        raise ValueError(f"{name} holds no named weights; save model.state_dict() and load that.")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(f"{name} holds {key!r}, which is not a tensor; save only model.state_dict().")
    return config, {key.removeprefix("module."): value for key, value in state.items()}


def _any_match(pattern: str, state: Mapping[str, Tensor]) -> bool:
    return any(re.match(pattern, key) for key in state)


def _renamed(key: str, layout: str, name: str) -> str:
    layer, _, kind = key.rpartition(".")
    if kind in ("weight", "bias"):
        for pattern, ours in _LAYOUTS[layout].items():
            if found := re.fullmatch(pattern, layer):
                return f"{found.expand(ours)}.{kind}"
    raise ValueError(f"{name} looks like a VoxelMorph of {layout}, but its {key!r} is unknown.")


def _as_levels(weights: dict[str, Tensor], name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Release 0.3 counts an upsampling with the convolution after it, which belongs to our next level."""
    ups = len([key for key in weights if re.fullmatch(r"unet\.upsampling\.\d+\.weight", key)])
    ours = {}
    for key, value in weights.items():
        if found := re.match(r"unet\.upsampling\.(\d+)\.", key):
            level = int(found[1]) + 1
            target = "unet.remaining.0." if level == ups else f"unet.decoder.{level}.0."
            key = target + key[found.end() :]
        ours[key] = value
    options = {"activation": "relu", "upsampling": "linear", "int_steps": 5, "int_downsize": 1}
    return arguments_of(ours, name, down="pool", **options), ours


def _integration(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """From the configuration, else from the grids saved by layers, else the default of the releases."""
    steps = 7 if "integrate.transformer.grid" in state or "transformer.grid" not in state else 0
    return {
        "int_steps": config.get("int_steps", steps),
        "int_downsize": config.get("int_downsize", 2),
    }


def _levels(weights: Mapping[str, Tensor], part: str) -> list[int | list[int]]:
    """Features of each level; a list if the level has several convolutions."""
    levels: list[int | list[int]] = []
    while features := _chain(weights, f"{part}.{len(levels)}"):
        levels.append(features[0] if len(features) == 1 else features)
    return levels


def _chain(weights: Mapping[str, Tensor], part: str) -> list[int]:
    """Features of consecutive convolutions."""
    features: list[int] = []
    while (kernel := weights.get(f"{part}.{len(features)}.weight")) is not None:
        features.append(kernel.shape[0])
    return features
