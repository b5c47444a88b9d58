"""The files of a run that was damaged: resuming ends in one sentence that names the file."""

import json
from pathlib import Path

import pytest
import torch

from napari_voxreg.io.pairs import Pair, PairSet, Stored
from napari_voxreg.nets.architectures.affine import STN
from napari_voxreg.train.events import Losses, Row
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.pairs.networks import same_network
from napari_voxreg.train.runs import (
    _source,
    damaged,
    read_pairs,
    read_run,
    write_history,
    write_options,
    write_pairs,
)
from napari_voxreg.train.state import Place, load_optimizer, place_from, read_state, save_state


@pytest.fixture
def state(tmp_path):
    """A state after one step, and its file."""
    torch.manual_seed(0)
    net = STN(2)
    optimizer = torch.optim.Adam(net.parameters())
    net.head.out.bias.sum().backward()
    optimizer.step()
    path = tmp_path / "state.pt"
    save_state(path, Place(epoch=2, rows=[Row(1, 3, Losses(1.0, 0.5, 0.5), None, 2.0)]), net, net, optimizer)
    return path, torch.load(path, weights_only=True)


def test_an_intact_state_comes_back(state):
    path, values = state
    read = read_state(path)
    net = same_network(TrainOptions(architecture="stn"), read)
    assert torch.equal(net.head.out.bias, values["net"]["head.out.bias"])
    assert place_from(read).epoch == 2 and place_from(read).rows[0].step == 3
    optimizer = torch.optim.Adam(net.parameters())
    load_optimizer(optimizer, read["optimizer"])
    assert optimizer.state[net.head.out.bias]["step"] == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epoch", "two"),
        ("rows", [{"epoch": 1}]),
        ("sums", {"colour": 1.0}),
        ("hashes", 5),
        ("arguments", {"width": 10**9}),
        ("arguments", {"width": 3}),
        ("net", {}),
        ("net", {"head.out.bias": torch.zeros(6).to_sparse()}),
        ("averaged", None),
    ],
)
def test_a_state_with_other_values_is_refused(state, key, value):
    path, values = state
    torch.save({**values, key: value}, path)
    with pytest.raises(ValueError) as raised:
        read = read_state(path)
        with damaged(path):  # as resuming does
            same_network(TrainOptions(architecture="stn"), read)
    assert "\n" not in str(raised.value)


def test_what_an_optimiser_remembers_must_fit(state):
    _, values = state
    net = same_network(TrainOptions(architecture="stn"), values)
    for wrong in (torch.zeros(7), torch.zeros(6).to_sparse(), "text"):
        content = {"state": {k: dict(v) for k, v in values["optimizer"]["state"].items()}}
        number = next(iter(content["state"]))
        content["state"][number]["exp_avg"] = wrong
        with pytest.raises((ValueError, TypeError)):
            load_optimizer(torch.optim.Adam(net.parameters()), content)


def run(folder):
    write_options(folder, TrainOptions(architecture="stn"), (16, 16))
    write_history(folder, [Row(1, 3, Losses(1.0, 0.5, 0.5), None, 2.0)])
    write_pairs(folder, PairSet((Pair("a", folder / "a.png", folder / "b.png"),), ()), {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("options.json", "[" * 100_000),
        ("options.json", json.dumps({"options": {}, "shape": [16, 10**400]})),
        ("options.json", json.dumps({"options": {}, "shape": []})),
        ("options.json", json.dumps({"options": {"epochs": 1e999}, "shape": [16, 16]})),
        ("history.csv", "epoch\n1\n"),
        ("history.csv", "epoch,step,train_total\n" + "9" * 5000 + ",1,1\n"),
        ("pairs.csv", "set,name\ntrain,a\n"),
        ("pairs.csv", "\0\0"),
        ("pairs.csv", "set\n" + "x" * 200_000 + "\n"),
    ],
)
def test_damaged_files_of_a_run_are_named(tmp_path, name, text):
    run(tmp_path)
    read_run(tmp_path)
    assert read_pairs(tmp_path).training[0].name == "a"
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as raised:
        read_run(tmp_path)
        if not read_pairs(tmp_path).training:
            raise ValueError("pairs.csv holds no pairs")
    assert "\n" not in str(raised.value)


def test_places_in_pair_files_come_back_quickly():
    assert _source("/a/b.h5::images/0") == Stored(Path("/a/b.h5"), "images/0")
    assert _source("/a::b.h5::images/0[12]") == Stored(Path("/a::b.h5"), "images/0", 12)
    assert _source("/a/b.png") == Path("/a/b.png")
    assert isinstance(_source(":" * 100_000 + "]"), Stored)
