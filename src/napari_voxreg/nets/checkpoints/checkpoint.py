"""Weights on disk: our own format, and one function that opens every known format."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ...io.files import replace_file
from ...io.guards import check_regular, read_json, reading
from ...weights import FOLDER
from ..architectures.network import Network
from .voxelmorph_keras import from_keras
from .voxelmorph_torch import ConvertedCheckpoint, from_torch

# Architecture in a card to module and class; imported on use.
ARCHITECTURES = {
    "voxelmorph": "voxelmorph:VoxelMorph",
    "pyramid": "pyramid:Pyramid",
    "matching affine": "match:MatchAffine",
    "multi-step affine": "avsm:AffineSteps",
    "avsm": "avsm:AVSM",
    "jsm": "jsm:JSM",
    "stn": "affine:STN",
    "tutorial stn": "affine:TutorialSTN",
    "detector affine": "affine:DetectorAffine",
}
LARGEST, MOST_LEVELS = 4096, 64  # features or levels, and levels in a list, of any network here
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network from a file.

    Parameters
    ----------
    net : Network
        On the CPU, for evaluation.
    card : mapping
        Its architecture, arguments and anything else known about it.
    description : str
        One sentence for the user.
    """

    net: Network
    card: Mapping[str, Any]
    description: str

    @property
    def side(self) -> int | None:
        """Longest side of the images it was trained on, pixels, if the card says so."""
        shape = self.card.get("shape")
        if not isinstance(shape, list) or not shape:
            return None
        return max(shape) if all(isinstance(n, int) and n > 0 for n in shape) else None


def build(architecture: str, arguments: Mapping[str, Any]) -> Network:
    """Build an untrained network of one of the `ARCHITECTURES`.

    Raises
    ------
    ValueError
        If there is no such architecture, or it does not accept the arguments.
    """
    for name, value in arguments.items():
        if not _is_sensible(value):
            raise ValueError(
                f"{str(name)[:40]} cannot be {' '.join(repr(value).split())[:40]}; numbers go up to "
                f"{LARGEST} and lists to {MOST_LEVELS} entries."
            )
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"There is no architecture {architecture!r}; choose from: {known}.")
    module, _, kind = ARCHITECTURES[architecture].partition(":")
    network = getattr(import_module(f"..architectures.{module}", __package__), kind)
    try:
        return network(**arguments)
    except (TypeError, RuntimeError, LookupError, ArithmeticError, AttributeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(f"The arguments are not those of {architecture!r}: {reason}.") from error


def save_weights(path: str | Path, net: Network, card: Mapping[str, Any]) -> Path:
    """Write NAME.safetensors and its card NAME.json beside it, each atomically.

    Parameters
    ----------
    path : str or Path
        Ends in ``.safetensors``, in an existing folder.
    net : Network
        Of one of the `ARCHITECTURES`.
    card : mapping
        Anything else to record, serialisable as JSON: recipe, data, licence, scores, versions.

    Returns
    -------
    Path
        Of the weights.

    Raises
    ------
    ValueError
        If the ending is another, or the architecture is none of the `ARCHITECTURES`.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"Weights are saved as NAME.safetensors, not as {path.name}.")
    content = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()})
    full_card = {
        **card,
        "architecture": _architecture(net),
        "arguments": net.arguments,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(full_card, indent=2, ensure_ascii=False) + "\n"
    replace_file(path, lambda target: target.write_bytes(content))
    replace_file(path.with_suffix(".json"), lambda target: target.write_bytes(text.encode()))
    return path


def load_weights(path: str | Path) -> Loaded:
    """Read weights in our own format.

    Raises
    ------
    ValueError
        If a file is missing, the checksum in the card does not match the weights, the architecture is
        unknown, or keys, shapes or values do not fit it.
    """
    path = Path(path)
    content, card = _content(path), _card(path)
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise ValueError(f"{path.name} does not match the sha256 in its card; copy both again.")
    with reading(path, "it is truncated or damaged, copy it again"):
        weights = safetensors.torch.load(content)
    net = filled(card["architecture"], card["arguments"], weights, path.name)
    return Loaded(net, card, _sentence(net, f"{card['architecture']} of napari-voxreg"))


def open_checkpoint(path: str | Path) -> Loaded:
    """Read weights of any known format: ours, VoxelMorph's in torch or Keras, SAR-VoxelMorph's.

    The format is recognised by the content. No code in a file is ever run: pickles are only read with torch's
    `weights_only`.

    Raises
    ------
    ValueError
        For anything else; the message names the file and the remedy.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return load_weights(path)
    with reading(path, "it is damaged or no checkpoint, copy it again"):
        converted = from_keras(path) if _is_hdf5(path) else from_torch(_unpickled(path), path.name)
        return _loaded(converted, path.name)


def shipped_names() -> tuple[str, ...]:
    """Names of the weights shipped with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def shipped(name: str) -> Path:
    """Path of the shipped weights of that name.

    Raises
    ------
    ValueError
        If there are none of that name.
    """
    if name not in shipped_names():
        listing = ", ".join(shipped_names()) or "there are none"
        raise ValueError(f"No weights {name!r} are shipped with the package; choose from: {listing}.")
    return FOLDER / f"{name}.safetensors"


def _content(path: Path) -> bytes:
    check_regular(path, "checkpoint")
    with reading(path):
        return path.read_bytes()


def _card(path: Path) -> dict[str, Any]:
    """The card beside a file of weights."""
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise ValueError(f"{path.name} has no card; put {beside.name} beside it.")
    card = read_json(beside)
    wanted = {"architecture": str, "arguments": dict, "sha256": str}
    if not isinstance(card, dict) or any(not isinstance(card.get(k), kind) for k, kind in wanted.items()):
        raise ValueError(f"{beside.name} is not a card: architecture, arguments or sha256 is missing.")
    return card


def _is_hdf5(path: Path) -> bool:
    check_regular(path, "checkpoint")
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _unpickled(path: Path) -> Any:
    """Content of a torch file of tensors and plain values."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "nsupported" in str(error):
            raise ValueError(
                f"{path.name} holds more than tensors and could run code, so it is refused; "
                "save only model.state_dict() and load that."
            ) from error
        raise ValueError(f"{path.name} is damaged or of an unknown format; choose another file.") from error
    except Exception as error:
        raise ValueError(f"{path.name} is truncated or not a checkpoint; copy it again.") from error


def _loaded(converted: ConvertedCheckpoint, name: str) -> Loaded:
    """A VoxelMorph with the weights of another program."""
    net = filled("voxelmorph", converted.arguments, converted.weights, name)
    card = {"architecture": "voxelmorph", "arguments": net.arguments, "layout": converted.layout}
    return Loaded(net, card, _sentence(net, f"VoxelMorph ({converted.layout} layout)"))


def _architecture(net: Network) -> str:
    own = f"{type(net).__module__.rpartition('.')[2]}:{type(net).__name__}"
    for name, place in ARCHITECTURES.items():
        if place == own:
            return name
    raise ValueError(f"{type(net).__name__} is none of the architectures that can be saved.")


def filled(
    architecture: str, arguments: Mapping[str, Any], weights: Mapping[str, Tensor], name: str
) -> Network:
    """A network in evaluation mode with exactly these weights."""
    try:
        with torch.device("meta"):  # without any memory, until it is known that all weights are there
            wanted = build(architecture, arguments).state_dict()
    except ValueError as error:
        raise ValueError(f"{name} cannot be used: {error}") from error
    for problem, keys in (("lacks", wanted.keys() - weights.keys()), ("has", weights.keys() - wanted.keys())):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ValueError(
                f"{name} {problem} {min(keys)!r:.80}{more}, unlike its architecture; "
                "choose a file saved from it."
            )
    for key, value in weights.items():
        if value.shape != wanted[key].shape:
            raise ValueError(
                f"{name} does not fit its architecture: {key} has the shape {tuple(value.shape)}, "
                f"not {tuple(wanted[key].shape)}."
            )
        if not _is_plain(value):
            raise ValueError(
                f"{name} is damaged: {key} is no plain array of floating-point numbers; choose another file."
            )
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{name} is damaged: {key} holds values that are not finite; choose another file."
            )
    net = build(architecture, arguments)
    net.load_state_dict(weights)
    return net.eval()


def _is_sensible(argument: Any, depth: int = 0) -> bool:
    """Whether an argument of a network is a value, or a short list of values, of a size that one has."""
    if isinstance(argument, list | tuple):
        return (
            depth < 2 and len(argument) <= MOST_LEVELS and all(_is_sensible(x, depth + 1) for x in argument)
        )
    if isinstance(argument, int | float):
        return abs(argument) <= LARGEST
    return argument is None or (isinstance(argument, str) and len(argument) <= MOST_LEVELS)


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor is dense and on the CPU, and as many numbers are stored as it has."""
    dense = value.layout is torch.strided and value.device.type == "cpu" and value.dtype in FLOATS
    return dense and value.untyped_storage().nbytes() >= value.numel() * value.element_size()


def _sentence(net: Network, what: str) -> str:
    field_kind = f", {net.field_kind}" if net.field_kind else ""
    count = sum(parameter.numel() for parameter in net.parameters())
    return f"{what}, {net.ndim}D{field_kind}, {count:,} parameters"
