"""The network that a training begins with: shipped weights as they are, in the network they were made for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_voxreg.nets.checkpoints.checkpoint import load_weights, shipped, shipped_names
from napari_voxreg.train.events import Example
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.pairs import session
from napari_voxreg.train.pairs.networks import first_network
from napari_voxreg.train.run import resume, train_pairs

BEGUN = {  # shipped weights, and the network that is chosen to begin with them
    "affine2d": "matching affine",
    "affine3d": "matching affine",
    "avsm2d": "avsm",
    "avsm3d": "avsm",
    "jsm2d": "jsm",
    "pyramid2d": "pyramid",
    "pyramid3d": "pyramid",
    "stn2d": "stn",
    "voxelmorph2d": "voxelmorph",
    "voxelmorph3d": "voxelmorph",
}


def test_all_shipped_weights_are_a_start() -> None:
    assert set(BEGUN) == set(shipped_names())


@pytest.mark.parametrize("name", BEGUN)
def test_a_training_from_shipped_weights_begins_with_what_they_predict(
    some_pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever the options say of what is compared: the card knows what the weights were made for."""
    monkeypatch.setattr(session, "with_choice", lambda ended, *rest: ended)  # has tests of its own
    ndim = int(name[-2])
    shape = (32, 48) if ndim == 2 else (16, 16, 32)
    pairs = some_pairs(training=2, validation=1, shape=shape)
    options = TrainOptions(
        architecture=BEGUN[name], start="shipped", compare=False, epochs=3, size=max(shape), workers=0
    )
    told = []

    def report(event) -> None:
        if isinstance(event, Example):
            told.append(event)

    train_pairs(pairs, options, tmp_path / "run", report=report, control=lambda: "stop" if told else "go")
    (first,) = told
    loaded = load_weights(shipped(name))
    # AVSM begins with its affine part alone.
    net = loaded.net.affine if BEGUN[name] == "avsm" else loaded.net
    with torch.no_grad():
        answer = net(*(torch.from_numpy(image)[None, None] for image in (first.fixed, first.moving)))
    assert np.array_equal(first.displacement, answer.displacement[0].numpy())
    assert np.abs(first.displacement).max() > 0

    torch.manual_seed(0)
    images = torch.rand(2, 1, 1, *shape)
    begun = first_network(options, ndim).eval()
    with torch.no_grad():
        assert torch.equal(begun(*images).displacement, loaded.net(*images).displacement)
    # So it is when the run goes on.
    ended = resume(tmp_path / "run", epochs=1)
    card = json.loads(ended.best.with_suffix(".json").read_text())
    assert card["arguments"] == loaded.net.arguments
