"""Weights on disk: round trips, cards, and one sentence for every file that does not fit."""

import hashlib
import json
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch

from napari_voxreg.nets.architectures.network import Network
from napari_voxreg.nets.architectures.voxelmorph import VoxelMorph
from napari_voxreg.nets.checkpoints import checkpoint
from napari_voxreg.nets.checkpoints.checkpoint import (
    ARCHITECTURES,
    build,
    load_weights,
    open_checkpoint,
    save_weights,
)

SMALL = {"ndim": 2, "encoder": [4, 5], "decoder": [5, [4, 3]], "remaining": [3], "half": True}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    net = VoxelMorph(**SMALL).eval()
    torch.nn.init.normal_(net.flow.weight)
    path = save_weights(
        tmp_path / "small.safetensors", net, {"data": "random shapes", "scores": {"error": 1.5}}
    )
    return net, path


def refused(path, words):
    """The file is refused in one sentence that names it."""
    with pytest.raises(ValueError, match=words) as raised:
        open_checkpoint(path)
    message = str(raised.value)
    assert path.stem in message and "\n" not in message and message.endswith(".") and len(message) < 300


def rewrite(path, weights=None, **changes):
    """Other weights or another card, with a true checksum."""
    if weights is not None:
        path.write_bytes(safetensors.torch.save(weights))
    card = json.loads(path.with_suffix(".json").read_text())
    card["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(card | changes))


def test_what_is_saved_comes_back(saved):
    net, path = saved
    loaded = load_weights(path)
    images = torch.rand(1, 1, 16, 24), torch.rand(1, 1, 16, 24)
    with torch.inference_mode():
        assert torch.equal(loaded.net(*images).displacement, net(*images).displacement)
    assert not loaded.net.training
    assert loaded.card["data"] == "random shapes" and loaded.card["scores"] == {"error": 1.5}
    assert loaded.card["architecture"] == "voxelmorph"
    assert loaded.card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    count = sum(p.numel() for p in net.parameters())
    sentence = f"voxelmorph of napari-voxreg, 2D, diffeomorphic at half resolution, {count:,} parameters"
    assert loaded.description == open_checkpoint(str(path)).description == sentence
    assert sorted(p.name for p in path.parent.iterdir()) == ["small.json", "small.safetensors"]


def test_a_file_is_replaced_atomically(saved, monkeypatch):
    net, path = saved
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    written, write = [], Path.write_bytes

    def full(self, content):
        written.append(self)
        write(self, content[: len(content) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    torch.nn.init.zeros_(net.flow.weight)
    with pytest.raises(OSError, match="No space"):
        save_weights(path, net, {})
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before
    monkeypatch.setattr(
        Path, "write_bytes", lambda self, content: written.append(self) or write(self, content)
    )
    save_weights(path, net, {})
    assert len(written) == 3 and not {path, path.with_suffix(".json")} & set(written)
    assert not load_weights(path).net.flow.weight.any()


def test_only_known_architectures_are_saved_and_only_under_the_right_ending(saved, tmp_path):
    class Mine(Network):
        pass

    with pytest.raises(ValueError, match="Mine is none of the architectures"):
        save_weights(tmp_path / "mine.safetensors", Mine(2, 1, {}), {})
    with pytest.raises(ValueError, match=r"saved as NAME.safetensors, not as a.pt"):
        save_weights(tmp_path / "a.pt", saved[0], {})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_there(name):
    module, _, kind = ARCHITECTURES[name].partition(":")
    network = getattr(__import__(f"napari_voxreg.nets.architectures.{module}", fromlist=[kind]), kind)
    assert issubclass(network, Network)
    with pytest.raises(ValueError, match="are not those of"):
        build(name, {"colour": "red"})


def test_our_own_format_refuses_what_does_not_fit(saved):
    net, path = saved
    weights = {k: v.clone() for k, v in net.state_dict().items()}
    beside = path.with_suffix(".json")
    card = beside.read_text()

    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    refused(path, "sha256")
    rewrite(path, weights | {"flow.weight": torch.full_like(weights["flow.weight"], torch.nan)})
    refused(path, "flow.weight holds values that are not finite")
    rewrite(path, {k: v for k, v in weights.items() if "flow" not in k})
    refused(path, "lacks 'flow.bias' and 1 more")
    rewrite(path, weights | {"head.weight": torch.zeros(3)})
    refused(path, "has 'head.weight'")
    rewrite(path, weights | {"flow.bias": torch.zeros(3)})
    refused(path, r"flow.bias has the shape \(3,\), not \(2,\)")
    rewrite(path, weights, architecture="transformer")
    refused(path, "no architecture 'transformer'; choose from: voxelmorph")
    rewrite(path, weights, architecture="voxelmorph", arguments={"ndim": 2, "colour": "red"})
    refused(path, "colour")
    rewrite(path, weights, arguments=SMALL | {"down": "average"})
    refused(path, "down cannot be 'average'")
    path.write_bytes(path.read_bytes()[:100])
    rewrite(path, arguments=SMALL)
    refused(path, "truncated")
    for text in ("[1, 2]", "{}", card.replace('"sha256"', '"sha1"')):
        beside.write_text(text)
        refused(path, "is not a card")
    beside.write_text(card[:50])
    refused(path, "small.json is damaged")
    beside.unlink()
    refused(path, "has no card; put small.json beside it")
    path.unlink()
    refused(path, "There is no checkpoint .*small.safetensors")


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, zipped):
    path, trap = tmp_path / "hostile.pt", tmp_path / "sprung"
    content = {"model_state": {"flow.weight": torch.zeros(2)}, "config": Hostile(str(trap))}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    refused(path, "could run code, so it is refused")
    assert not trap.exists()
    path.write_bytes(pickle.dumps(content["config"]))
    refused(path, "hostile.pt")
    assert not trap.exists()


def test_whole_models_are_refused_with_the_remedy(tmp_path):
    torch.save(torch.nn.Conv2d(2, 2, 3), tmp_path / "model.pt")
    refused(tmp_path / "model.pt", r"save only model.state_dict\(\)")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    refused(tmp_path / "tensor.pt", "holds no named weights")
    torch.save({"epoch": 3, "optimizer": {"lr": 1e-4}}, tmp_path / "optimiser.pt")
    refused(tmp_path / "optimiser.pt", "holds 'epoch', which is not a tensor")


def torch_file(path, **changes):
    """A VoxelMorph of the torch 2020 layout, smaller than any that exists."""
    sizes = {"downarm": (2, 3, 4), "uparm": (3, 3, 3), "extras": (5, 3, 3)}
    state = {}
    for part, (before, after, kernel) in sizes.items():
        state[f"unet_model.{part}.0.main.weight"] = torch.randn(after, before, kernel, kernel)
        state[f"unet_model.{part}.0.main.bias"] = torch.randn(after)
    state |= {"flow.weight": torch.randn(2, 3, 3, 3), "flow.bias": torch.randn(2)} | changes
    torch.save(
        {"config": {"int_steps": 7}, "model_state": {k: v for k, v in state.items() if v is not None}}, path
    )
    return path


def test_torch_checkpoints_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "theirs.pt"
    assert "torch 2020 layout" in open_checkpoint(torch_file(path)).description
    refused(torch_file(path, **{"unet_model.extras.0.main.bias": None}), "lacks 'unet.remaining.0.bias'")
    refused(torch_file(path, **{"flow.weight": None}), "flow convolution is missing")
    refused(torch_file(path, **{"affine.weight": torch.zeros(3)}), "its 'affine.weight' is unknown")
    refused(torch_file(path, **{"flow.bias": torch.zeros(3)}), "does not fit")
    refused(torch_file(path, **{"flow.weight": torch.zeros(2, 3)}), "is damaged: flow.weight has the shape")
    refused(torch_file(path, **{"flow.bias": torch.tensor([1.0, torch.inf])}), "not finite")
    colour = {"unet_model.downarm.0.main.weight": torch.zeros(3, 6, 4, 4)}
    refused(torch_file(path, **colour), "several channels")
    torch.save({"layer1.0.conv1.weight": torch.zeros(3)}, path)
    refused(path, "not a known VoxelMorph checkpoint; its first key is 'layer1.0.conv1.weight'")
    torch.save(
        {"config": {"int_steps": 10**9}, "model_state": torch.load(torch_file(path))["model_state"]}, path
    )
    refused(path, "int_steps cannot be 1000000000")


def keras_file(path, layers, **attributes):
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        for name, size in layers.items():
            file[f"model_weights/{name}/{name}/kernel:0"] = np.ones(size, "f4")
            file[f"model_weights/{name}/{name}/bias:0"] = np.ones(size[-1], "f4")
    return path


def test_keras_checkpoints_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "theirs.h5"
    refused(keras_file(path, {}), "it holds no convolutions")
    refused(keras_file(path, {"dense_1": (4, 4)}), "its first layer is 'dense_1'")
    legacy = {f"conv2d_{i}": (3, 3, 2, 2) for i in range(1, 10)}
    refused(keras_file(path, legacy), "neither a layer 'flow' nor 'disp'")
    refused(
        keras_file(path, legacy | {"flow": (3, 3, 2, 2), "dense": (2, 2)}), "its layer 'dense' is unknown"
    )
    few = {"conv2d_1": (3, 3, 2, 2), "flow": (3, 3, 2, 2)}
    refused(keras_file(path, few), "1 convolutions; a legacy VoxelMorph has 9 to 11")
    refused(keras_file(path, {"vxm_dense_unet_enc_conv_0_0": (3, 3, 2, 4)}), "decoder.* is missing")
    refused(keras_file(path, legacy | {"flow": (3, 3, 2, 2)}, model_config="{"), "truncated or damaged")
    with h5py.File(path, "w") as file:
        file.create_dataset("conv2d_1/kernel:0", (10**5, 10**5, 10**3), "f4")
    refused(path, "truncated or damaged")


@pytest.mark.parametrize("ending", ["pt", "ckpt", "h5", "safetensors"])
def test_any_fragment_of_a_file_and_any_noise_is_refused(tmp_path, saved, ending):
    path = tmp_path / f"part.{ending}"
    if ending == "h5":
        keras_file(path, {f"conv2d_{i}": (3, 3, 2, 2) for i in range(1, 10)} | {"flow": (3, 3, 2, 2)})
    elif ending == "safetensors":
        path.write_bytes(saved[1].read_bytes())
        path.with_suffix(".json").write_bytes(saved[1].with_suffix(".json").read_bytes())
    else:
        torch_file(path)
        if ending == "ckpt":
            torch.save(torch.load(path), path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for fraction in (0, 0.001, 0.1, 0.5, 0.9, 0.99):
        path.write_bytes(whole[: int(fraction * len(whole))])
        refused(path, "part")
    rng = np.random.default_rng(0)
    for start in (b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80\x02", b"\x1f\x8b"):
        path.write_bytes(start + rng.bytes(500))
        refused(path, "part")


def test_shipped_weights_are_found_by_name(saved, monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "FOLDER", saved[1].parent)
    assert checkpoint.shipped_names() == ("small",)
    assert load_weights(checkpoint.shipped("small")).card["data"] == "random shapes"
    with pytest.raises(ValueError, match=r"No weights 'large' are shipped .*; choose from: small\."):
        checkpoint.shipped("large")
    monkeypatch.setattr(checkpoint, "FOLDER", tmp_path / "nowhere")
    assert checkpoint.shipped_names() == ()
    with pytest.raises(ValueError, match="there are none"):
        checkpoint.shipped("small")


def test_the_weights_in_the_package_all_load():
    for name in checkpoint.shipped_names():
        assert "parameters" in load_weights(checkpoint.shipped(name)).description
