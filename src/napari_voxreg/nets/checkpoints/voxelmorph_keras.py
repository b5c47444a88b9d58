"""VoxelMorph checkpoints written by Keras (.h5): the legacy layout, SAR-VoxelMorph and release 0.2."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...io.hdf5_files import array_in, item_at, opened
from .voxelmorph_torch import ConvertedCheckpoint, arguments_of

MAX_VALUES = 2**27  # in all kernels, 512 MB; a damaged or hostile file may claim any number
SQUARINGS = 7  # of the MICCAI 2018 network, which did not first divide by 2**7

Layers = dict[str, tuple[Tensor, Tensor]]


def from_keras(path: Path) -> ConvertedCheckpoint:
    """Read a Keras file with or without its model's configuration; no code in it is run.

    Raises
    ------
    ValueError
        If the file is truncated or not a VoxelMorph.
    """
    layers, config = _read(path)
    if any(re.search(r"enc_conv_\d+_\d+$", layer) for layer in layers):
        return _release(layers, config, path.name)
    if any(re.fullmatch(r"conv[23]d(_\d+)?", layer) for layer in layers):
        return _legacy(layers, config, path.name)
    content = f"its first layer is {next(iter(layers))!r}" if layers else "it holds no convolutions"
    raise ValueError(f"{path.name} is not a known VoxelMorph of Keras; {content}.")


def _read(path: Path) -> tuple[Layers, dict[str, Any]]:
    """Kernel and bias of every layer in torch's axis order, and the model's configuration."""
    # By the group of a layer, or of a model inside the model, then by the scope in which they were made.
    groups: dict[str, dict[str, dict[str, npt.NDArray[Any]]]] = {}
    total = 0

    def visit(key: str, item: Any) -> None:
        nonlocal total
        *scopes, kind = key.split("/")
        kind = kind.partition(":")[0]
        if isinstance(item, h5py.Dataset) and kind in ("kernel", "bias"):
            total += item.size
            if total > MAX_VALUES:
                raise ValueError(
                    f"{path.name} claims more than {MAX_VALUES} values; it is truncated or damaged, "
                    "copy it again."
                )
            group = groups.setdefault(scopes[0] if scopes else "", {})
            group.setdefault("/".join(scopes), {})[kind] = array_in(item)

    with opened(path, "checkpoint", "it is truncated or damaged, copy it again") as file:
        (item_at(file, "model_weights") or file).visititems(visit)
        config = dict(json.loads(file.attrs.get("model_config", "{}")))
    kernels: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for group, scopes in groups.items():
        for scope, found in scopes.items():
            # Keras counts on in the scope ("flow/flow_34/kernel:0"); only the group has the layer's name.
            kernels[group if len(scopes) == 1 else scope.rpartition("/")[2]] = found
    for layer, found in kernels.items():
        if set(found) != {"kernel", "bias"} or any(values.dtype.kind != "f" for values in found.values()):
            raise ValueError(f"{path.name} is not a VoxelMorph: its layer {layer!r} is not a convolution.")
    layers = {
        layer: (_transposed(found["kernel"]), _tensor(found["bias"])) for layer, found in kernels.items()
    }
    return layers, config


def _release(layers: Layers, config: dict[str, Any], name: str) -> ConvertedCheckpoint:
    """Release 0.2, with descriptive layer names, and its forerunner with strides instead of pooling."""
    found = [re.search(r"enc_conv_(\d+)_\d+$", layer) for layer in layers]
    last = max(int(match[1]) for match in found if match)
    weights: dict[str, Tensor] = {}
    strided = False
    for layer, parameters in layers.items():
        if match := re.search(r"enc_conv_(\d+)_(\d+)$", layer):
            strided |= layer[: match.start()] == "unet_"
            ours = f"unet.encoder.{match[1]}.{match[2]}"
        elif match := re.search(r"dec_conv_(\d+)_(\d+)$", layer):
            ours = f"unet.decoder.{last - int(match[1])}.{match[2]}"  # Keras counts from the finest
        elif match := re.search(r"final_conv_(\d+)$", layer):
            ours = f"unet.remaining.{match[1]}"
        elif match := re.search(r"(flow|log_sigma)$", layer):
            ours = match[1]
        else:
            raise ValueError(f"{name} looks like a VoxelMorph of Keras, but its layer {layer!r} is unknown.")
        weights.update(_named(ours, parameters))
    given = config.get("config", {})
    given = given if isinstance(given, dict) else {}
    options = {
        "down": "end" if strided else "pool",
        "int_steps": given.get("int_steps", 7),
        "int_downsize": given.get("int_downsize") or given.get("int_resolution", 2),
    }
    return ConvertedCheckpoint("Keras 0.2", arguments_of(weights, name, **options), weights)


def _legacy(layers: Layers, config: dict[str, Any], name: str) -> ConvertedCheckpoint:
    """Convolutions numbered in the order of their creation, then that of the flow."""
    layers = dict(layers)
    field = next((layer for layer in ("flow", "disp") if layer in layers), None)
    if field is None:
        raise ValueError(f"{name} is not a VoxelMorph of Keras: it has neither a layer 'flow' nor 'disp'.")
    outputs = {"flow": layers.pop(field)}
    if "log_sigma" in layers:
        outputs["log_sigma"] = layers.pop("log_sigma")
    for layer in layers:
        if not re.fullmatch(r"conv[23]d(_\d+)?", layer):
            raise ValueError(f"{name} looks like a legacy VoxelMorph, but its layer {layer!r} is unknown.")
    ordered = sorted(layers, key=lambda layer: int(layer.partition("_")[2] or 0))
    if not 9 <= len(ordered) <= len(_LEGACY):
        raise ValueError(f"{name} has {len(ordered)} convolutions; a legacy VoxelMorph has 9 to 11.")
    outputs, options = _integrated(outputs, dict(_model_layers(config)), half=len(ordered) == 9)
    layout = "legacy Keras"
    if field == "disp" and outputs["flow"][0].ndim == 4:
        layout, options["shift"] = "SAR-VoxelMorph", -1.0  # trained on x / 255 - 1
    weights: dict[str, Tensor] = {}
    for ours, layer in zip(_LEGACY, ordered, strict=False):
        weights.update(_named(ours, layers[layer]))
    for ours, parameters in outputs.items():
        weights.update(_named(ours, parameters))
    return ConvertedCheckpoint(layout, arguments_of(weights, name, down="end", **options), weights)


def _integrated(outputs: Layers, made: Mapping[str, Any], half: bool) -> tuple[Layers, dict[str, Any]]:
    """How a legacy model integrates its field, and the field's layers converted to our convention.

    The configuration names a layer for the integration; without one there is no integration. The exception
    are the MICCAI 2018 runs, recognised by log_sigma: they squared an undivided field in column-row order.
    """
    transposed = any(settings.get("indexing") == "xy" for _, settings in made.values())
    options: dict[str, Any] = {"int_steps": 0}
    integration = next((settings for kind, settings in made.values() if kind == "VecInt"), None)
    if integration is not None:
        reduced = half or "flow-resize" in made
        options = {"int_steps": integration.get("int_steps", SQUARINGS), "int_downsize": 2 if reduced else 1}
    elif "log_sigma" in outputs:
        options, transposed = {"int_steps": SQUARINGS}, True
        kernel, bias = outputs["flow"]
        spread, log_variance = outputs["log_sigma"]
        longer = 2**SQUARINGS
        outputs = {
            "flow": (kernel * longer, bias * longer),
            "log_sigma": (spread, log_variance + 2 * math.log(longer)),
        }
    if transposed:
        outputs = {layer: (_swapped(w), _swapped(b)) for layer, (w, b) in outputs.items()}
    return outputs, options


_LEGACY = (
    *(f"unet.encoder.{i}.0" for i in range(4)),
    *(f"unet.decoder.{i}.0" for i in range(4)),
    "unet.decoder.3.1",
    "unet.remaining.0",
    "unet.remaining.1",
)


def _model_layers(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, Mapping[str, Any]]]]:
    """Name, class and settings of each layer of a model, if the file has its configuration."""
    given = config.get("config")
    for layer in given.get("layers", []) if isinstance(given, Mapping) else []:
        if isinstance(layer, Mapping) and isinstance(layer.get("config"), Mapping):
            settings = layer["config"]
            yield str(settings.get("name")), (str(layer.get("class_name")), settings)


def _swapped(output: Tensor) -> Tensor:
    """First two components of a field swapped, from (column, row, ...) to array-axis order."""
    return torch.cat([output[1:2], output[:1], output[2:]])


def _transposed(kernel: npt.NDArray[Any]) -> Tensor:
    """A Keras kernel (*size, in, out) in torch's order, (out, in, *size)."""
    return _tensor(np.moveaxis(kernel, (-1, -2), (0, 1)) if kernel.ndim > 1 else kernel)


def _tensor(values: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _named(ours: str, parameters: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    return {f"{ours}.weight": parameters[0], f"{ours}.bias": parameters[1]}
