"""Checkpoints made to do harm: refused in one sentence, before memory is taken for what they claim."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from napari_voxreg.nets.architectures.affine import STN
from napari_voxreg.nets.architectures.voxelmorph import VoxelMorph
from napari_voxreg.nets.checkpoints.checkpoint import build, open_checkpoint, save_weights

SMALL = {"ndim": 2, "encoder": [3], "decoder": [3], "remaining": [3]}


def theirs(path, **changes):
    """A VoxelMorph of release 0.2 with some of its tensors replaced."""
    weights = {}
    for key, value in VoxelMorph(**SMALL).state_dict().items():
        layer, _, kind = key.rpartition(".")
        weights[f"{layer.replace('unet.', 'unet_model.')}.main.{kind}" if "unet" in key else key] = value
    torch.save({"model_state": weights | changes}, path)
    return path


def refused(path, words):
    with pytest.raises(ValueError, match=words) as raised:
        open_checkpoint(path)
    said = str(raised.value)
    assert path.stem in said and "\n" not in said and len(said) < 400


def test_the_file_itself_opens(tmp_path):
    assert "torch 0.2 layout" in open_checkpoint(theirs(tmp_path / "a.pt")).description


@pytest.mark.parametrize(
    "make",
    [
        lambda shape: torch.zeros(shape).to_sparse(),
        lambda shape: torch.zeros(shape, device="meta"),
        lambda shape: torch.zeros(shape).to(torch.float8_e4m3fn),
        lambda shape: torch.zeros(shape, dtype=torch.complex64),
        lambda shape: torch.zeros(shape, dtype=torch.int64),
        lambda shape: torch.zeros(1).expand(shape),
    ],
    ids=["sparse", "meta", "float8", "complex", "integer", "expanded"],
)
def test_tensors_that_are_no_plain_weights_are_refused(tmp_path, make):
    path = theirs(tmp_path / "a.pt", **{"flow.weight": make((2, 3, 3, 3))})
    refused(path, "a.pt .*(flow.weight is no plain array|truncated or not a checkpoint)")


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("voxelmorph", {"encoder": [10**9], "decoder": [10**9]}),
        ("voxelmorph", {"encoder": [16] * 100_000, "decoder": [16] * 100_000}),
        ("voxelmorph", {"encoder": [[[[[]]]]], "decoder": [1]}),
        ("voxelmorph", {"encoder": [4096] * 4, "decoder": [4096] * 4, "ndim": 3}),
        ("detector affine", {"levels": 10**9}),
        ("detector affine", {"width": 4096, "features": 4096, "ndim": 3}),
        ("pyramid", {"features": 4096, "ndim": 3}),
        ("matching affine", {"features": 10**30}),
        ("stn", {"width": -5}),
        ("stn", {"width": 1e400}),
        ("stn", {"width": "x" * 10**6}),
        ("stn", {"colour": "red"}),
    ],
)
def test_cards_with_absurd_arguments_are_refused(tmp_path, architecture, arguments):
    path = save_weights(tmp_path / "a.safetensors", STN(2), {})
    card = json.loads(path.with_suffix(".json").read_text())
    card |= {"architecture": architecture, "arguments": arguments}
    path.with_suffix(".json").write_text(json.dumps(card))
    refused(path, r"a\.safetensors")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux does")
def test_a_small_file_takes_no_gigabytes(tmp_path):
    kernel = torch.zeros(1).expand(4000, 2, 3, 3)
    names = {
        "unet_model.encoder.0.0.main.weight": kernel,
        "flow.weight": torch.zeros(1).expand(2, 4096, 3, 3),
    }
    path = theirs(tmp_path / "a.pt", **names, **{"unet_model.decoder.0.0.main.weight": kernel})
    big = {"encoder": [4096] * 8, "decoder": [4096] * 8, "ndim": 3}
    saved = save_weights(tmp_path / "b.safetensors", STN(2), {})
    card = json.loads(saved.with_suffix(".json").read_text()) | {
        "architecture": "voxelmorph",
        "arguments": big,
    }
    saved.with_suffix(".json").write_text(json.dumps(card))
    code = """
import resource, sys
from napari_voxreg.nets.checkpoints.checkpoint import open_checkpoint
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        open_checkpoint(path)
    except ValueError as error:
        print("refused", error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, path, saved], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split()[0] for line in done[:2]] == ["refused", "refused"]
    assert int(done[2]) < 200_000  # kilobytes


def test_arguments_are_bounded_for_every_architecture():
    for name, value in (("width", 5000), ("width", float("nan")), ("width", [1] * 65), ("width", object())):
        with pytest.raises(ValueError, match="width cannot be"):
            build("stn", {name: value})


@pytest.mark.parametrize(
    "write",
    [
        lambda group: group.create_dataset("kernel:0", (10**4, 10**4, 10**4), "f4", chunks=True),
        lambda group: group.create_dataset(
            "kernel:0", (3, 3, 2, 3), "f4", external=[("/etc/passwd", 0, 216)]
        ),
        lambda group: group.create_dataset("kernel:0", data=np.array([b"text"])),
    ],
    ids=["shape", "external", "text"],
)
def test_keras_files_bring_only_what_is_in_them(tmp_path, write):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        write(file.create_group("vxm_unet_enc_conv_0_0/vxm_unet_enc_conv_0_0"))
    refused(path, r"a\.h5 (claims|keeps data in another file|is damaged)")


@pytest.mark.parametrize("config", ["[" * 100_000, "[1]", '{"config": {"int_steps": "x"}}', "9" * 9999])
def test_the_configuration_of_a_keras_file_may_be_anything(tmp_path, config):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", track_order=True) as file:
        file.attrs["model_config"] = config[:60_000]
        file.create_dataset("enc_conv_0_0/enc_conv_0_0/kernel:0", data=np.zeros((3, 3, 2, 3), "f4"))
        file.create_dataset("enc_conv_0_0/enc_conv_0_0/bias:0", data=np.zeros(3, "f4"))
    refused(path, r"a\.h5")
